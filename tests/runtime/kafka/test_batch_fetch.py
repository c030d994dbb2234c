"""Reading whole record batches gives exactly what the client's own `getmany` gives, whatever lies in the topic."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from stream_scorer.runtime.kafka.batch_fetch import read
from tests.integration.broker_sources import Broker

RECORDS_A_BATCH = 7
CODECS = (None, "gzip", "snappy", "lz4", "zstd")

Seen = list[tuple[Any, ...]]


@pytest.fixture
async def partition(broker: Broker, prefix: str) -> TopicPartition:
    """A partition with everything in it: all codecs, transactions that were committed, aborted, and interleaved."""
    partition = TopicPartition(f"{prefix}mixed", 0)
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(partition.topic, 1, 1)])
    await admin.close()
    for codec in CODECS:
        async with (
            producing(broker, codec, f"{prefix}{codec}") as one,
            producing(broker, codec, f"{prefix}{codec}2") as two,
        ):
            await one.begin_transaction()
            await two.begin_transaction()
            await send_batch(one, partition, f"{codec}-committed")
            await send_batch(two, partition, f"{codec}-aborted")
            await send_batch(one, partition, f"{codec}-committed-too")
            await two.abort_transaction()
            await one.commit_transaction()
        async with producing(broker, codec) as plain:
            await send_batch(plain, partition, f"{codec}-plain")
    return partition


@asynccontextmanager
async def producing(broker: Broker, codec: str | None, id_: str | None = None) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, compression_type=codec, transactional_id=id_)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def send_batch(producer: AIOKafkaProducer, partition: TopicPartition, name: str) -> None:
    batch = producer.create_batch()
    for number in range(RECORDS_A_BATCH):
        value = f"{name}-{number}".encode() * 20 if number else None
        batch.append(timestamp=1_000 + number, key=b"" if number else None, value=value, headers=[("n", value)])
    batch.close()
    await (await producer.send_batch(batch, partition.topic, partition=partition.partition))


@asynccontextmanager
async def consuming(
    broker: Broker, partition: TopicPartition, start: int, isolation: str
) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker.bootstrap, isolation_level=isolation, enable_auto_commit=False, fetch_max_wait_ms=20
    )
    await consumer.start()
    try:
        consumer.assign([partition])
        consumer.seek(partition, start)
        yield consumer
    finally:
        await consumer.stop()


def plain(record: Any) -> tuple[Any, ...]:
    return record.offset, record.timestamp, record.key, record.value, tuple(record.headers)


async def by_getmany(consumer: AIOKafkaConsumer, partition: TopicPartition, end: int) -> Seen:
    seen: Seen = []
    while await consumer.position(partition) < end:
        for records in (await consumer.getmany(timeout_ms=20)).values():
            seen += map(plain, records)
    return seen


async def by_read(consumer: AIOKafkaConsumer, partition: TopicPartition, end: int, records_max: int) -> Seen:
    seen: Seen = []
    while await consumer.position(partition) < end:
        taken = await read(consumer, [partition], timeout_s=0.02, records_max=records_max)
        seen += map(plain, taken.get(partition, []))
    return seen


@pytest.mark.parametrize("isolation", ["read_committed", "read_uncommitted"])
async def test_it_gives_what_getmany_gives(broker: Broker, partition: TopicPartition, isolation: str) -> None:
    async with consuming(broker, partition, 0, isolation) as consumer:
        end = (await consumer.end_offsets([partition]))[partition]
        # from every place that a batch may be entered at: its first record, its midst, a marker
        starts = [*range(3 * RECORDS_A_BATCH + 4), end - 3]
        for start in starts:
            for records_max in (1, 10, 1_000):
                consumer.seek(partition, start)
                expected = await by_getmany(consumer, partition, end)
                consumer.seek(partition, start)
                assert await by_read(consumer, partition, end, records_max) == expected
        consumer.seek(partition, 0)
        found = await by_getmany(consumer, partition, end)
    batches = 3 if isolation == "read_committed" else 4
    assert len(found) == batches * RECORDS_A_BATCH * len(CODECS)


async def test_positions_move_with_what_was_given(broker: Broker, partition: TopicPartition) -> None:
    async with consuming(broker, partition, 0, "read_committed") as consumer:
        taken: Seen = []
        while len(taken) < 30:
            given = (await read(consumer, [partition], timeout_s=1.0, records_max=1)).get(partition, [])
            if given:
                taken += map(plain, given)
                assert await consumer.position(partition) == given[-1].offset + 1


async def test_records_of_partitions_that_are_not_wanted_are_kept_for_later(
    broker: Broker, partition: TopicPartition
) -> None:
    async with consuming(broker, partition, 0, "read_committed") as consumer:
        assert await read(consumer, [], timeout_s=0.5, records_max=10) == {}
        taken = await read(consumer, [partition], timeout_s=5.0, records_max=10)
        assert taken[partition][0].offset == 0


async def test_a_seek_drops_what_was_fetched_before(broker: Broker, partition: TopicPartition) -> None:
    async with consuming(broker, partition, 0, "read_committed") as consumer:
        await read(consumer, [partition], timeout_s=5.0, records_max=1)
        consumer.seek(partition, 2)
        taken = await read(consumer, [partition], timeout_s=5.0, records_max=1)
        assert taken[partition][0].offset == 2


async def test_nothing_comes_when_nothing_is_there(broker: Broker, partition: TopicPartition) -> None:
    async with consuming(broker, partition, 0, "read_committed") as consumer:
        end = (await consumer.end_offsets([partition]))[partition]
        consumer.seek(partition, end)
        assert await read(consumer, [partition], timeout_s=0.1, records_max=10) == {}
