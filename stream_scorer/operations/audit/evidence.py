"""What an audit reads: the inputs that are asked about, and everything that was said of them.

Invariant: the group's offsets are read before the ends of the topics, so whatever a worker published up to those
offsets is among what is read.
"""

from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple

import numpy as np
from aiokafka import TopicPartition
from numpy.typing import NDArray

from stream_scorer.core.audit.inputs import BROKEN, INPUT, InputTopic, Rows, input_rows
from stream_scorer.core.audit.reconciliation import Flags, Reconciliation, reconcile
from stream_scorer.core.audit.traces import TRACE, dead_letter_rows, move_rows, prediction_rows, spread, update_rows
from stream_scorer.errors import TopicsError
from stream_scorer.operations.audit.operator_actions import ActEvidence, Places, apart, together
from stream_scorer.operations.dead_letters.index.rows import LETTERS_SIDE
from stream_scorer.operations.reading.topic_reader import OnRead, Reader, Record, Span, Spans
from stream_scorer.runtime.cluster.topic_admin import TopicNames

# Records read so far, offsets in all


class At(NamedTuple):
    """Where a range of inputs begins or ends: at an offset of every partition, or at a time (ms since 1970); neither:
    as far as the topics go."""

    offset: int | None = None
    time_ms: int | None = None


class Question(NamedTuple):
    """Which inputs an audit asks about: those of a range, up to what the group has committed or, with `count_unread`,
    to its end."""

    group: str
    begin: At
    end: At
    count_unread: bool


class Deleted(NamedTuple):
    """Offsets of an input, the first and the last, that retention has deleted and no output names. `certain`: nobody
    can have read them; else they may have been sent again, which leaves no output."""

    topic: str
    partition: int
    first: int
    last: int
    certain: bool


