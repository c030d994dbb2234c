"""A batch's outputs and offsets on a real Kafka: all of them at once, or none."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from stream_scorer.core.records.record import ProducerRecord
from stream_scorer.errors import OutageError
from stream_scorer.operations.local_broker import LocalBroker
from stream_scorer.runtime.cluster.topic_admin import TopicNames, apply
from stream_scorer.runtime.kafka.errors import FENCED
from stream_scorer.runtime.kafka.record_batches import Ends, Outputs
from stream_scorer.runtime.publishing.hanging_transactions import find_unended
from stream_scorer.runtime.publishing.publisher import AtLeastOncePublisher, Publisher, TransactionalPublisher
from stream_scorer.runtime.settings.settings import load_settings
from tests.integration.broker_sources import Broker


class Place:
    """Two topics of one partition, `input` and `output`, and their group."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self.options: dict[str, Any] = {"bootstrap_servers": bootstrap}
        self.input, self.output, self.second = (
            TopicPartition(f"{prefix}{name}", 0) for name in ("input", "output", "second")
        )
        self.group = f"{prefix}group"

    async def make(self) -> None:
        admin = AIOKafkaAdminClient(**self.options)
        await admin.start()
        topics = [NewTopic(one.topic, 1, 1) for one in (self.input, self.output, self.second)]
        await admin.create_topics(topics)
        await admin.close()

    def transactional(self, timeout_ms: int = 10_000) -> TransactionalPublisher:
        return TransactionalPublisher(
            self.options, group=self.group, transactional_id=f"{self.group}-0", timeout_ms=timeout_ms
        )

    async def committed(self) -> int | None:
        async with self.consumer(group_id=self.group) as consumer:
            offset: int | None = await consumer.committed(self.input)
            return offset

    async def has_committed(self, offset: int) -> bool:
        """Whether that is the group's offset. Kafka says yes to a commit a moment before all can see it."""
        for _ in range(400):
            if await self.committed() == offset:
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

    async def values(self, partition: TopicPartition, isolation: str = "read_committed") -> list[bytes]:
        await self.all_transactions_ended(partition)
        async with self.consumer(isolation_level=isolation, fetch_max_wait_ms=20) as consumer:
            consumer.assign([partition])
            consumer.seek(partition, 0)
            end = (await consumer.end_offsets([partition]))[partition]
            found: list[bytes] = []
            while await consumer.position(partition) < end:
                for records in (await consumer.getmany(timeout_ms=50)).values():
                    found += [record.value for record in records]
            return found

    @asynccontextmanager
    async def consumer(self, **settings: Any) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(**self.options, enable_auto_commit=False, **settings)
        await consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()


@pytest.fixture
async def place(broker: Broker, prefix: str) -> Place:
    found = Place(broker.bootstrap, prefix)
    await found.make()
    return found


@asynccontextmanager
async def started(publisher: Publisher) -> AsyncIterator[Publisher]:
    await publisher.start()
    try:
        yield publisher
    finally:
        await publisher.stop()


def records(*values: bytes) -> list[ProducerRecord]:
    return [ProducerRecord(b"k", value, 1_000) for value in values]


async def test_outputs_and_offsets_are_there_once_it_returns(place: Place) -> None:
    async with started(place.transactional()) as publisher:
        outputs: Outputs = {place.output: records(b"a", b"b"), place.second: records(b"c")}
        ends: Ends = await publisher.publish(outputs, {place.input: 7})
        assert ends == {place.output: 2, place.second: 1}
        assert await place.has_committed(7)
        ends = await publisher.publish({place.output: records(b"d")}, {place.input: 8})
        # behind the first transaction's marker
        assert ends == {place.output: 4}
    assert await place.values(place.output) == [b"a", b"b", b"d"]


async def test_offsets_without_outputs_and_outputs_without_offsets_are_published_too(place: Place) -> None:
    async with started(place.transactional()) as publisher:
        assert await publisher.publish({}, {place.input: 3}) == {}
        assert await publisher.publish({place.output: records(b"a")}, {}) == {place.output: 1}
    assert await place.has_committed(3)
    assert await place.values(place.output) == [b"a"]


async def test_more_than_fits_into_one_batch_keeps_its_order(place: Place) -> None:
    values = [b"%07d" % number + b"x" * 10_000 for number in range(500)] + [b"y" * 1_000_000]
    async with started(place.transactional()) as publisher:
        ends = await publisher.publish({place.output: records(*values)}, {place.input: 1})
    assert ends == {place.output: 501}
    assert await place.values(place.output) == values


async def test_who_starts_with_the_same_id_fences_the_one_before(place: Place) -> None:
    async with started(place.transactional()) as former:
        await former.publish({place.output: records(b"a")}, {place.input: 1})
        async with started(place.transactional()) as latter:
            with pytest.raises(FENCED):
                await former.publish({place.output: records(b"never")}, {place.input: 2})
            await latter.publish({place.output: records(b"b")}, {place.input: 2})
    assert await place.values(place.output) == [b"a", b"b"]
    assert await place.has_committed(2)


async def test_a_record_that_kafka_refuses_fails_the_whole_batch(place: Place) -> None:
    async with started(place.transactional()) as publisher:
        outputs: Outputs = {place.output: records(b"never"), place.second: records(b"x" * 2_000_000)}
        with pytest.raises(KafkaError):
            await publisher.publish(outputs, {place.input: 1})
    assert await place.values(place.output) == []
    assert await place.committed() is None


