"""Workers' places in a group and their committers, without lanes: what a lane asks of them, on a real Kafka."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from stream_scorer.core.records.record import ProducerRecord
from stream_scorer.runtime.cluster.topic_admin import TopicNames, apply
from stream_scorer.runtime.kafka.record_batches import Ends, Outputs
from stream_scorer.runtime.publishing.lane_publisher import LanePublisher, LanePublishers
from stream_scorer.runtime.settings.settings import load_settings

PARTITIONS = 2


def records(*values: bytes) -> list[ProducerRecord]:
    return [ProducerRecord(b"k", value, -1) for value in values]


def prediction(offset: int, partition: int = 0) -> ProducerRecord:
    source = b'{"partition":%d,"offset":%d}' % (partition, offset)
    return ProducerRecord(b"k", b'{"id":"k","source":%s}' % source, -1)


class Worker:
    """A member of the group that has all partitions, and a publisher for each."""

    def __init__(self, consumer: AIOKafkaConsumer, lanes: list[LanePublisher], inputs: list[TopicPartition]) -> None:
        self.consumer, self.lanes, self._inputs = consumer, lanes, inputs

    async def publish(self, outputs: Outputs, offset: int, lane: int = 0) -> Ends:
        """As the lane would; the offset is that of its observations."""
        return await self.lanes[lane].publish(outputs, {self._inputs[lane]: offset})

    async def stop(self) -> None:
        for lane in self.lanes:
            await lane.stop()


class Place:
    """An environment's topics of two partitions, and its group."""

    def __init__(self, bootstrap: str, prefix: str, **settings: Any) -> None:
        given = {"kafka.bootstrap": bootstrap, "topics.prefix": prefix, "topics.partitions": PARTITIONS}
        self.settings = load_settings(None, {}, {**given, "worker.transaction_timeout_ms": 10_000, **settings})
        self.names = TopicNames(prefix)
        self.options: dict[str, Any] = {"bootstrap_servers": bootstrap}
        self.inputs = [TopicPartition(self.names.observations, number) for number in range(PARTITIONS)]
        self.predictions = [TopicPartition(self.names.predictions, number) for number in range(PARTITIONS)]
        self.updates = [TopicPartition(self.names.outcome_updates, number) for number in range(PARTITIONS)]
        self.letters = [TopicPartition(self.names.dead_letters, number) for number in range(PARTITIONS)]

    async def make(self) -> "Place":
        await apply(self.settings)
        return self

    @asynccontextmanager
    async def consumer(self, **settings: Any) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(**self.options, enable_auto_commit=False, **settings)
        await consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[Worker]:
        """Joins the group, gets all lanes and opens them. Ends without a word: the group finds out by itself."""
        async with AsyncExitStack() as stack:
            consumer = await stack.enter_async_context(
                self.consumer(group_id=self.settings.group_name, session_timeout_ms=6_000)
            )
            consumer.subscribe((self.names.observations, self.names.outcomes))
            while not consumer.assignment():
                await asyncio.sleep(0.02)
            worker = self.member(consumer)
            stack.push_async_callback(worker.stop)
            for lane in worker.lanes:
                await lane.start()
            yield worker

    def member(self, consumer: AIOKafkaConsumer) -> Worker:
        """The publishers of a consumer's present place in the group; not started."""
        publishers = LanePublishers(self.settings, PARTITIONS)
        lanes = [publishers.publisher(number, consumer) for number in range(PARTITIONS)]
        return Worker(consumer, lanes, self.inputs)

    async def committed(self, lane: int = 0) -> int | None:
        async with self.consumer(group_id=self.settings.group_name) as consumer:
            offset: int | None = await consumer.committed(self.inputs[lane])
            return offset

    async def has_committed(self, offset: int, lane: int = 0) -> bool:
        """Whether that is the group's offset. Kafka says yes to a commit a moment before all can see it."""
        for _ in range(400):
            if await self.committed(lane) == offset:
                return True
            await asyncio.sleep(0.05)
        return False

    async def all_transactions_ended(self, partition: TopicPartition) -> None:
        """Return once their markers are written, up to which nobody can read them."""
        async with (
            self.consumer(isolation_level="read_committed") as careful,
            self.consumer(isolation_level="read_uncommitted") as careless,
        ):
            while await careful.end_offsets([partition]) != await careless.end_offsets([partition]):
                await asyncio.sleep(0.02)

    async def values(self, partition: TopicPartition) -> list[bytes]:
        """What is committed."""
        await self.all_transactions_ended(partition)
        async with self.consumer(isolation_level="read_committed", fetch_max_wait_ms=20) as consumer:
            consumer.assign([partition])
            consumer.seek(partition, 0)
            end = (await consumer.end_offsets([partition]))[partition]
            found: list[bytes] = []
            while await consumer.position(partition) < end:
                for got in (await consumer.getmany(timeout_ms=50)).values():
                    found += [record.value for record in got]
            return found
