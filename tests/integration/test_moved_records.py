"""Lanes that ask at the same time which of their records were moved share a look, and none gets an answer that is older
than its question."""

import asyncio

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from stream_scorer.core.records.output_sources import HighestMoves
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.kafka.client import client_options
from stream_scorer.runtime.lanes.moved_records import MovedRecords
from tests.integration.broker_sources import Broker
from tests.support.rollout import fresh_topics

LANES = range(4)


class CountedLooks(MovedRecords):
    """How often somebody looked."""

    looks = 0

    async def _read(self, consumer: AIOKafkaConsumer, partitions: list[TopicPartition]) -> HighestMoves:
        self.looks += 1
        return await super()._read(consumer, partitions)


async def test_lanes_share_a_look_and_see_what_was_written_before_they_asked(broker: Broker, prefix: str) -> None:
    async with fresh_topics(broker.bootstrap, prefix) as settings:
        topic = TopicNames(prefix).observations
        moves = CountedLooks(client_options(settings.kafka), len(LANES))

        async def move(source: int, offset: int, to: int) -> None:
            header = ("scorer.moved-from", b'{"partition":%d,"offset":%d}' % (source, offset))
            await producer.send_and_wait(topic, b"{}", b"k", to, headers=[header])

        async def offsets() -> list[int | None]:
            found = await asyncio.gather(*(moves.highest(TopicPartition(topic, lane)) for lane in LANES))
            return [None if one is None else one[0] for one in found]

        async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
            await move(0, 7, to=1)
            await move(0, 5, to=2)
            await move(3, 9, to=3)  # nothing is moved to where it was
            assert await offsets() == [7, None, None, None]
            assert moves.looks <= 2
            asked = asyncio.create_task(moves.highest(TopicPartition(topic, 0)))
            await asyncio.sleep(0)
            await move(0, 8, to=3)
            assert await offsets() == [8, None, None, None]
            await asked
