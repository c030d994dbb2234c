"""Where in an output partition that begins which was written since a time, found by a few looks.

Invariant: nothing that was scored since is left out. Records come in the order of writing, whatever their timestamps
say, which are their inputs'; an offset is passed only where several records in a row say, by their scoring and by their
timestamps, that they are older: no single record of a stranger's or of a wrong clock hides what lies before it.
"""

from typing import Final

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from stream_scorer.core.records.decode import decode_or_none
from stream_scorer.core.records.timestamps import milliseconds
from stream_scorer.runtime.kafka.batch_fetch import Record, read

# Fewer are read one after the other
NEAR_RECORDS: Final = 2_000
# So many records in a row must say that they are older, or all that there are
AGREEING_RECORDS: Final = 20
LOOK_AGAIN_S: Final = 0.05


class _Scored(msgspec.Struct, gc=False):
    scored_at: str


_decode: Final = msgspec.json.Decoder(_Scored).decode


async def scored_since(
    consumer: AIOKafkaConsumer, partition: TopicPartition, begin: int, end: int, since_ms: int
) -> int:
    """The offset before which everything in [begin, end) was scored before that time. The partition is assigned to the
    consumer, whose position and pauses are changed. A joined update is scored when its prediction was; a record that
    says nothing of its scoring proves nothing."""
    others = consumer.assignment() - {partition}
    consumer.pause(*others)
    consumer.resume(partition)
    low, high = begin, end
    while high - low > NEAR_RECORDS:
        middle = (low + high) // 2
        records = await _read(consumer, partition, middle, high, AGREEING_RECORDS)
        if records and all(is_older(record, since_ms) for record in records):
            low = max(middle, records[0].offset)
        else:
            high = middle
    start, run = low, 0
    for number, record in enumerate(await _read(consumer, partition, low, high, NEAR_RECORDS), 1):
        run = run + 1 if is_older(record, since_ms) else 0
        if run == number or run >= AGREEING_RECORDS:
            start = record.offset + 1
    consumer.pause(partition)
    return start


async def _read(
    consumer: AIOKafkaConsumer, partition: TopicPartition, low: int, high: int, records_max: int
) -> list[Record]:
    """The first records from one offset to before another."""
    records: list[Record] = []
    consumer.seek(partition, low)
    while len(records) < records_max and await consumer.position(partition) < high:
        taken = await read(consumer, (partition,), timeout_s=LOOK_AGAIN_S, records_max=records_max)
        records += [record for record in taken.get(partition, ()) if record.offset < high]
    return records[:records_max]


def is_older(record: Record, since_ms: int) -> bool:
    """Whether the record says in both ways that it was written before that time."""
    scored_ms = decode_or_none(_scored_ms, record.value)
    return scored_ms is not None and scored_ms < since_ms and record.timestamp < since_ms


def _scored_ms(value: bytes) -> int:
    return milliseconds(_decode(value).scored_at)
