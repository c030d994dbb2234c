"""Sending events to Kafka at their due times or as fast as it goes; an event counts as delivered once Kafka has
acknowledged it, never before.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from stream_scorer.core.records.partitioner import partitions_of
from stream_scorer.core.records.record import Headers
from stream_scorer.errors import OutageError, TopicsError, UserError
from stream_scorer.operations.sending.schedule import ScheduledEvent
from stream_scorer.runtime.kafka.connection_check import reach
from stream_scorer.runtime.kafka.errors import to_user_error, what_happened

BATCH_BYTES_MAX = 512 * 1024
# a batch of one record carries this much beside key, value and headers, at most
RECORD_OVERHEAD_BYTES = 128
# Kafka's own default for a topic; `refuse_above_bytes` says otherwise
RECORD_BYTES_MAX = 1_048_576
WAITING_RECORDS_MAX = 20_000
# a topic that was just created is not known to every broker at once
TOPIC_WAIT_S = 3.0
TOPIC_POLL_S = 0.1


# key, value, timestamp in ms, headers
Record = tuple[bytes | None, bytes, int, Headers]


class SendQueue:
    """Records that wait for one partition, and the task that sends them."""

    def __init__(self) -> None:
        self.waiting: deque[Record] = deque()
        self.filled = asyncio.Event()
        self.unanswered = 0
        self.task: asyncio.Task[None] | None = None


class EventSender:
    """Sends records in batches made by hand, one lane a partition: a batch is what gathered while the one before it
    travelled.

    `delivered` counts acknowledged records by topic; `refused` counts those that are too large for their topic and
    were not sent. Raises OutageError from `send` and `settle` when Kafka does not take a batch.
    """

    def __init__(self, client_options: dict[str, Any], *, refuse_above_bytes: int = RECORD_BYTES_MAX) -> None:
        self.delivered: dict[str, int] = {}
        self.refused = 0
        self._limit = refuse_above_bytes
        self._options = client_options
        self._producer: AIOKafkaProducer | None = None
        self._lanes: dict[str, list[SendQueue]] = {}
        self._turn = 0
        self._waiting = 0
        self._emptier = asyncio.Event()
        self._failure: UserError | None = None

    async def __aenter__(self) -> Self:
        reached = await reach(self._options)
        producer = AIOKafkaProducer(
            **{**self._options, "bootstrap_servers": reached},
            enable_idempotence=True,
            max_batch_size=BATCH_BYTES_MAX,
            max_request_size=max(8 * BATCH_BYTES_MAX, 2 * self._limit),
        )
        try:
            await producer.start()
        except (KafkaError, OSError) as error:
            await producer.stop()
            raise self._explained(error, "connecting") from error
        self._producer = producer
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks = [lane.task for lanes in self._lanes.values() for lane in lanes if lane.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._producer:
            await self._producer.stop()

    @property
    def delivered_count(self) -> int:
        return sum(self.delivered.values())

    async def partitions(self, topic: str) -> int:
        """How many partitions a topic has. TopicsError when it does not exist."""
        assert self._producer
        try:
            # All topics are asked for: a broker that makes topics by itself makes the one that is asked for by name.
            async with asyncio.timeout(TOPIC_WAIT_S):
                while topic not in (await self._producer.client.fetch_all_metadata()).topics():
                    await asyncio.sleep(TOPIC_POLL_S)
            return len(await self._producer.partitions_for(topic))
        except TimeoutError as error:
            raise TopicsError(
                f"there is no topic {topic} that this user may see: check the prefix, or run "
                "`stream-scorer topics apply`"
            ) from error
        except KafkaError as error:
            raise self._explained(error, f"asking for the topic {topic}") from error

    async def send(self, planned: Sequence[ScheduledEvent], *, start_ms: float | None = None) -> None:
        """Hand events over; waits while too many wait already. With `start_ms` an event's timestamp is the time that
        it was due, else now.
        """
        while self._waiting > WAITING_RECORDS_MAX and not self._failure:
            self._emptier.clear()
            await self._emptier.wait()
        if self._failure:
            raise self._failure
        for topic in dict.fromkeys(event.topic for event in planned):
            lanes = await self._lanes_of(topic)
            self._hand_over([event for event in planned if event.topic == topic], lanes, start_ms)

    def _hand_over(self, events: Sequence[ScheduledEvent], lanes: list[SendQueue], start_ms: float | None) -> None:
        """The hot loop of a fast fill: plain tuples into the queues of their partitions."""
        timestamp_ms, limit, refused = int(time.time() * 1000), self._limit - RECORD_OVERHEAD_BYTES, 0
        for event, partition in zip(events, self._partitions_for(events, len(lanes)), strict=True):
            due_s, _, key, value, _, headers = event
            if len(value) + len(key or b"") + (sum(len(n) + len(v) for n, v in headers) if headers else 0) > limit:
                refused += 1
                continue
            if start_ms is not None:
                timestamp_ms = int(start_ms + due_s * 1000)
            lanes[partition].waiting.append((key, value, timestamp_ms, headers))
        for lane in lanes:
            if lane.waiting:
                lane.filled.set()
        self.refused += refused
        self._waiting += len(events) - refused

    def _partitions_for(self, events: Sequence[ScheduledEvent], partitions: int) -> list[int]:
        """The partition of each event: the one it says, else that of its key; those without a key go round."""
        keyed: list[int] = partitions_of([event.key or b"" for event in events], partitions).tolist()
        for index, event in enumerate(events):
            if event.partition is not None:
                keyed[index] = event.partition
            elif event.key is None:
                self._turn = keyed[index] = (self._turn + 1) % partitions
        return keyed

    async def settle(self) -> None:
        """Return once everything handed over is acknowledged."""
        while not self._failure and any(
            lane.waiting or lane.unanswered for lanes in self._lanes.values() for lane in lanes
        ):
            self._emptier.clear()
            await self._emptier.wait()
        if self._failure:
            raise self._failure

    async def _lanes_of(self, topic: str) -> list[SendQueue]:
        if topic not in self._lanes:
            lanes = self._lanes[topic] = [SendQueue() for _ in range(await self.partitions(topic))]
            for partition, lane in enumerate(lanes):
                lane.task = asyncio.create_task(self._run(lane, topic, partition))
        return self._lanes[topic]

    async def _run(self, lane: SendQueue, topic: str, partition: int) -> None:
        try:
            while True:
                await lane.filled.wait()
                await self._send_waiting(lane, topic, partition)
        except (KafkaError, OSError) as error:
            self._failure = self._explained(error, f"sending to {topic}")
            self._emptier.set()

    async def _send_waiting(self, lane: SendQueue, topic: str, partition: int) -> None:
        """Send all that waits; while one batch travels the next one is put together."""
        assert self._producer
        travelling: tuple[asyncio.Future[object], int] | None = None
        while lane.waiting or travelling:
            submitted = None
            if lane.waiting:
                batch = self._producer.create_batch()
                waiting, append, count = lane.waiting, batch.append, 0
                while waiting:
                    key, value, timestamp_ms, headers = waiting[0]
                    if append(timestamp=timestamp_ms, key=key, value=value, headers=headers) is None:
                        break
                    waiting.popleft()
                    count += 1
                batch.close()
                lane.unanswered += count
                submitted = (await self._producer.send_batch(batch, topic, partition=partition), count)
            if travelling:
                await travelling[0]
                lane.unanswered -= travelling[1]
                self._waiting -= travelling[1]
                self.delivered[topic] = self.delivered.get(topic, 0) + travelling[1]
                self._emptier.set()
            travelling = submitted
        lane.filled.clear()

    def _explained(self, error: BaseException, doing: str) -> UserError:
        bootstrap = self._options["bootstrap_servers"]
        known = to_user_error(error, doing, bootstrap)
        if known is None or isinstance(known, OutageError):
            return OutageError(
                f"Kafka does not answer at {bootstrap} while {doing}: {what_happened(error)}. "
                "Is the broker running, and are the [kafka] settings correct?"
            )
        return known