async def test_a_broker_that_does_not_answer_in_time_is_an_outage(own_broker: LocalBroker, prefix: str) -> None:
    place = Place(own_broker.bootstrap, prefix)
    await place.make()
    async with started(place.transactional(timeout_ms=2_000)) as publisher:
        await publisher.publish({place.output: records(b"a")}, {place.input: 1})
        own_broker.pause()
        try:
            with pytest.raises(OutageError, match="transaction_timeout_ms"):
                await publisher.publish({place.output: records(b"never")}, {place.input: 2})
        finally:
            own_broker.resume()


async def test_at_least_once_commits_offsets_behind_the_records(place: Place) -> None:
    async with place.consumer(group_id=place.group) as consumer:
        consumer.assign([place.input])
        publisher = AtLeastOncePublisher(place.options, consumer=consumer, timeout_ms=10_000)
        await publisher.start()
        for number in range(5):
            await publisher.publish({place.output: records(b"%d" % number)}, {place.input: number + 1})
        await publisher.stop()
    assert await place.values(place.output) == [b"0", b"1", b"2", b"3", b"4"]
    assert await place.has_committed(5)


# What a former owner left without an end, which a sound Kafka does not do: so one is told to look away

UNVERIFIED = {"transaction.partition.verification.enable": "false"}


@pytest.fixture(scope="module")
def careless_broker() -> Iterator[LocalBroker]:
    with LocalBroker(properties=UNVERIFIED) as running:
        yield running


class Lane:
    """The topics of lane 0 of an environment, and what its owners do."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self.settings = load_settings(
            None, {}, {"kafka.bootstrap": bootstrap, "topics.prefix": prefix, "topics.partitions": 1}
        )
        self.names = TopicNames(prefix)
        self.options: dict[str, Any] = {"bootstrap_servers": bootstrap}
        self.predictions, self.updates, self.letters, self.observations = (
            TopicPartition(topic, 0)
            for topic in (
                self.names.predictions, self.names.outcome_updates, self.names.dead_letters, self.names.observations,
            )
        )  # fmt: skip
        self.place = Place(bootstrap, prefix)
        self.place.group = self.settings.group_name
        self.place.input = self.observations

    def owner(self) -> TransactionalPublisher:
        group = self.settings.group_name
        return TransactionalPublisher(
            self.options,
            group=group,
            transactional_id=self.settings.transactional_id(0),
            timeout_ms=10_000,
            find_unended=partial(find_unended, self.options, group=group, names=self.names, partition=0, partitions=1),
        )

    async def leave_unended(self, outputs: Outputs) -> None:
        """Write in a transaction of which the coordinator knows nothing: whoever fences it ends it nowhere."""
        publisher = self.owner()
        await publisher.start()
        producer = publisher._producer
        await producer.begin_transaction()
        producer._txn_manager._txn_partitions.update(outputs)
        for partition, found in outputs.items():
            for key, value, _, headers in found:
                await producer.send_and_wait(partition.topic, value, key, partition.partition, headers=headers)
        # the coordinator is not asked for an abort either
        producer._txn_manager._txn_partitions.clear()
        await producer.abort_transaction()
        await publisher.stop()


@pytest.fixture
async def lane(careless_broker: LocalBroker, prefix: str) -> Lane:
    found = Lane(careless_broker.bootstrap, prefix)
    await apply(found.settings)
    return found


def prediction(offset: int) -> ProducerRecord:
    return ProducerRecord(b"k", b'{"id":"k","source":{"partition":0,"offset":%d}}' % offset, 1_000)


def letter(topic: str, offset: int) -> ProducerRecord:
    source = b'{"topic":"%s","partition":0,"offset":%d,"timestamp":0}' % (topic.encode(), offset)
    return ProducerRecord(b"k", b"{}", 1_000, [("scorer.source", source)])


@pytest.mark.parametrize("what", ["a prediction", "a dead letter", "a move"])
async def test_what_was_not_committed_is_aborted_though_kafka_forgot_to(lane: Lane, what: str) -> None:
    async with started(lane.owner()) as owner:
        await owner.publish({lane.predictions: [prediction(4)]}, {lane.observations: 5})
    outputs: Outputs = {
        "a prediction": {lane.predictions: [prediction(5)], lane.updates: [prediction(0)]},
        "a dead letter": {lane.letters: [letter(lane.names.observations, 5)]},
        "a move": {lane.observations: records(b"moved"), lane.predictions: [prediction(5)]},
    }[what]
    await lane.leave_unended(outputs)
    async with started(lane.owner()) as owner:
        await owner.publish({partition: [prediction(6)] for partition in outputs}, {lane.observations: 7})
    for partition in outputs:
        before = [prediction(4).value] if partition == lane.predictions else []
        assert await lane.place.values(partition) == [*before, prediction(6).value]
    assert await lane.place.committed() == 7


async def test_what_was_committed_stays_though_kafka_forgot_to_say_so(lane: Lane) -> None:
    async with started(lane.owner()) as owner:
        await owner.publish({}, {lane.observations: 6})
    await lane.leave_unended({lane.predictions: [prediction(5)]})
    async with started(lane.owner()):
        assert await lane.place.values(lane.predictions) == [prediction(5).value]
    assert await lane.place.committed() == 6


async def test_nothing_is_done_where_all_has_ended(lane: Lane) -> None:
    async with started(lane.owner()) as owner:
        await owner.publish({lane.predictions: [prediction(4)]}, {lane.observations: 5})
    async with started(lane.owner()) as owner:
        # behind one marker only
        assert await owner.publish({lane.predictions: [prediction(5)]}, {}) == {lane.predictions: 3}
