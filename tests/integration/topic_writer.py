"""Topics written by hand, in real transactions: what producers send and workers publish, with whatever is left out."""

import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec
from aiokafka import AIOKafkaProducer, TopicPartition

from stream_scorer.core.contract import reasons
from stream_scorer.core.contract.observation_code import encode_observation
from stream_scorer.core.contract.observation_events import decode_event
from stream_scorer.core.contract.reasons import Reason, Stage
from stream_scorer.core.records.dead_letter import dead_letter
from stream_scorer.core.records.partitioner import partition_of
from stream_scorer.core.records.prediction import ModelIdentity, encode_predictions
from stream_scorer.core.records.record import ProducerRecord, rfc3339
from stream_scorer.core.records.repartitioning import move
from stream_scorer.runtime.cluster.topic_admin import TopicNames, apply
from stream_scorer.runtime.settings.settings import Settings, load_settings
from tests.support.builders import an_observation

PARTITIONS = 4
SPEAKER = ModelIdentity("model@0123456789ab", "champion", 0.5)


class Written(NamedTuple):
    """A record that is in Kafka."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()

    @property
    def name(self) -> str:
        return f"{self.topic}-{self.partition}@{self.offset}"


class Hand:
    """A transactional producer for what producers send and for what a worker publishes."""

    def __init__(self, producer: AIOKafkaProducer, settings: Settings) -> None:
        self.producer = producer
        self.settings = settings
        self.names = TopicNames(settings.topics.prefix)
        self.group = settings.group_name
        self.options = {"bootstrap_servers": settings.kafka.bootstrap}

    async def write(self, topic: str, partition: int, record: ProducerRecord) -> Written:
        key, value, timestamp, headers = record
        sent = await self.producer.send_and_wait(
            topic, value, key, partition, timestamp_ms=timestamp, headers=[*headers]
        )
        return Written(topic, partition, sent.offset, timestamp, key, value, tuple(headers))

    async def observe(self, value: bytes | None, partition: int, *, key: bytes | None = None) -> Written:
        return await self.write(self.names.observations, partition, ProducerRecord(key, value, now_ms()))

    async def report(self, value: bytes | None, partition: int) -> Written:
        return await self.write(self.names.outcomes, partition, ProducerRecord(None, value, now_ms()))

    async def predict(self, record: Written) -> Written:
        event = decode_event(record.value or b"")
        id_, code = str(event.id).encode(), encode_observation(event.observation)
        (value,) = encode_predictions(
            [id_],
            [code],
            [0.7],
            [record.offset],
            partition=record.partition,
            speaker=SPEAKER,
            scored_at=rfc3339(now_ms()),
        )
        return await self.write(self.names.predictions, record.partition, ProducerRecord(id_, value, record.timestamp))

    async def reject(self, record: Written, reason: Reason | None = None, stage: Stage = Stage.DECODE) -> Written:
        letter = dead_letter(
            record,
            [reason or reasons.not_an_object()],
            stage,
            topic=record.topic,
            partition=record.partition,
            failed_at_ms=now_ms(),
            version="1",
            limit_bytes=1 << 20,
        )
        return await self.write(self.names.dead_letters, record.partition, ProducerRecord(*letter))

    async def move(self, record: Written, to: int) -> Written:
        key = str(msgspec.json.decode(record.value or b"")["id"]).encode()
        return await self.write(record.topic, to, ProducerRecord(*move(record, record.partition, key)))

    async def update(self, record: Written, status: str, **changes: object) -> Written:
        event = msgspec.json.decode(record.value or b"")
        said: dict[str, Any] = {"id": event["id"], "status": status, "true_class": event["true_class"]}
        if status == "joined":
            said |= {"revision": 1, "prediction": True, "proba": 0.7, "correct": True, "model": SPEAKER.model}
            said |= {
                "role": "champion",
                "observation": an_observation(),
                "scored_at": rfc3339(now_ms()),
                "delay_s": 0.1,
            }
        said |= {"source": {"partition": record.partition, "offset": record.offset}}
        said |= {"outcome_at": rfc3339(record.timestamp)} | changes
        value = json.dumps(said).encode()
        key = str(event["id"]).encode()
        return await self.write(
            self.names.outcome_updates, record.partition, ProducerRecord(key, value, record.timestamp)
        )

    async def commit(self, *records: Written) -> None:
        """Commit for the group that everything up to these records was read."""
        offsets = {TopicPartition(record.topic, record.partition): record.offset + 1 for record in records}
        await self.producer.send_offsets_to_transaction(offsets, self.group)

    async def commit_all(self, *records: Written) -> None:
        """Commit for the group that all four partitions of both inputs were read up to the last of these records."""
        last: dict[tuple[str, int], Written] = {}
        for record in records:
            where = record.topic, record.partition
            last[where] = max(last.get(where, record), record, key=lambda written: written.offset)
        await self.commit(*last.values())


def now_ms() -> int:
    return int(time.time() * 1000)


def home(id_: str) -> int:
    return partition_of(id_.encode(), PARTITIONS)


def elsewhere(id_: str) -> int:
    return (home(id_) + 1) % PARTITIONS


@asynccontextmanager
async def writing(bootstrap: str, prefix: str) -> AsyncIterator[Hand]:
    """Fresh topics, and a hand that writes them in transactions: `async with hand.producer.transaction()`."""
    settings = load_settings(None, {}, {"kafka.bootstrap": bootstrap, "topics.prefix": prefix})
    await apply(settings)
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, transactional_id=f"{prefix}hand", transaction_timeout_ms=10_000
    )
    await producer.start()
    try:
        yield Hand(producer, settings)
    finally:
        await producer.stop()
