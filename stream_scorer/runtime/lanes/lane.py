"""A lane: everything of one partition number in this worker, from the records that wait to the transaction that settles
them.

Invariant: a lane owns delivery. It reads nothing before its predecessor is fenced, takes every offset once, and on any
fault commits nothing more. What it may do when stands in `lifecycle.py`.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from stream_scorer.core.records.clock import WindowClock
from stream_scorer.core.records.model_switch import FirstOffsets
from stream_scorer.core.records.output_timestamps import ANY_AGE, AgesMax, within_bounds
from stream_scorer.core.records.record import ProducerRecord
from stream_scorer.core.state.model_ids import ModelIds
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.kafka.batch_fetch import Record
from stream_scorer.runtime.kafka.record_batches import Ends, Outputs
from stream_scorer.runtime.lanes.batch import Batch, BatchResult
from stream_scorer.runtime.lanes.buffer import LaneBuffer
from stream_scorer.runtime.lanes.expiry_timer import ExpiryTimer
from stream_scorer.runtime.lanes.lane_evidence import LaneEvidence
from stream_scorer.runtime.lanes.lane_models import LaneModels
from stream_scorer.runtime.lanes.lifecycle import LaneEvent, LaneStatus, after
from stream_scorer.runtime.lanes.start_offsets import StartOffsets
from stream_scorer.runtime.publishing.publisher import Publisher
from stream_scorer.runtime.state.pending_writes import PendingWrites

log = logging.getLogger(__name__)

# While a transaction commits, the next batch is scored at once if it has this many records; a smaller one waits for the
# commit and grows meanwhile, so that a record that comes during a commit shares the very next one with those behind it.
OVERLAP_RECORDS_MIN = 1_000


class Lane:
    """One partition number's records, publisher, state and progress. Made at assignment, stopped at revocation, never
    reused."""

    def __init__(
        self,
        partition: int,
        *,
        names: TopicNames,
        consumer: AIOKafkaConsumer,
        publisher: Publisher,
        open_state: Callable[[int], Awaitable[PendingWrites]],
        work: Callable[[Batch], Awaitable[BatchResult]],
        before_commit: Callable[[], None],
        committed: Callable[[Batch, BatchResult], None],
        batch_records_max: int,
        clock: Callable[[], WindowClock],
        start_offsets: StartOffsets,
        models: LaneModels,
        evidence: LaneEvidence,
        lost: Callable[[TopicPartition, int, int], None],
        ages_ms_max: AgesMax = ANY_AGE,
        keeps_all: Callable[[], bool] = lambda: False,
    ) -> None:
        """`lost` is told of offsets of an input, the first and the last, that retention deleted unread;
        `ages_ms_max`: how far back the timestamps may lie of what is published;
        `keeps_all` says whether nothing may be forgotten or expire now."""
        self.partition = partition
        self.observations = TopicPartition(names.observations, partition)
        self.outcomes = TopicPartition(names.outcomes, partition)
        # what the state is a view of
        self._viewed = TopicPartition(names.predictions, partition), TopicPartition(names.outcome_updates, partition)
        self._consumer, self._publisher, self._open_state, self._work = consumer, publisher, open_state, work
        self._before_commit, self._committed = before_commit, committed
        self._clock, self._ages_ms_max = clock, ages_ms_max
        self._start_offsets, self._models, self._lost = start_offsets, models, lost
        self._switches = TopicPartition(models.topic, partition)
        self._evidence, self._evidence_topic = evidence, TopicPartition(evidence.topic, partition)
        self._arrived = asyncio.Event()
        self._buffer = LaneBuffer(self.inputs, batch_records_max)
        self._expiry = ExpiryTimer(clock, self._has_read_all, self._arrived.set, keeps_all)
        self.status = LaneStatus.OPENING
        self.state: PendingWrites | None = None
        self.committed_at_s = time.monotonic()
        self.on_capacity: Callable[[], None] = lambda: None

    def _on(self, event: LaneEvent) -> None:
        self.status = after(self.status, event)

    # What the reader and the probes see

    @property
    def inputs(self) -> tuple[TopicPartition, TopicPartition]:
        return self.observations, self.outcomes

    @property
    def open(self) -> bool:
        """Whether it takes records."""
        return self.status is LaneStatus.OPEN

    def has_capacity(self, partition: TopicPartition) -> bool:
        """Whether to read more of this input."""
        return self.open and self._buffer.has_room(partition)

    def enqueue(self, partition: TopicPartition, records: Sequence[Record]) -> None:
        """Take records in the order of their offsets; those that the lane has had, or can't have yet, are dropped
        without harm."""
        # what was read before the lane sought its place comes again
        if self.open and self._buffer.add(partition, records):
            self._arrived.set()

    @property
    def held_records(self) -> int:
        """Records that were read and are not committed yet."""
        return self._buffer.held_records

    @property
    def held_since_s(self) -> float:
        """When, on the monotonic clock, it began to hold records."""
        return self._buffer.held_since_s

    def position(self, partition: TopicPartition) -> int | None:
        """The offset behind the last record taken, None before the lane is open."""
        return self._buffer.position(partition)

    def take_gaps(self, partition: TopicPartition) -> tuple[tuple[int, int], ...]:
        """Offsets that no record came of since this was asked last, (first, next): of markers, of what was aborted, or
        of what is not there any more."""
        return self._buffer.take_gaps(partition)

    def is_pending(self, id_: bytes) -> bool:
        """Whether what `committed` says of the id is about to change: its batch is being committed."""
        return self.open and self.state is not None and self.state.is_pending(id_)

    def committed(self, id_: bytes) -> tuple[bytes | None, ModelIds] | None:
        """What is committed of an id: its packed entry, None where nothing is known, and the table of its models. None
        while the lane is not open, when its state may not be complete, or not its own any more."""
        if not self.open or self.state is None:
            return None
        return self.state.store.get_many([id_])[0], self.state.models

    def oldest_waiting_ms(self) -> int | None:
        """The timestamp of the oldest record that was read and is not committed yet."""
        return self._buffer.oldest_ms()

    # What the lane's own task does

    async def run(self) -> None:
        """Open the lane and work until told to stop. Raises whatever kept a batch from being committed."""
        committing: asyncio.Task[None] | None = None
        ticking: asyncio.Task[None] | None = None
        try:
            state = await self._start()
            ticking = asyncio.create_task(self._expiry.run(state))
            ticking.add_done_callback(lambda _: self._arrived.set())
            while (batch := await self._next_batch(committing, ticking, state)) is not None:
                work = await self._work(batch)
                switched = self._models.switched(batch.models, batch.first, work.suspensions, self._clock().now_ms)
                work.add_output(self._switches, switched)
                counted = await self._evidence.count(batch, work, self._first(), self._clock().now_ms)
                work.add_output(self._evidence_topic, counted)
                state.stage(work.entries)
                if committing is not None:
                    await committing
                committing = asyncio.create_task(self._commit(batch, work, state))
                committing.add_done_callback(lambda _: self._arrived.set())
            if committing is not None:
                await committing
            await self._publish_last_evidence()
        finally:
            self._on(LaneEvent.ENDED)
            under_way = [task for task in (committing, ticking) if task is not None]
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)
            await self._publisher.stop()
            if self.state is not None:
                self.state.close()

    async def _start(self) -> PendingWrites:
        """Fence the lane's former owner, then, and only then, bring the state up to date and look up what they
        committed last."""
        started_s = time.perf_counter()
        spans = await self._start_offsets.spans(self._consumer, self.inputs)
        await self._publisher.start()
        self.state = state = await self._open_state(self.partition)
        begun = await self._start_offsets.find(self._consumer, spans)
        for partition, (first, last) in begun.lost.items():
            self._lost(partition, first, last)
        if anew := {*begun.uncommitted, *begun.lost}:
            # so that from now on the group knows, also where an input stays empty for long
            await self._publisher.publish({}, {partition: begun.offsets[partition] for partition in anew})
        self._buffer.seek(begun.offsets)
        await self._models.open()
        await self._refuse_without_champion()
        await self._evidence.open(self._models.serving())
        for partition in self.inputs:
            self._consumer.seek(partition, begun.offsets[partition])
        self._consumer.resume(*self.inputs)
        self._on(LaneEvent.POSITIONED)
        self.on_capacity()
        log.info(
            "lane %s opened in %.0f ms; reading from offsets %s and %s",
            self.partition,
            (time.perf_counter() - started_s) * 1000,
            *(begun.offsets[partition] for partition in self.inputs),
        )
        return state

    async def _next_batch(
        self, committing: asyncio.Task[None] | None, ticking: asyncio.Task[None], state: PendingWrites
    ) -> Batch | None:
        """Records as soon as it is their turn, or None when the lane stops. Raises what the commit in flight raised."""
        while self.open:
            idle = committing is None or committing.done()
            if idle and committing is not None:
                committing.result()
            if ticking.done():
                ticking.result()
            if self._models.refusal is not None:
                if idle:
                    await self._refuse_without_champion()
                self._arrived.clear()
                await self._arrived.wait()
                continue
            waiting = self._buffer.waiting_records
            if waiting >= OVERLAP_RECORDS_MIN:
                return self._take(state)
            if idle and (waiting or self._expiry.is_due):
                if waiting:
                    self._publisher.announce()
                return self._take(state)
            self._arrived.clear()
            if idle and (records := self._models.ready(self._first(), self._clock().now_ms)):
                await self._publish_switches(records)
                continue
            await self._arrived.wait()
        return None

    def _take(self, state: PendingWrites) -> Batch:
        first = self._first()
        taken, offsets = self._buffer.take()
        self.on_capacity()
        return Batch(
            self.partition,
            taken[self.observations],
            taken[self.outcomes],
            offsets,
            state,
            self._models.serving(),
            first,
            self._expiry.take(),
        )

    def _first(self) -> FirstOffsets:
        """The first offsets of the next batch."""
        taken = self._buffer.taken_offsets
        return FirstOffsets(taken[self.observations], taken[self.outcomes])

    async def _refuse_without_champion(self) -> None:
        """End the lane where the champion can't be loaded, and let its topic of switches say so."""
        if (refusal := self._models.refusal) is not None:
            if records := self._models.refused(self._first(), self._clock().now_ms):
                await self._publish_switches(records)
            raise refusal

    async def _publish_switches(self, records: Sequence[ProducerRecord]) -> None:
        """In a transaction without a batch: while nothing else is under way."""
        self._before_commit()
        await self._publisher.publish({self._switches: records}, dict(self._buffer.taken_offsets))

    async def _publish_last_evidence(self) -> None:
        """What was counted since the last evidence records. Whatever keeps it from being published, the lane has
        committed its batches and ends well."""
        records = self._evidence.unrecorded(self._first(), self._clock().now_ms)
        if not records:
            return
        try:
            self._before_commit()
            await self._publisher.publish({self._evidence_topic: records}, dict(self._buffer.taken_offsets))
        except Exception as error:
            log.warning("lane %s ends without its last evidence records: %s", self.partition, error)

    async def _commit(self, batch: Batch, work: BatchResult, state: PendingWrites) -> None:
        self._before_commit()
        began_s = time.perf_counter()
        ends: Ends = {}
        if batch.offsets or work.outputs:
            ends = await self._publisher.publish(self._stamped(work.outputs), batch.offsets)
            work.stats.steps_s["commit"] = commit_s = self._publisher.commit_s
            work.stats.steps_s["publish"] = time.perf_counter() - began_s - commit_s
        state.commit({viewed.topic: ends[viewed] for viewed in self._viewed if viewed in ends}, batch.due)
        self.committed_at_s = time.monotonic()
        self._buffer.settle(batch.records)
        self._committed(batch, work)

    def _stamped(self, outputs: Outputs) -> Outputs:
        """What is published, with timestamps that its topics take and keep."""
        now_ms, ages_ms_max = self._clock().now_ms, self._ages_ms_max
        return {
            partition: within_bounds(records, now_ms, ages_ms_max.get(partition.topic))
            for partition, records in outputs.items()
        }

    async def _has_read_all(self) -> bool:
        """Whether every observation that was published before now has been taken into the state; False where Kafka
        does not say, or the partition is about to go."""
        try:
            ends = await self._consumer.end_offsets([self.observations])
            position = await self._consumer.position(self.observations)
        except KafkaError:
            return False
        return not self._buffer.waiting(self.observations) and position >= ends[self.observations]

    def wake(self) -> None:
        """Look at what is there to do: other models may be loaded, or can't be."""
        self._arrived.set()

    def stop(self) -> None:
        """Take no further batch; what is under way is committed first. `run` returns then."""
        self._on(LaneEvent.STOP)
        self._arrived.set()
