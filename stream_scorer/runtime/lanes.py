"""A lane: everything of one partition number in this worker, from the records that wait to the transaction that settles them.

Law: a lane owns delivery. It reads nothing before its predecessor is fenced, takes every offset once, and on any fault commits nothing more.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from stream_scorer.runtime.consuming import Record
from stream_scorer.runtime.publishing import Outputs, Publisher

log = logging.getLogger(__name__)

# While a transaction commits, the next batch is scored at once if it has this many records; a smaller one waits for the commit and grows
# meanwhile, so that a record that comes during a commit shares the very next one with those behind it.
OVERLAP_RECORDS_MIN = 1_000


@dataclass(slots=True)
class Batch:
    """Records of one lane that go through together, by input topic, and the offsets to commit with what becomes of them."""

    partition: int
    observations: Sequence[Record]
    outcomes: Sequence[Record]
    offsets: dict[TopicPartition, int]
    taken_at_s: float = field(default_factory=time.perf_counter)

    @property
    def records(self) -> int:
        return len(self.observations) + len(self.outcomes)


@dataclass(slots=True)
class Work:
    """What became of a batch: the records to publish, and what to count once they are committed."""

    outputs: Outputs
    counted: Callable[[], None]


class Lane:
    """One partition number's records, producer and progress. Made at assignment, stopped at revocation, never reused."""

    def __init__(
        self,
        partition: int,
        *,
        observations: str,
        outcomes: str,
        consumer: AIOKafkaConsumer,
        publisher: Publisher,
        work: Callable[[Batch], Awaitable[Work]],
        before_commit: Callable[[], None],
        batch_records_max: int,
    ) -> None:
        self.partition = partition
        self.observations = TopicPartition(observations, partition)
        self.outcomes = TopicPartition(outcomes, partition)
        self._consumer, self._publisher, self._work, self._before_commit = consumer, publisher, work, before_commit
        self._batch_records_max = batch_records_max
        self._waiting: dict[TopicPartition, list[Record]] = {self.observations: [], self.outcomes: []}
        self._next_offset: dict[TopicPartition, int] = {}
        self._arrived = asyncio.Event()
        self._stopping = False
        self._in_flight_records = 0
        self.open = False
        self.committed_at_s = self.held_since_s = time.monotonic()
        self.hungry: Callable[[], None] = lambda: None

    # What the reader sees

    @property
    def inputs(self) -> tuple[TopicPartition, TopicPartition]:
        return self.observations, self.outcomes

    def wants(self, partition: TopicPartition) -> bool:
        """Whether to read more of this input: up to one batch waits while another is under way."""
        return self.open and not self._stopping and len(self._waiting[partition]) < self._batch_records_max

    def offer(self, partition: TopicPartition, records: Sequence[Record]) -> None:
        """Take records in the order of their offsets; those that the lane has had, or can't have yet, are dropped without harm."""
        if not self.open:
            return  # read before the lane sought its place: they come again
        expected = self._next_offset[partition]
        if records[0].offset < expected:
            records = [record for record in records if record.offset >= expected]
            if not records:
                return
        self._next_offset[partition] = records[-1].offset + 1
        if not self.held_records:
            self.held_since_s = time.monotonic()
        self._waiting[partition].extend(records)
        self._arrived.set()

    @property
    def held_records(self) -> int:
        """Records that were read and are not committed yet."""
        return sum(map(len, self._waiting.values())) + self._in_flight_records

    def position(self, partition: TopicPartition) -> int | None:
        """The offset behind the last record taken, None before the lane is open."""
        return self._next_offset.get(partition)

    def oldest_waiting_ms(self) -> int | None:
        """The timestamp of the oldest record that waits in the lane."""
        return min((records[0].timestamp for records in self._waiting.values() if records), default=None)

    # What the lane's own task does

    async def run(self) -> None:
        """Open the lane and work until told to stop. Raises whatever kept a batch from being committed."""
        committing: asyncio.Task[None] | None = None
        try:
            await self._start()
            while (batch := await self._next_batch(committing)) is not None:
                self._in_flight_records += batch.records
                work = await self._work(batch)
                if committing is not None:
                    await committing
                committing = asyncio.create_task(self._commit(batch, work))
                committing.add_done_callback(lambda _: self._arrived.set())
            if committing is not None:
                await committing
        finally:
            self.open = False
            if committing is not None and not committing.done():
                committing.cancel()
                await asyncio.gather(committing, return_exceptions=True)
            await self._publisher.stop()

    async def _start(self) -> None:
        """Fence the lane's former owner, then, and only then, look up what they committed last."""
        started_s = time.perf_counter()
        await self._publisher.start()
        for partition in self.inputs:
            committed = await self._consumer.committed(partition)
            beginning = (await self._consumer.beginning_offsets([partition]))[partition]
            if committed is not None and committed < beginning:
                log.error(
                    "%s records of %s[%s] were deleted by the topic's retention before they were scored (offsets %s to %s): "
                    "give the topic a longer retention, or more workers",
                    beginning - committed, partition.topic, partition.partition, committed, beginning - 1,
                )  # fmt: skip
            self._next_offset[partition] = max(beginning, committed or 0)
        for partition in self.inputs:
            self._consumer.seek(partition, self._next_offset[partition])
        self.open = not self._stopping
        self.hungry()
        log.info(
            "lane %s open after %.0f ms, reads on from offsets %s and %s",
            self.partition, (time.perf_counter() - started_s) * 1000, self._next_offset[self.observations], self._next_offset[self.outcomes],
        )  # fmt: skip

    async def _next_batch(self, committing: asyncio.Task[None] | None) -> Batch | None:
        """Records as soon as it is their turn, or None when the lane stops. Raises what the commit in flight raised."""
        while not self._stopping:
            idle = committing is None or committing.done()
            if idle and committing is not None:
                committing.result()
            waiting = sum(map(len, self._waiting.values()))
            if waiting and (idle or waiting >= OVERLAP_RECORDS_MIN):
                return self._take()
            self._arrived.clear()
            await self._arrived.wait()
        return None

    def _take(self) -> Batch:
        taken: dict[TopicPartition, list[Record]] = {}
        for partition, records in self._waiting.items():
            taken[partition] = records[: self._batch_records_max]
            self._waiting[partition] = records[self._batch_records_max :]
        self.hungry()
        offsets = {partition: records[-1].offset + 1 for partition, records in taken.items() if records}
        return Batch(self.partition, taken[self.observations], taken[self.outcomes], offsets)

    async def _commit(self, batch: Batch, work: Work) -> None:
        self._before_commit()
        await self._publisher.publish(work.outputs, batch.offsets)
        self.committed_at_s = time.monotonic()
        self._in_flight_records -= batch.records
        work.counted()

    def stop(self) -> None:
        """Take no further batch; what is under way is committed first. `run` returns then."""
        self._stopping = True
        self._arrived.set()


