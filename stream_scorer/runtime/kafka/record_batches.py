"""Record batches packed here and sent whole.

It reaches into aiokafka 0.14, which is pinned for it: for record batches filled past their own `append`, and for the
sequence numbers of a refused batch.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from stream_scorer.core.records.record import Headers, Publishable

# Below the broker's default `message.max.bytes` of 1 MiB, with room for the batch's own header.
BATCH_BYTES_MAX = 900_000


# A request may carry one batch for each partition, and a dead letter alone may exceed a batch.
REQUEST_BYTES_MAX = 16 * 1024 * 1024


# Between two attempts at what a broker can't do at the moment; the client's own 100 ms would be felt by every record
# behind it
RETRY_WAIT_MS = 20


# How long a producer that is given up may take to say good-bye
STOP_WAIT_S = 2.0


# The number of its codec
ZSTD = 4


Outputs = Mapping[TopicPartition, Sequence[Publishable]]


# For each partition written to, the offset behind the last record of this batch
Ends = dict[TopicPartition, int]


def pack(producer: AIOKafkaProducer, records: Sequence[Publishable], now_ms: int) -> list[tuple[Any, int]]:
    """Record batches and their counts, each below `BATCH_BYTES_MAX` or of one record: the encoder answers None when a
    batch is full.

    Past the batch's own `append`, which costs as much again as the encoder that it calls.
    """
    packed: list[tuple[Any, int]] = []
    rest = iter(records)
    record = next(rest, None)
    while record is not None:
        batch = producer.create_batch()
        key, value, _, headers = record
        if codec_for(value, key, headers):
            _compress(producer, batch)
        append, count = batch._builder.append, 0
        while record is not None:
            key, value, timestamp_ms, headers = record
            if append(count, timestamp_ms if timestamp_ms >= 0 else now_ms, key, value, headers) is None:
                break
            count += 1
            record = next(rest, None)
        batch._relative_offset = count
        batch.close()
        packed.append((batch, count))
    return packed


def reuse_refused_sequences(producer: AIOKafkaProducer) -> None:
    """From now on number the record batch behind one that Kafka has refused for its size as that one was: the broker
    has not counted it, but the producer would go on behind it, and all that follows in the partition would be out of
    order. To be called once the producer has started.

    The numbers are put right before the partition may send again: between the two nothing else runs. The producer has
    one batch of a partition on its way at a time.
    """
    sender = producer._sender
    send = sender._send_produce_req

    async def send_and_put_right(node_id: int, batches: Mapping[TopicPartition, Any]) -> None:
        await send(node_id, batches)
        for partition, batch in batches.items():
            done = batch.future.done() and not batch.future.cancelled()
            if done and isinstance(batch.future.exception(), MessageSizeTooLargeError):
                producer._txn_manager.increment_sequence_number(partition, -batch.record_count)

    sender._send_produce_req = send_and_put_right


def codec_for(value: bytes | None, key: bytes | None, headers: Headers) -> int:
    """The codec of a batch that begins with this record: zstd where its headers are more than what it holds, as those
    of a dead letter of an event are; none for all others."""
    headers_bytes = sum([len(name) + len(text or b"") for name, text in headers])
    return ZSTD if headers_bytes > len(value or b"") + len(key or b"") else 0


def _compress(producer: AIOKafkaProducer, batch: Any) -> None:
    """Have a batch compressed that nothing was appended to: dead letters of one fault say nearly the same, 550 bytes
    each, of which 6 are left. So a batch of bad records weighs about as much when it has become dead letters."""
    accumulator = producer._message_accumulator
    batch._builder = DefaultRecordBatchBuilder(
        2,
        ZSTD,
        is_transactional=accumulator._txn_manager is not None and accumulator._txn_manager.transactional_id is not None,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=0,
        batch_size=accumulator._batch_size,
    )


async def stop_producer(producer: AIOKafkaProducer) -> None:
    """Say good-bye, not for long."""
    # a broker that is away would keep it for its whole request time-out
    with contextlib.suppress(KafkaError, TimeoutError, ConnectionError):
        await asyncio.wait_for(producer.stop(), STOP_WAIT_S)
