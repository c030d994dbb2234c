"""The one reader of a worker: it joins the group, opens and closes lanes as partitions come and go, and hands every
lane its records.

Invariant: the reader never waits for a lane and a lane never reads; a lane that is full is simply not asked for, so no
fetched record is dropped.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import InconsistentGroupProtocolError, KafkaError

from stream_scorer.errors import GroupError, OutageError, TopicsError
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.kafka.batch_fetch import next_offset, read, watch_membership
from stream_scorer.runtime.kafka.connection_check import reach
from stream_scorer.runtime.kafka.fetch_sessions import use_fetch_sessions
from stream_scorer.runtime.lanes.consumer_lag import ConsumerLag
from stream_scorer.runtime.lanes.group_members import GroupWatch
from stream_scorer.runtime.lanes.lane import Lane
from stream_scorer.runtime.lanes.member_data import range_assignor
from stream_scorer.runtime.lanes.position_check import Lost, PositionCheck, Reached
from stream_scorer.runtime.publishing.publisher import LaneUnavailableError

log = logging.getLogger(__name__)

# A fetch brings at most so much of a partition at once: about one full batch of small events
FETCH_BYTES_MAX_OF_PARTITION = 2 * 1024 * 1024
FETCH_BYTES_MAX = 16 * 1024 * 1024
# How long the broker keeps a fetch that finds nothing. A lane that opens meanwhile is asked for with the next one.
FETCH_WAIT_MS_MAX = 100
# How long the reader waits for records before it looks at its lanes again; short while one of them is full, because it
# may be hungry soon
POLL_S = 0.2
POLL_WHILE_FULL_S = 0.005
# The client leaves the group when nothing was read for so long. Lanes that restore a large state read nothing for a
# long time and must keep their place; that a worker makes progress is for `/livez` to tell.
POLL_INTERVAL_MS_MAX = 24 * 3_600_000
# How long the group waits for a member that is alive but does not come to a rebalance
REBALANCE_WAIT_MS_MAX = 30_000
# Between two attempts to reach a broker that is not there yet
CONNECT_WAIT_S = 1.0
# While it waits for the same reason it says so again
TELL_EVERY_S = 30.0
# How long a lane may take to finish what is under way when its partition goes to another worker
CLOSE_WAIT_S = 5.0
# How long leaving the group may take, at least
LEAVE_WAIT_S = 1.0


class ConsumerLoop(ConsumerRebalanceListener):
    """Reads both input topics. `open_lane` makes a lane for a partition; the first fault of anything here ends `run`
    with it."""

    def __init__(
        self,
        options: Mapping[str, Any],
        *,
        group: str,
        group_instance_id: str,
        session_timeout_ms: int,
        names: TopicNames,
        batch_records_max: int,
        open_lane: Callable[[int, AIOKafkaConsumer], Lane],
        rebalanced: Callable[[], None],
        fetched: Callable[[float], None],
        held_back_s: Callable[[], float] = lambda: 0.0,
        lost: Lost = lambda partition, first, last: None,
        application_server: str = "",
    ) -> None:
        """`application_server`: where look-ups reach this worker, `host:port`, told to the group."""
        self.lanes: dict[int, Lane] = {}
        self.joined = False
        self.connected = False
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._topics = names.observations, names.outcomes
        self._options = options
        self._batch_records_max = batch_records_max
        self._open_lane, self._rebalanced, self._fetched = open_lane, rebalanced, fetched
        # for how long nothing is to be read from now on
        self._held_back_s = held_back_s
        self._has_capacity = asyncio.Event()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.consumer = consumer = AIOKafkaConsumer(
            **options,
            group_id=group,
            group_instance_id=group_instance_id or None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            partition_assignment_strategy=(range_assignor(application_server),),
            session_timeout_ms=session_timeout_ms,
            heartbeat_interval_ms=min(3_000, session_timeout_ms // 3),
            max_poll_interval_ms=POLL_INTERVAL_MS_MAX,
            rebalance_timeout_ms=REBALANCE_WAIT_MS_MAX,
            max_partition_fetch_bytes=FETCH_BYTES_MAX_OF_PARTITION,
            fetch_max_bytes=FETCH_BYTES_MAX,
            fetch_max_wait_ms=FETCH_WAIT_MS_MAX,
            metadata_max_age_ms=60_000,
        )
        self.backlog = ConsumerLag(consumer, self._reached, PositionCheck(lost))
        self._group = group
        self.group_watch = GroupWatch(consumer, group=group, topics=self._topics, group_instance_id=group_instance_id)
        self._naming: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Wait for the broker, however long it takes, and say so now and then. Raises `SettingsError` where it is there
        and does not let us in."""
        told, told_at_s = "", 0.0
        while True:
            try:
                await reach(self._options, self.consumer)
                await self.consumer.start()
                use_fetch_sessions(self.consumer)
            except (OutageError, KafkaError, OSError) as error:
                if str(error) != told or time.monotonic() - told_at_s >= TELL_EVERY_S:
                    told, told_at_s = str(error), time.monotonic()
                    log.warning("Kafka can't be used yet; waiting for it. %s", error)
                await asyncio.sleep(CONNECT_WAIT_S)
            else:
                self.connected = True
                return

    async def run(self) -> None:
        """Read until cancelled. Raises the first fault of the reader, of a lane or of a rebalance."""
        self.consumer.subscribe(self._topics, listener=self)
        reader = asyncio.create_task(self._read())
        member = asyncio.create_task(watch_membership(self.consumer))
        watcher = asyncio.create_task(self.backlog.watch(lambda: self.inputs))
        company = asyncio.create_task(self.group_watch.run(lambda: self.joined))
        tasks = (reader, member, watcher, company)
        try:
            await asyncio.wait((*tasks, self._failed), return_when=asyncio.FIRST_COMPLETED)
            # a lane's fault tells more than what it does to the reader
            for finished in (self._failed, member, company, reader, watcher):
                if finished.done():
                    finished.result()
        except InconsistentGroupProtocolError as error:
            strangers = await self.group_watch.named_strangers()
            raise GroupError(
                f"The group {self._group} has members that share out partitions by another rule than the workers' "
                f"(range): {strangers or 'they could not be named'}. Stop them, or give them a group of their own."
            ) from error
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def inputs(self) -> list[TopicPartition]:
        """The inputs of the lanes that are ours now."""
        return [partition for lane in self.lanes.values() for partition in lane.inputs]

    def _reached(self) -> dict[TopicPartition, Reached]:
        """How far the inputs of open lanes were read."""
        return {
            partition: Reached(taken, next_offset(self.consumer, partition) or 0, lane.take_gaps(partition))
            for lane in self.lanes.values()
            if lane.open
            for partition in lane.inputs
            if (taken := lane.position(partition)) is not None
        }

    async def _read(self) -> None:
        while True:
            if (held_back_s := self._held_back_s()) > 0:
                await asyncio.sleep(min(held_back_s, POLL_S))
                continue
            wanted = [
                partition for lane in self.lanes.values() for partition in lane.inputs if lane.has_capacity(partition)
            ]
            if not wanted:
                self._has_capacity.clear()
                await self._has_capacity.wait()
                continue
            full = len(wanted) < len(self.inputs)
            began_s = time.perf_counter()
            fetched = await read(
                self.consumer,
                wanted,
                timeout_s=POLL_WHILE_FULL_S if full else POLL_S,
                records_max=self._batch_records_max,
            )
            if fetched:
                self._fetched(time.perf_counter() - began_s)
            for partition, records in fetched.items():
                if (lane := self.lanes.get(partition.partition)) is not None:
                    lane.enqueue(partition, records)
            # it answers at once while records are there: let the lanes work between two answers
            await asyncio.sleep(0)

    # The rebalance. The client logs and swallows what a listener raises: it is kept here and raised in `run`.

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        self.joined = False
        if revoked:
            log.info("the group rebalances: lanes %s finish their current batch", sorted(self.lanes))
        await self.close_lanes(CLOSE_WAIT_S)

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        try:
            self._rebalanced()
            self.group_watch.rebalanced()
            partitions = {partition.partition for partition in assigned}
            if (apart := self._split(assigned, partitions)) is not None:
                # asking who has the rest takes a moment, and the rebalance must not wait for it
                self._naming = asyncio.create_task(self._refuse_split(apart))
                return
            self.consumer.pause(*assigned)  # nothing is fetched before its lane has sought its place
            for partition in sorted(partitions):
                self._start_lane(partition)
            self.joined = True
            log.info("joined the group. Assigned lanes: %s", sorted(partitions) if partitions else "(none)")
        except Exception as error:
            self._fail(error)

    def _split(self, assigned: set[TopicPartition], partitions: set[int]) -> TopicPartition | None:
        """A partition of an input that we lack, though we have its sister."""
        needed = [TopicPartition(topic, partition) for partition in sorted(partitions) for topic in self._topics]
        return next((partition for partition in needed if partition not in assigned), None)

    async def _refuse_split(self, apart: TopicPartition) -> None:
        strangers = await self.group_watch.named_strangers()
        if strangers:
            self._fail(
                GroupError(
                    f"A consumer that is not a worker is in the group {self._group} and has partition "
                    f"{apart.partition} of {apart.topic}, or another that belongs to a worker: {strangers}. Stop "
                    "it, or give it a group of its own, then start the worker again."
                )
            )
            return
        self._fail(
            TopicsError(
                f"Partition {apart.partition} of {apart.topic} was assigned without its counterpart: "
                f"{' and '.join(self._topics)} must have the same number of partitions. "
                "Run `stream-scorer topics check`."
            )
        )

    def _start_lane(self, partition: int) -> None:
        lane = self._open_lane(partition, self.consumer)
        lane.on_capacity = self._has_capacity.set
        task = asyncio.create_task(lane.run(), name=f"lane {partition}")
        task.add_done_callback(partial(self._lane_ended, partition))
        self.lanes[partition], self._tasks[partition] = lane, task

    def _lane_ended(self, partition: int, task: asyncio.Task[None]) -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, LaneUnavailableError) and self._tasks.get(partition) is task:
            self._reopen(partition, error)
        elif not isinstance(error, LaneUnavailableError):
            self._fail(error)

    def _reopen(self, partition: int, error: LaneUnavailableError) -> None:
        """A new lane in the place of one that could not write: it opens once it can, and reads on behind what was
        committed."""
        log.warning("lane %s is closed until it can write again: %s", partition, error)
        try:
            self.consumer.pause(*self.lanes[partition].inputs)
            self._start_lane(partition)
        except Exception as ours:
            self._fail(ours)

    def _fail(self, error: BaseException) -> None:
        if not self._failed.done():
            self._failed.set_exception(error)

    # The end

    async def close_lanes(self, wait_s: float) -> None:
        """Let every lane commit what is under way, at most `wait_s` seconds; abort what is not done by then."""
        lanes, tasks = list(self.lanes.values()), list(self._tasks.values())
        self.lanes, self._tasks = {}, {}
        for lane, task in zip(lanes, tasks, strict=True):
            was_open = lane.open
            lane.stop()
            if not was_open:
                task.cancel()  # it has nothing under way, and a broker that is away would hold it
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=wait_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def stop(self, wait_s: float) -> None:
        """Close the lanes and leave the group."""
        # a good-bye goes behind a join under way, which is answered only once the whole group has come
        leave_wait_s = max(LEAVE_WAIT_S, wait_s / 2) if self.joined else LEAVE_WAIT_S
        self.joined = False
        await self.close_lanes(wait_s)
        with contextlib.suppress(KafkaError, TimeoutError, ConnectionError):
            await asyncio.wait_for(self.consumer.stop(), leave_wait_s)
        if self._failed.done() and not self._failed.cancelled():
            self._failed.exception()  # told already, or the process ends for another reason
