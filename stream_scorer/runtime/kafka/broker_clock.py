"""What time it is by Kafka's own clock: that of a marker which a broker writes at the end of a transaction.

Invariant: nothing is published; the transaction holds no record. Timestamps of records are their producers' word, an
end marker's is the broker's. It reaches into aiokafka 0.14, which is pinned for it, for partitions added by hand, for a
plain fetch, and for markers, which nobody is given.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.memory_records import MemoryRecords

from stream_scorer.runtime.kafka.record_batches import stop_producer

TRANSACTION_TIMEOUT_MS: Final = 10_000
FETCH_BYTES: Final = 1024 * 1024
FETCH_WAIT_MS: Final = 50
READ_UNCOMMITTED: Final = 0


class BrokerTime(NamedTuple):
    """Kafka's time in milliseconds since 1970, and when that was by `running_s`."""

    kafka_ms: int
    at_s: float


def running_s() -> float:
    """A clock that nobody sets, and that goes on while the machine sleeps."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


async def ask_time(options: Mapping[str, Any], transactional_id: str, partition: TopicPartition) -> BrokerTime:
    """The time by the clock of the partition's leader. `transactional_id`: one that nobody else uses at the same time.
    Raises `KafkaError`; while a broker is away it waits."""
    consumer = AIOKafkaConsumer(**options, enable_auto_commit=False)
    producer = AIOKafkaProducer(
        **options, transactional_id=transactional_id, transaction_timeout_ms=TRANSACTION_TIMEOUT_MS, acks="all"
    )
    try:
        await consumer.start()
        await producer.start()
        consumer.assign([partition])
        offset = (await consumer.end_offsets([partition]))[partition]
        await producer.begin_transaction()
        producer._txn_manager.maybe_add_partition_to_txn(partition)
        await producer.commit_transaction()
        at_s = running_s()
        while True:
            marker_ms, offset = await _marker(consumer._client, partition, offset, producer._txn_manager.producer_id)
            if marker_ms is not None:
                return BrokerTime(marker_ms, at_s)
            await asyncio.sleep(FETCH_WAIT_MS / 1000)  # it is written a moment after the answer to the commit
    finally:
        await stop_producer(producer)
        await consumer.stop()


async def _marker(client: Any, partition: TopicPartition, offset: int, producer_id: int) -> tuple[int | None, int]:
    """The time of that producer's marker in the next fetch, None where it holds none; and where to fetch next."""
    leader = client.cluster.leader_for_partition(partition)
    wanted = [(partition.topic, [(partition.partition, offset, FETCH_BYTES)])]
    answer = await client.send(leader, FetchRequest(FETCH_WAIT_MS, 1, FETCH_BYTES, READ_UNCOMMITTED, wanted))
    for _, partitions in answer.topics:
        for *_, fetched in partitions:
            batches = MemoryRecords(fetched or b"")
            while batches.has_next():
                batch = batches.next_batch()
                if batch.is_control_batch and batch.producer_id == producer_id:
                    return batch.max_timestamp, offset
                offset = batch.next_offset
    return None, offset
