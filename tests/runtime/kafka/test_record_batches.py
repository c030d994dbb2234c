"""Batches that we publish: dead letters that say the same weigh next to nothing, all others go as they are."""

from types import SimpleNamespace
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import DefaultRecordBatch

from stream_scorer.core.records.record import ProducerRecord
from stream_scorer.runtime.kafka.record_batches import BATCH_BYTES_MAX, pack
from stream_scorer.runtime.lanes.held_bytes import held_bytes
from tests.core.dead_letters.builders import a_record
from tests.support.builders import an_event

NOW_MS = 1_795_365_000_000


async def packed(records: list[ProducerRecord]) -> list[bytes]:
    """The batches as they are sent."""
    producer = AIOKafkaProducer(max_batch_size=BATCH_BYTES_MAX)
    try:
        return [bytes(batch._build()) for batch, _ in pack(producer, records, NOW_MS)]
    finally:
        await producer.stop()


def read(batches: list[bytes]) -> list[tuple[Any, ...]]:
    return [
        (record.key, record.value, [tuple(one) for one in record.headers])
        for raw in batches
        for record in DefaultRecordBatch(raw)
    ]


def letters(count: int, value: bytes) -> list[ProducerRecord]:
    made = [a_record(value, offset=offset, key=None) for offset in range(count)]
    return [ProducerRecord(one.key, one.value, one.timestamp, [*one.headers]) for one in made]


async def test_letters_of_60_000_tiny_records_weigh_less_than_a_tenth_of_a_batch_each() -> None:
    given = letters(60_000, b"x")
    batches = await packed(given)
    assert sum(map(len, batches)) < 1_000_000  # 33 MB as they are
    assert read(batches) == [(one.key, one.value, one.headers) for one in given]


async def test_predictions_go_as_they_are() -> None:
    trace = [("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]
    given = [ProducerRecord(b"k", an_event(f"ev-{number}"), NOW_MS, trace) for number in range(100)]
    (raw,) = await packed(given)
    assert raw[22] & 0x07 == 0
    assert read([raw]) == [(one.key, one.value, one.headers) for one in given]


def test_all_that_a_producer_can_make_large_is_held() -> None:
    plain = SimpleNamespace(value=b"v" * 10, key=b"k" * 3, headers=[])
    assert held_bytes([plain, plain]) == 26
    assert held_bytes([SimpleNamespace(value=None, key=None, headers=[])]) == 0
    assert held_bytes([SimpleNamespace(value=b"v", key=b"k", headers=[("h", b"x" * 1_000)])]) > 1_000