class Evidence:
    """Rows of the inputs that are asked about, and of all traces that name one of them."""

    def __init__(self, reader: Reader, names: TopicNames, on_read: OnRead | None = None) -> None:
        self._reader = reader
        self._names = names
        self._on_read = on_read
        self._sides = {names.observations: InputTopic.OBSERVATIONS, names.outcomes: InputTopic.OUTCOMES}
        self._inputs: dict[InputTopic, list[Rows]] = {side: [] for side in InputTopic}
        self._traces: dict[InputTopic, list[Rows]] = {side: [] for side in InputTopic}
        self.acts = ActEvidence({**self._sides, names.dead_letters: LETTERS_SIDE})
        self.not_yet_read = 0
        self.deleted: list[Deleted] = []

    # What is asked

    async def measure(self, question: Question) -> None:
        """Fix which inputs are asked about, and up to where everything is read."""
        names, reader = self._names, self._reader
        topics = (*self._sides, names.predictions, names.dead_letters, names.outcome_updates, names.ledger)
        inputs = [partition for partition in await reader.spans(topics) if partition.topic in self._sides]
        committed = await reader.committed(question.group, inputs)
        self._spans = await reader.spans(topics)
        self._input_spans = {partition: self._spans[partition] for partition in inputs}
        self._ledger_spans = {key: span for key, span in self._spans.items() if key.topic == names.ledger}
        others = {*self._sides, names.ledger}
        self._output_spans = {key: span for key, span in self._spans.items() if key.topic not in others}
        self._committed = committed
        self._first_asked = question.begin
        counts = [sum(partition.topic == topic for partition in inputs) for topic in self._sides]
        if len(set(counts)) > 1:
            both = " and ".join(self._sides)
            raise TopicsError(f"{both} have different numbers of partitions: see `stream-scorer topics check`")
        self._partitions = counts[0]
        begins, ends = await self._offsets(question.begin), await self._offsets(question.end)
        self._asked: dict[TopicPartition, Span] = {}
        self._unread: dict[TopicPartition, Span] = {}
        for partition, span in self._input_spans.items():
            first = min(max(begins.get(partition, span.begin), span.begin), span.end)
            last = max(min(ends.get(partition, span.end), span.end), first)
            known = last if question.count_unread else min(max(committed.get(partition, first), first), last)
            self._asked[partition], self._unread[partition] = Span(first, known), Span(known, last)
        self._begins, self._ends = self._bounds(0), self._bounds(1)
        # for each side and partition, where what is retained begins, and the highest input before that is named
        self._retained = {side: np.zeros(self._partitions, dtype=np.int64) for side in InputTopic}
        for partition, span in self._input_spans.items():
            self._retained[self._sides[partition.topic]][partition.partition] = span.begin
        self._named = {side: np.full(self._partitions, -1, dtype=np.int64) for side in InputTopic}
        # for each side and partition, the first input whose traces retention has left
        self._provable = {side: np.zeros(self._partitions, dtype=np.int64) for side in InputTopic}
        self._provable_seen: set[tuple[TopicPartition, InputTopic]] = set()

    async def _offsets(self, at: At) -> Mapping[TopicPartition, int]:
        if at.time_ms is not None:
            return await self._reader.offsets_at(self._input_spans, at.time_ms)
        return {} if at.offset is None else dict.fromkeys(self._input_spans, at.offset)

    def _bounds(self, which: int) -> dict[InputTopic, NDArray[np.int64]]:
        bounds = {side: np.zeros(self._partitions, dtype=np.int64) for side in InputTopic}
        for partition, span in self._asked.items():
            bounds[self._sides[partition.topic]][partition.partition] = span[which]
        return bounds

    def is_asked(self, side: InputTopic, partitions: NDArray[np.int32], offsets: NDArray[np.int64]) -> Flags:
        """Which of these places lie among the inputs that are asked about."""
        there = (partitions >= 0) & (partitions < self._partitions)
        number = np.where(there, partitions, 0)
        asked: Flags = there & (offsets >= self._begins[side][number]) & (offsets < self._ends[side][number])
        return asked

    def is_about(self, side: InputTopic, traces: Rows) -> Flags:
        """Which traces name an input that is asked about, or nothing that could be one."""
        nowhere = (traces["source_offset"] < 0) | (traces["source_partition"] >= self._partitions)
        about: Flags = nowhere | self.is_asked(side, traces["source_partition"], traces["source_offset"])
        return about

    def asked_of(self, places: Places) -> dict[InputTopic, Places]:
        """Those of the places that are inputs which are asked about, by side."""
        sides, partitions, offsets = apart(places)
        return {
            side: places[(sides == side) & self.is_asked(side, partitions, offsets)] for side in self._sides.values()
        }

    def dead_letters(self, side: InputTopic, flags: Flags) -> Places:
        """The places of inputs that are flagged."""
        return together(side, self.inputs(side), flags)

    def is_beyond_retention(self, side: InputTopic, inputs: Rows) -> Flags:
        """Which inputs are so old that what was said of them may be gone already."""
        old: Flags = inputs["offset"] < self._provable[side][inputs["partition"]]
        return old

    # What is read

    def inputs(self, side: InputTopic) -> Rows:
        """The inputs, sorted by partition and offset."""
        rows = _joined(self._inputs, side, INPUT)
        if len(self._inputs[side]) > 1:
            rows = rows[np.lexsort((rows["offset"], rows["partition"]))]
        self._inputs[side] = [rows]
        return rows

    def traces(self, side: InputTopic) -> Rows:
        """All that is said of them."""
        rows = _joined(self._traces, side, TRACE)
        self._traces[side] = [rows]
        return rows

    async def read(self) -> None:
        """Read both input topics and all that the workers wrote."""
        async for partition, rows in self._trace_rows():
            self._note_retention(partition, rows)
            self._note_deleted(rows)
            for side in InputTopic:
                self._traces[side].append(rows[(rows["side"] == side) & self.is_about(side, rows)])
        async for _, records in self._read(self._ledger_spans):
            self.acts.add_ledger(records)
        # Of the whole topic, because a record that is asked about may have been moved to anywhere behind it.
        async for partition, records in self._read(self._input_spans):
            side, number = self._sides[partition.topic], partition.partition
            self.acts.add_inputs(side, number, records)
            moves = move_rows(side, number, records)
            self._note_deleted(moves)
            # a header that names nothing is a producer's own affair
            self._traces[side].append(moves[self.is_asked(side, moves["source_partition"], moves["source_offset"])])
            if asked := _within(records, self._asked[partition]):
                self._inputs[side].append(input_rows(side, number, asked, self._partitions))
            self.not_yet_read += len(_within(records, self._unread[partition]))
        self.deleted = [found for partition in self._input_spans if (found := self._deleted_of(partition)) is not None]

    async def settle(self, window_ms: int, now_ms: int) -> dict[InputTopic, Reconciliation]:
        """Both sides settled; where an input before the range may explain what is missing, once that was read too."""
        accounts = {side: self._settle(side, window_ms, now_ms) for side in InputTopic}
        ids = {side: self._missing_ids(side, account) for side, account in accounts.items()}
        before = {
            partition: Span(span.begin, self._asked[partition].begin)
            for partition, span in self._input_spans.items()
            if len(ids[self._sides[partition.topic]]) and span.begin < self._asked[partition].begin
        }
        if not before:
            return accounts
        async for partition, records in self._read(before):
            side = self._sides[partition.topic]
            rows = input_rows(side, partition.partition, records, self._partitions)
            self._inputs[side].append(rows[np.isin(rows["id"], ids[side])])
        async for _, rows in self._trace_rows():
            for side in InputTopic:
                others = rows[(rows["side"] == side) & ~self.is_about(side, rows)]
                self._traces[side].append(others[np.isin(others["id"], ids[side])])
        return {side: self._settle(side, window_ms, now_ms) for side in InputTopic}

    def _settle(self, side: InputTopic, window_ms: int, now_ms: int) -> Reconciliation:
        self._traces[side] = [spread(self.traces(side), self.inputs(side))]
        return reconcile(side, self.inputs(side), self.traces(side), window_ms=window_ms, now_ms=now_ms)

    def _missing_ids(self, side: InputTopic, account: Reconciliation) -> NDArray[np.int64]:
        inputs = self.inputs(side)
        return np.unique(inputs["id"][account.unaccounted & (inputs["code"] != BROKEN)])

    async def _trace_rows(self) -> AsyncIterator[tuple[TopicPartition, Rows]]:
        async for partition, records in self._read(self._output_spans):
            if partition.topic == self._names.predictions:
                yield partition, prediction_rows(partition.partition, records)
            elif partition.topic == self._names.outcome_updates:
                yield partition, update_rows(partition.partition, records)
            else:
                yield partition, dead_letter_rows(partition.partition, records, self._sides)

    async def _read(self, spans: Spans) -> AsyncIterator[tuple[TopicPartition, list[Record]]]:
        offsets = sum(span.end - span.begin for span in self._spans.values())
        async for partition, records in self._reader.read(spans):
            yield partition, records
            if self._on_read is not None:
                self._on_read(self._reader.records_read, offsets)

    def _note_retention(self, partition: TopicPartition, rows: Rows) -> None:
        """Where retention has deleted traces, the first that is left says from which input on all of them are there."""
        if self._spans[partition].begin == 0:
            return
        for side in InputTopic:
            prompt = rows[(rows["side"] == side) & rows["prompt"] & (rows["source_partition"] == partition.partition)]
            if len(prompt) and partition.partition < self._partitions and (partition, side) not in self._provable_seen:
                self._provable_seen.add((partition, side))
                first, provable = int(prompt["source_offset"][0]), self._provable[side]
                provable[partition.partition] = max(int(provable[partition.partition]), first)

    def _note_deleted(self, traces: Rows) -> None:
        """Note the highest deleted input that is named."""
        for side in InputTopic:
            rows = traces[(traces["side"] == side) & (traces["source_offset"] >= 0)]
            rows = rows[rows["source_partition"] < self._partitions]
            rows = rows[rows["source_offset"] < self._retained[side][rows["source_partition"]]]
            np.maximum.at(self._named[side], rows["source_partition"], rows["source_offset"])

    def _deleted_of(self, partition: TopicPartition) -> Deleted | None:
        side, begin = self._sides[partition.topic], self._input_spans[partition].begin
        if begin == 0 or self._first_asked.time_ms is not None:
            return None
        named, committed = int(self._named[side][partition.partition]), self._committed.get(partition)
        unread = committed is not None and committed < begin
        first = committed if committed is not None and unread else named + 1
        if (
            not unread
            and named < 0
            and any(span.begin for key, span in self._output_spans.items() if key.partition == partition.partition)
        ):
            return None  # what was said of them may be deleted too
        first = max(first, self._first_asked.offset or 0)
        if first >= begin:
            return None
        return Deleted(partition.topic, partition.partition, first, begin - 1, unread or named < 0)


def _joined(rows: Mapping[InputTopic, list[Rows]], side: InputTopic, kind: np.dtype[np.void]) -> Rows:
    return np.concatenate(rows[side]) if rows[side] else np.empty(0, dtype=kind)


def _within(records: list[Record], span: Span) -> list[Record]:
    if not records or (span.begin <= records[0].offset and records[-1].offset < span.end):
        return records
    return [record for record in records if span.begin <= record.offset < span.end]
