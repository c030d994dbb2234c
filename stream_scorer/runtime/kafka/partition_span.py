"""Reading a stretch of a partition, from one offset to before another, with a consumer that belongs to no group."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from stream_scorer.runtime.kafka.batch_fetch import Record, read

CHUNK_RECORDS: Final = 2_000
LOOK_AGAIN_S: Final = 0.05
# How long a broker may hold a fetch back that finds nothing: what follows waits for it
FETCH_WAIT_MS_MAX: Final = 20


def span_consumer(options: Mapping[str, Any]) -> AIOKafkaConsumer:
    """A consumer for `records_between`, of no group, that sees what is committed; not started yet. `options`: how to
    connect."""
    return AIOKafkaConsumer(
        **options,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=FETCH_WAIT_MS_MAX,
    )


async def records_between(
    consumer: AIOKafkaConsumer, partition: TopicPartition, low: int, high: int
) -> AsyncIterator[list[Record]]:
    """The records from one offset to before another, in lists. The partition must be assigned to the consumer."""
    if low >= high:
        return
    consumer.pause(*consumer.assignment())
    consumer.seek(partition, low)
    consumer.resume(partition)
    while (position := await consumer.position(partition)) < high:
        taken = await read(consumer, (partition,), timeout_s=LOOK_AGAIN_S, records_max=CHUNK_RECORDS)
        if records := [record for record in taken.get(partition, ()) if record.offset < high]:
            yield records
        if not taken and position == await consumer.position(partition):
            await asyncio.sleep(LOOK_AGAIN_S)
    consumer.pause(partition)


def value_of(record: Record) -> bytes | None:
    """The record's value; None where its batch was not unfolded."""
    return record.value if isinstance(record.value, bytes) else None
