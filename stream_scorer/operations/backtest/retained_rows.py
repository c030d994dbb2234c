"""A range of observations with what was published and what happened, read from the topics into rows of numbers.

Invariant: a prediction is read wherever it lies behind its observation, also beyond the range's end.
"""

import gc
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, NamedTuple

import numpy as np
from aiokafka import TopicPartition
from numpy.typing import NDArray

from stream_scorer.core.records.model_switch import ModelSwitch, decode_switch
from stream_scorer.core.rollout.published_rows import (
    ACTUAL,
    NO_HISTORY,
    OBSERVED,
    PUBLISHED,
    Instants,
    Rows,
    actual_rows,
    observed_rows,
    published_rows,
)
from stream_scorer.core.rollout.serving_history import ServingHistory
from stream_scorer.core.state.model_ids import ModelIds
from stream_scorer.errors import TopicsError
from stream_scorer.operations.audit.evidence import At
from stream_scorer.operations.reading.topic_reader import Reader, Record, Span, Spans
from stream_scorer.runtime.cluster.topic_admin import TopicNames

# Records read so far, offsets in all
OnRead = Callable[[int, int], None]
Score = Callable[[NDArray[np.int64]], NDArray[np.float64]]
# Observations at a time for the model: what arrives in one fetch is fewer
ROWS_MIN: Final = 8_192


class Range(NamedTuple):
    """Which observations are asked about."""

    begin: At
    end: At


class PartitionRows(NamedTuple):
    """One partition: observations of shape (n,) in the order of offsets, the probabilities of the model that was asked
    about them (empty where none was), and the predictions of shape (m,) whose observation lies in the range."""

    number: int
    observed: Rows
    probas: NDArray[np.float64]
    published: Rows


class Retained(NamedTuple):
    """All partitions; `actual`: the joined outcomes of all; `models`: name and role by the number in the predictions'
    rows; `unreadable`: observations that break the contract."""

    partitions: tuple[PartitionRows, ...]
    actual: Rows
    models: ModelIds
    unreadable: int
    records_read: int


