"""The index: every dead letter and every act as a row of numbers on this machine's disk, read on from where it ended.

Invariant: it is a view of two topics and nothing else; it is never asked what may be done, only where to look. Of a
million letters it takes 60 MB, of which a query maps what it touches, so memory stays flat.
"""

import asyncio
import contextlib
import gc
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from aiokafka import TopicPartition
from numpy.typing import NDArray

from stream_scorer.core.records.audit_log import Action
from stream_scorer.operations.dead_letters.index.action_lookup import Acts
from stream_scorer.operations.dead_letters.index.dictionaries import Dictionaries
from stream_scorer.operations.dead_letters.index.partition_index import PartitionIndex, PartitionIndexWriter
from stream_scorer.operations.dead_letters.index.rows import (
    ACT,
    ACTS,
    LETTER,
    LETTERS_SIDE,
    Rows,
    act_rows,
    letter_rows,
)
from stream_scorer.operations.reading.topic_reader import OnRead, Reader, Record, Span
from stream_scorer.runtime.cluster.topic_admin import TopicNames

log = logging.getLogger(__name__)

# Records read so far, offsets in all
Together = Callable[["Index", Mapping[TopicPartition, Span], "OnRead | None"], Awaitable[None]]
# Rows are kept on disk at least this often: what is read between is read again after a crash
KEPT_EVERY_RECORDS: Final = 20_000
LOOK_AGAIN_S: Final = 0.05
# Rows that a query looks at together
CHUNK_ROWS: Final = 250_000
OPEN, PARKED, REPLAYED, DISCARDED = range(4)


class Chunk(NamedTuple):
    """Some letters of a partition: their rows and what has become of them (`OPEN` to `DISCARDED`)."""

    partition: int
    rows: Rows
    states: NDArray[np.int8]
    replays: NDArray[np.int32]
    tables: Dictionaries

    def where(self, wanted: NDArray[np.bool_]) -> "Chunk":
        """Those that are flagged."""
        if wanted.all():
            return self
        return self._replace(rows=self.rows[wanted], states=self.states[wanted], replays=self.replays[wanted])


