"""Transactions that Kafka forgot to end in some partition end as they were decided, whoever finds them.

A sound Kafka forgets nothing: so one is told not to look whether a partition belongs to the transaction that writes
into it, and a producer does not say so.
"""

from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager
from typing import Literal

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from stream_scorer.core.records.record import ProducerRecord
from stream_scorer.operations.local_broker import LocalBroker
from stream_scorer.runtime.kafka.record_batches import Outputs
from tests.runtime.publishing.committing import Place, prediction

End = Literal["committed", "aborted", "unknown"]


@pytest.fixture(scope="module")
def careless_broker() -> Iterator[LocalBroker]:
    with LocalBroker(properties={"transaction.partition.verification.enable": "false"}) as running:
        yield running


@pytest.fixture
async def place(careless_broker: LocalBroker, prefix: str) -> Place:
    return await Place(careless_broker.bootstrap, prefix).make()


class Forgetful:
    """A producer under the id of a lane, whose coordinator hears of some of its partitions only."""

    def __init__(self, place: Place, producer: AIOKafkaProducer) -> None:
        self._place, self._producer = place, producer

    async def leave(self, outputs: Outputs, end: End, offsets: dict[TopicPartition, int] | None = None) -> None:
        """Write these, and end the transaction everywhere else. `unknown`: the coordinator never heard of it."""
        producer = self._producer
        await producer.begin_transaction()
        producer._txn_manager._txn_partitions.update(outputs)
        await self._write(outputs)
        producer._txn_manager._txn_partitions.clear()
        if end == "unknown":
            await producer.abort_transaction()  # the coordinator is not asked: nothing is in it, as far as is known
            return
        await producer.send_offsets_to_transaction(
            offsets or {self._place.inputs[1]: 0}, self._place.settings.group_name
        )
        await (producer.commit_transaction() if end == "committed" else producer.abort_transaction())

    async def _write(self, outputs: Outputs) -> None:
        for partition, found in outputs.items():
            for key, value, _, headers in found:
                await self._producer.send_and_wait(
                    partition.topic, value, key, partition.partition, headers=list(headers)
                )


@asynccontextmanager
async def forgetful(place: Place, lane: int = 0, suffix: str = "") -> AsyncIterator[Forgetful]:
    producer = AIOKafkaProducer(**place.options, transactional_id=place.settings.transactional_id(lane) + suffix)
    await producer.start()
    yield Forgetful(place, producer)
    await producer.stop()


def letter(topic: str, offset: int) -> ProducerRecord:
    source = b'{"topic":"%s","partition":0,"offset":%d,"timestamp":0}' % (topic.encode(), offset)
    return ProducerRecord(b"k", b"{}", -1, [("scorer.source", source)])


def moved(offset: int) -> ProducerRecord:
    return ProducerRecord(b"k", b"moved", -1, [("scorer.moved-from", b'{"partition":0,"offset":%d}' % offset)])


async def committed_up_to(place: Place, offset: int) -> None:
    async with place.worker() as worker:
        await worker.publish({}, offset)


@pytest.mark.parametrize("what", ["a prediction", "a dead letter", "a move"])
async def test_what_was_not_committed_is_aborted_though_nobody_knows_of_it(place: Place, what: str) -> None:
    await committed_up_to(place, 5)
    outputs: Outputs = {
        "a prediction": {place.predictions[0]: [prediction(5)], place.updates[0]: [prediction(0)]},
        "a dead letter": {place.letters[0]: [letter(place.names.observations, 5)]},
        "a move": {place.inputs[1]: [moved(5)]},
    }[what]
    async with forgetful(place) as producer:
        await producer.leave(outputs, "unknown")
    async with place.worker() as worker:
        await worker.publish({partition: [prediction(6)] for partition in outputs}, 7)
    for partition in outputs:
        assert await place.values(partition) == [prediction(6).value]
    assert await place.has_committed(7)


async def test_what_was_committed_stays_though_nobody_knows_of_it(place: Place) -> None:
    await committed_up_to(place, 6)
    async with forgetful(place) as producer:
        await producer.leave({place.predictions[0]: [prediction(5)]}, "unknown")
    async with place.worker():
        assert await place.values(place.predictions[0]) == [prediction(5).value]
    assert await place.committed() == 6


@pytest.mark.parametrize("end", ["committed", "aborted"])
async def test_how_the_coordinator_decided_counts_for_more_than_what_records_say(place: Place, end: End) -> None:
    await committed_up_to(place, 5)
    # by its source it would be new where it was committed, and old where it was aborted
    left = prediction(9 if end == "committed" else 1)
    async with forgetful(place) as producer:
        await producer.leave({place.predictions[0]: [left]}, end)
    async with place.worker():
        assert await place.values(place.predictions[0]) == ([left.value] if end == "committed" else [])


async def test_it_is_found_in_another_lane_s_partitions_and_under_either_id(place: Place) -> None:
    async with forgetful(place, lane=0, suffix="+") as producer:
        await producer.leave({place.predictions[1]: [prediction(3, partition=1)]}, "committed")
    async with place.worker() as worker:
        await worker.publish({place.predictions[1]: [prediction(4, partition=1)]}, 5, lane=1)
    found: Collection[bytes] = await place.values(place.predictions[1])
    assert found == [prediction(3, partition=1).value, prediction(4, partition=1).value]


async def test_nothing_is_done_where_all_has_ended(place: Place) -> None:
    async with place.worker() as worker:
        await worker.publish({place.predictions[0]: [prediction(4)]}, 5)
    async with place.worker() as worker:
        # behind one marker only
        assert await worker.publish({place.predictions[0]: [prediction(5)]}, 6) == {place.predictions[0]: 3}
