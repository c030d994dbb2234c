"""What became of outcomes: the topic of outcome updates, read for those who wait.

Invariant: an update is matched by the source that it names. That nothing was published of an outcome is believed only
once the group has committed past it and every update up to that commit has been read.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError

from stream_scorer.client.no_reply import LOOK_BACK_FIRST, LOOK_BACK_MAX, ReadStalled, read_range
from stream_scorer.client.reply_consumer import count_partitions
from stream_scorer.core.records.decode import decode_or_none
from stream_scorer.core.records.outcome_update import Update, decode_update
from stream_scorer.core.records.record import Source
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.kafka.client import client_options, is_reachable
from stream_scorer.runtime.settings.settings import Settings

POLL_MS: Final = 100
FETCH_WAIT_MS: Final = 50
QUIET_S: Final = 0.05
OUTAGE_WAIT_S: Final = 0.5
REACH_WAIT_S: Final = 5.0
STOP_WAIT_S: Final = 5.0


@dataclass(eq=False)
class Waiting:
    """One outcome on its way. `early`: updates of its id that came before Kafka had said where the outcome lies;
    `answer`: its update, None where nothing was published of it."""

    id: bytes
    answer: "asyncio.Future[Update | None]"
    source: Source | None = None
    sent_s: float = 0.0
    early: dict[Source, Update] = field(default_factory=dict)

    def take(self, update: Update) -> None:
        if self.source is None:
            self.early[update.source] = update
        elif update.source == self.source and not self.answer.done():
            self.answer.set_result(update)


class OutcomeReplies:
    """Reads the outcome updates from their end on, for as long as it is started."""

    def __init__(self, settings: Settings, partitions: int) -> None:
        self._names = TopicNames(settings.topics.prefix)
        self._options = client_options(settings.kafka)
        common = {**self._options, "enable_auto_commit": False}
        committed = {**common, "isolation_level": "read_committed", "fetch_max_wait_ms": FETCH_WAIT_MS}
        self._reading = AIOKafkaConsumer(**committed)
        # `read_uncommitted`: its ends are those of the topics, not where the oldest open transaction begins
        self._measuring = AIOKafkaConsumer(**common, group_id=settings.group_name)
        self._looking_back = AIOKafkaConsumer(**committed)
        self._look_back_turn = asyncio.Lock()
        self._updates = [TopicPartition(self._names.outcome_updates, number) for number in range(partitions)]
        self._waiting: dict[bytes, list[Waiting]] = {}
        self._may_ask_group = True
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Connect. Raises KafkaError, and TopicsError where the topic is not there or may not be read."""
        try:
            await count_partitions(self._options, [self._names.outcome_updates])
            for consumer in (self._reading, self._measuring, self._looking_back):
                await consumer.start()
            self._reading.assign(self._updates)
            for partition, end in (await self._measuring.end_offsets(self._updates)).items():
                self._reading.seek(partition, end)
        except BaseException:
            await self.stop()
            raise
        self._tasks = [asyncio.create_task(self._guarded(loop)) for loop in (self._read, self._watch)]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # one whose broker is gone may end as cancelled; the others are stopped all the same
        stopping = [
            asyncio.wait_for(consumer.stop(), STOP_WAIT_S)
            for consumer in (self._reading, self._measuring, self._looking_back)
        ]
        await asyncio.gather(*stopping, return_exceptions=True)

    async def is_well(self) -> bool:
        """Whether Kafka answers, and updates are read."""
        return not any(task.done() for task in self._tasks) and await is_reachable(self._measuring, REACH_WAIT_S)

    async def update_of(self, id_: bytes, waiting: Waiting, send: Callable[[], Awaitable[Source]]) -> Update | None:
        """Send an outcome and wait for its update; where nothing is published of it, the newest update of its id, None
        where that is not found. `waiting` says afterwards where it lies, also when this was cancelled."""
        self._waiting.setdefault(id_, []).append(waiting)
        try:
            waiting.source = await send()
            waiting.sent_s = time.monotonic()
            if (early := waiting.early.get(waiting.source)) is not None:
                waiting.take(early)
            update = await waiting.answer
        finally:
            others = self._waiting[id_]
            others.remove(waiting)
            if not others:
                del self._waiting[id_]
        return update if update is not None else await self._newest(id_, waiting.source.partition)

    # Reading

    async def _read(self) -> None:
        for records in (await self._reading.getmany(timeout_ms=POLL_MS)).values():
            for record in records:
                if record.key in self._waiting and (update := decode_or_none(decode_update, record.value)) is not None:
                    for waiting in self._waiting[record.key]:
                        waiting.take(update)

    async def _watch(self) -> None:
        await asyncio.sleep(QUIET_S)
        quiet: dict[int, list[Waiting]] = {}
        before_s = time.monotonic() - QUIET_S
        for waiting in [one for ones in self._waiting.values() for one in ones]:
            if waiting.source is not None and waiting.sent_s < before_s and not waiting.answer.done():
                quiet.setdefault(waiting.source.partition, []).append(waiting)
        if self._may_ask_group:
            await asyncio.gather(*(self._settle_repeats(partition, ones) for partition, ones in quiet.items()))

    async def _settle_repeats(self, number: int, quiet: list[Waiting]) -> None:
        """Answer those of a partition of which nothing was published."""
        try:
            committed = await self._measuring.committed(TopicPartition(self._names.outcomes, number))
        except GroupAuthorizationFailedError:
            self._may_ask_group = False
            return
        passed_over = [one for one in quiet if one.source is not None and one.source.offset < (committed or 0)]
        if not passed_over:
            return
        # Everything that belongs to that commit was in the topic before it, so the end is asked for after it.
        updates = self._updates[number]
        end = (await self._measuring.end_offsets([updates]))[updates]
        while await self._reading.position(updates) < end:
            await asyncio.sleep(QUIET_S)
            if all(one.answer.done() for one in passed_over):
                return
        for one in passed_over:
            if not one.answer.done():
                one.answer.set_result(None)

    async def _newest(self, id_: bytes, number: int) -> Update | None:
        """The newest update of an id, the newest records searched first."""
        updates = self._updates[number]
        async with self._look_back_turn:
            begin = (await self._looking_back.beginning_offsets([updates]))[updates]
            end = upper = (await self._looking_back.end_offsets([updates]))[updates]
            step = LOOK_BACK_FIRST
            while upper > begin and end - upper < LOOK_BACK_MAX:
                lower = max(begin, upper - step)
                found: Update | None = None
                with contextlib.suppress(ReadStalled):
                    async for records in read_range(self._looking_back, updates, lower, upper):
                        for record in records:
                            if record.key == id_:
                                found = decode_or_none(decode_update, record.value) or found
                if found is not None:
                    return found
                upper, step = lower, 2 * step
        return None

    async def _guarded(self, turn: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await turn()
            except (KafkaError, OSError):
                await asyncio.sleep(OUTAGE_WAIT_S)  # who waits has a timeout of its own