class Index:
    """Letters and acts of one environment. `identity`: the cluster's; `topic_ids`: what Kafka calls its two topics, as
    far as that is known: a topic that was made anew has another id, and nothing of the one before counts."""

    def __init__(
        self, folder: Path, names: TopicNames, identity: str, topic_ids: Mapping[str, str] | None = None
    ) -> None:
        self._folder, self._names, self._identity = folder, names, identity
        self.sides: Mapping[str, int] = {names.observations: 0, names.outcomes: 1, names.dead_letters: LETTERS_SIDE}
        self._begin_with(topic_ids or {})

    def _begin_with(self, topic_ids: Mapping[str, str]) -> None:
        self._topic_ids = topic_ids
        self._shelves: dict[int, PartitionIndex] = {}
        self._ledger = PartitionIndex(self._folder, "ledger", ACT, self._identity_of(self._names.ledger))
        self._begins: dict[int, int] = {}
        self._acts = Acts(np.empty(0, dtype=ACT))

    def _identity_of(self, topic: str) -> str:
        return f"{self._identity}/{topic}@{self._topic_ids.get(topic, '')}"

    @property
    def view(self) -> tuple[Path, TopicNames, str, Mapping[str, str]]:
        """What another index of the same is made of."""
        return self._folder, self._names, self._identity, self._topic_ids

    def shelf(self, partition: int) -> PartitionIndex:
        """The letters of one partition."""
        if partition not in self._shelves:
            identity = self._identity_of(self._names.dead_letters)
            self._shelves[partition] = PartitionIndex(self._folder, f"letters-{partition}", LETTER, identity)
        return self._shelves[partition]

    # Reading on

    async def _identify(self, reader: Reader) -> None:
        """Begin anew where a topic was made anew since. A broker that has not heard of a topic yet says nothing."""
        known = dict(self._topic_ids)
        known |= await reader.topic_ids((self._names.dead_letters, self._names.ledger))
        if known != self._topic_ids:
            self._begin_with(known)

    async def refresh(self, reader: Reader, on_read: OnRead | None = None, *, together: Together | None = None) -> None:
        """Read both topics on to the first open transaction. While another process reads on, wait for it. `together`
        may read on a part of the way beforehand."""
        await self._identify(reader)
        spans = await reader.spans((self._names.dead_letters, self._names.ledger), stable=True)
        if together is not None:
            letters = {key: span for key, span in spans.items() if key.topic == self._names.dead_letters}
            await together(self, letters, on_read)
        await self.read_on(reader, spans, on_read)

    async def refresh_ledger(self, reader: Reader) -> None:
        """Read the ledger on to its very end, and wait for transactions that are still open there."""
        await self._identify(reader)
        await self.read_on(reader, await reader.spans((self._names.ledger,)))

    async def read_on(
        self, reader: Reader, spans: Mapping[TopicPartition, Span], on_read: OnRead | None = None
    ) -> None:
        """Bring the index up to the ends of these spans."""
        self._begins |= {
            partition.partition: span.begin
            for partition, span in spans.items()
            if partition.topic != self._names.ledger
        }
        await self._drop_what_is_no_more(reader, spans)
        while behind := {key: span for key, span in spans.items() if self._of(key).position < span.end}:
            with contextlib.ExitStack() as locks:
                writers = {
                    partition: writer
                    for partition in behind
                    if (writer := locks.enter_context(self._of(partition).writing())) is not None
                }
                if writers:
                    await self._read(reader, {key: behind[key] for key in writers}, writers, on_read)
                else:
                    await asyncio.sleep(LOOK_AGAIN_S)
        if self._acts.rows is not (rows := self._ledger.look().rows):
            self._acts = Acts(rows)

    async def _drop_what_is_no_more(self, reader: Reader, spans: Mapping[TopicPartition, Span]) -> None:
        """Begin anew where a topic is shorter than what was read of it: it was deleted and made again."""
        suspects = [key for key, span in spans.items() if self._of(key).position > span.end]
        if not suspects:
            return
        # another process may have read on beyond our spans: what counts is where the topics end now
        now = await reader.spans({key.topic for key in suspects})
        for key in suspects:
            with self._of(key).writing() as writer:
                if writer is not None and writer.position > now[key].end:
                    writer.start_over()

    def _of(self, partition: TopicPartition) -> PartitionIndex:
        return self._ledger if partition.topic == self._names.ledger else self.shelf(partition.partition)

    async def _read(
        self,
        reader: Reader,
        spans: Mapping[TopicPartition, Span],
        writers: Mapping[TopicPartition, PartitionIndexWriter],
        on_read: OnRead | None,
    ) -> None:
        ahead = {key: Span(max(span.begin, writers[key].position), span.end) for key, span in spans.items()}
        offsets, done = sum(span.end - span.begin for span in ahead.values()), 0
        pending: dict[TopicPartition, list[Rows]] = {partition: [] for partition in ahead}
        with without_collection():
            async for partition, records in reader.read(ahead, whole_batches=True):
                writer = writers[partition]
                pending[partition].append(self._rows(partition, records, writer.tables))
                done += len(records)
                if sum(map(len, pending[partition])) >= KEPT_EVERY_RECORDS:
                    writer.add(np.concatenate(pending[partition]), records[-1].offset + 1)
                    pending[partition] = []
                if on_read is not None:
                    on_read(done, offsets)
                await asyncio.sleep(0)  # the reader does not let others run while it has records at hand
        for partition, writer in writers.items():
            rows = pending[partition] or [np.empty(0, dtype=ACT if partition.topic == self._names.ledger else LETTER)]
            writer.add(np.concatenate(rows), spans[partition].end)
            writer.drop_before(spans[partition].begin)

    def _rows(self, partition: TopicPartition, records: Sequence[Record], tables: Dictionaries) -> Rows:
        if partition.topic == self._names.ledger:
            rows = act_rows(records, self.sides)
            if len(rows) < len(records):
                log.warning(
                    "%s records of %s describe no action on a dead letter and were skipped: find out who else may "
                    "write to it",
                    len(records) - len(rows),
                    partition.topic,
                )
            return rows
        return letter_rows(partition.partition, records, tables, self.sides)

    # What is there

    @property
    def acts(self) -> Acts:
        """What operators have done, as of the last reading on."""
        return self._acts

    @property
    def partitions(self) -> Sequence[int]:
        """Those that were read on."""
        return sorted(self._begins)

    def chunks(self, cap: int, partitions: Iterable[int] | None = None) -> Iterator[Chunk]:
        """All letters that the topic retains, bit by bit, in the order of partitions and offsets. A letter whose record
        has been replayed `cap` times is parked."""
        for partition in self.partitions if partitions is None else partitions:
            if partition not in self._begins:
                continue
            shelved = self.shelf(partition).look()
            first = int(np.searchsorted(shelved.rows["offset"], self._begins[partition]))
            for begin in range(first, len(shelved.rows), CHUNK_ROWS):
                yield self._chunk(partition, shelved.rows[begin : begin + CHUNK_ROWS], shelved.tables, cap)

    def _chunk(self, partition: int, rows: Rows, tables: Dictionaries, cap: int) -> Chunk:
        acts = self._acts
        states = np.full(len(rows), OPEN, dtype=np.int8)
        replays = np.zeros(len(rows), dtype=np.int32)
        if not len(acts.rows):
            return Chunk(partition, rows, states, replays, tables)
        origins = np.ascontiguousarray(rows["origin"])
        arrived = acts.arrivals(origins)
        came = arrived >= 0
        replays[came] = acts.rows["replays"][arrived[came]]
        states[replays >= cap] = PARKED
        decided = acts.decisions(origins)
        there = decided >= 0
        discarded = acts.rows["act"][decided[there]] == ACTS.index(Action.DISCARD)
        states[there] = np.where(discarded, DISCARDED, REPLAYED)
        return Chunk(partition, rows, states, replays, tables)

    def holds(self, partition: int, offset: int) -> bool:
        """Whether a letter lies there, as of the last reading on."""
        offsets = self.shelf(partition).look().rows["offset"] if partition in self._begins else np.empty(0, dtype=int)
        row = int(np.searchsorted(offsets, offset))
        return row < len(offsets) and int(offsets[row]) == offset >= self._begins[partition]

    def letters_of(self, origins: Iterable[int]) -> Iterator[tuple[int, int]]:
        """Partition and offset of the letters whose records were read at these places (see `place_number`)."""
        wanted = np.fromiter(origins, dtype=np.int64)
        for partition in self.partitions:
            rows = self.shelf(partition).look().rows
            for begin in range(0, len(rows), CHUNK_ROWS):
                chunk = rows[begin : begin + CHUNK_ROWS]
                found = chunk["offset"][np.isin(chunk["origin"], wanted)]
                yield from ((partition, int(offset)) for offset in found)


@contextlib.contextmanager
def without_collection() -> Iterator[None]:
    """Millions of short-lived tuples make the cyclic collector cost more than the work; none of them is a cycle."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