class RetainedReader:
    """Reads a range with one connection."""

    def __init__(
        self,
        reader: Reader,
        names: TopicNames,
        *,
        event_bytes_max: int,
        framed: bool,
        on_read: OnRead = lambda read, offsets: None,
    ) -> None:
        self._reader, self._names, self._on_read = reader, names, on_read
        self._event_bytes_max, self._framed = event_bytes_max, framed
        self._offsets = 0

    async def read(
        self,
        asked: Range,
        score: Score | None = None,
        *,
        with_outcomes: bool = True,
        history: ServingHistory = NO_HISTORY,
    ) -> Retained:
        """Everything of the range. `score` is asked about each observation as it is read; `history` says who should
        have published. Raises TopicsError where the topics are not there, OutageError where Kafka does not answer."""
        with _no_collector():
            return await self._read(asked, score, with_outcomes, history)

    async def _read(self, asked: Range, score: Score | None, with_outcomes: bool, history: ServingHistory) -> Retained:
        names = self._names
        outputs = (names.predictions, names.outcome_updates) if with_outcomes else (names.predictions,)
        inputs = await self._asked(await self._reader.spans((names.observations,)), asked)
        spans = await self._reader.spans(outputs)
        self._offsets = sum(span.end - span.begin for span in (*inputs.values(), *spans.values()))
        observed: dict[int, _Scored] = {partition.partition: _Scored(score) for partition in inputs}
        first_ms: int | None = None
        unreadable = 0
        async for partition, records in self._batches(inputs):
            rows = observed_rows(records, self._event_bytes_max, self._framed)
            unreadable += len(records) - len(rows)
            observed[partition.partition].add(rows)
            earliest = min(record.timestamp for record in records)
            first_ms = earliest if first_ms is None else min(first_ms, earliest)
        # An output carries its observation's time or a later one, so none of the range's lies before it.
        if first_ms is not None and first_ms >= 0 and asked.begin != At():
            begins = await self._reader.offsets_at(spans, first_ms)
            spans = {partition: span._replace(begin=begins[partition]) for partition, span in spans.items()}
        models, instants = ModelIds(), Instants()
        published: dict[int, list[Rows]] = {partition.partition: [] for partition in inputs}
        actual: list[Rows] = [np.empty(0, dtype=ACTUAL)]
        async for partition, records in self._batches(spans):
            number = partition.partition
            if partition.topic == names.outcome_updates:
                actual.append(actual_rows(records, instants))
            elif number in published:
                span = inputs[TopicPartition(names.observations, number)]
                if asked.begin == At():  # those of observations that retention has deleted too
                    span = span._replace(begin=0)
                rows = published_rows(records, number, models, instants, history)
                published[number].append(rows[(rows["source"] >= span.begin) & (rows["source"] < span.end)])
        partitions = [
            PartitionRows(number, *observed[number].joined(), _joined(published[number], PUBLISHED))
            for number in sorted(observed)
        ]
        return Retained(tuple(partitions), np.concatenate(actual), models, unreadable, self._reader.records_read)

    async def switches(self) -> list[ModelSwitch]:
        """What is said of switches of models, each partition's in order; none where there is no such topic."""
        try:
            spans = await self._reader.spans((self._names.model_switches,))
        except TopicsError:
            return []
        found = []
        async for _, records in self._reader.read(spans):
            found += [switch for record in records if (switch := decode_switch(record.value)) is not None]
        return found

    async def _asked(self, spans: Mapping[TopicPartition, Span], asked: Range) -> dict[TopicPartition, Span]:
        begins, ends = await self._offsets_of(spans, asked.begin), await self._offsets_of(spans, asked.end)
        chosen = {}
        for partition, span in spans.items():
            begin = min(max(begins.get(partition, span.begin), span.begin), span.end)
            chosen[partition] = Span(begin, max(min(ends.get(partition, span.end), span.end), begin))
        return chosen

    async def _offsets_of(self, spans: Spans, at: At) -> Mapping[TopicPartition, int]:
        if at.time_ms is not None:
            return await self._reader.offsets_at(spans, at.time_ms)
        return {} if at.offset is None else dict.fromkeys(spans, at.offset)

    async def _batches(self, spans: Spans) -> AsyncIterator[tuple[TopicPartition, list[Record]]]:
        async for partition, records in self._reader.read(spans, whole_batches=True):
            yield partition, records
            self._on_read(self._reader.records_read, self._offsets)


class _Scored:
    """The observations of a partition, scored in batches as they come."""

    def __init__(self, score: Score | None) -> None:
        self._score = score
        self._rows: list[Rows] = [np.empty(0, dtype=OBSERVED)]
        self._waiting: list[Rows] = []
        self._probas: list[NDArray[np.float64]] = [np.empty(0)]

    def add(self, rows: Rows) -> None:
        self._rows.append(rows)
        self._waiting.append(rows)
        if sum(map(len, self._waiting)) >= ROWS_MIN:
            self._ask()

    def _ask(self) -> None:
        if self._score is not None and self._waiting:
            self._probas.append(self._score(np.concatenate([rows["code"] for rows in self._waiting])))
        self._waiting = []

    def joined(self) -> tuple[Rows, NDArray[np.float64]]:
        self._ask()
        return np.concatenate(self._rows), np.concatenate(self._probas)


def _joined(rows: list[Rows], kind: np.dtype[np.void]) -> Rows:
    return np.concatenate(rows) if rows else np.empty(0, dtype=kind)


@contextmanager
def _no_collector() -> Iterator[None]:
    """Without the collector, which would look through millions of records again and again that are in no cycle."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def scored_observations(rows: PartitionRows) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The places of observations with a prediction, and those of their predictions, shape (k,) each."""
    if not len(rows.observed) or not len(rows.published):
        return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)
    place = np.searchsorted(rows.observed["offset"], rows.published["source"])
    place = np.minimum(place, len(rows.observed) - 1)
    found = np.flatnonzero(rows.observed["offset"][place] == rows.published["source"])
    return place[found], found
