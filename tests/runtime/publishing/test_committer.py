"""Batches of several lanes and their offsets on a real Kafka, in both versions of transactions: all, or nothing."""

import asyncio
from collections.abc import Callable, Iterator

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from stream_scorer.errors import OutageError
from stream_scorer.operations.local_broker import LocalBroker
from stream_scorer.runtime.kafka.errors import FENCED
from stream_scorer.runtime.kafka.record_batches import Outputs
from stream_scorer.runtime.publishing.at_least_once import AtLeastOncePublisher
from stream_scorer.runtime.publishing.publisher import LaneUnavailableError
from tests.runtime.publishing.committing import Place, records
from tests.runtime.publishing.features import set_transaction_version

KnownLeader = Callable[[TopicPartition], int | None]


@pytest.fixture(scope="module", params=[1, 2], ids=["version 1", "version 2"])
def versioned(request: pytest.FixtureRequest) -> Iterator[LocalBroker]:
    """A broker for each version of transactions that Kafka has."""
    with LocalBroker() as running:
        asyncio.run(set_transaction_version(running.bootstrap, request.param))
        yield running


@pytest.fixture
async def place(versioned: LocalBroker, prefix: str) -> Place:
    return await Place(versioned.bootstrap, prefix).make()


async def test_outputs_and_offsets_are_there_once_it_returns(place: Place) -> None:
    async with place.worker() as worker:
        outputs: Outputs = {place.predictions[0]: records(b"a", b"b"), place.letters[0]: records(b"c")}
        assert await worker.publish(outputs, 7) == {place.predictions[0]: 2, place.letters[0]: 1}
        assert await place.has_committed(7)
        # behind the first transaction's marker
        assert await worker.publish({place.predictions[0]: records(b"d")}, 8) == {place.predictions[0]: 4}
    assert await place.values(place.predictions[0]) == [b"a", b"b", b"d"]


async def test_lanes_that_publish_at_once_share_a_transaction(place: Place) -> None:
    async with place.worker() as worker:
        for lane in worker.lanes:
            lane.announce()
        await asyncio.gather(
            worker.publish({place.predictions[0]: records(b"a")}, 1, lane=0),
            worker.publish({place.predictions[1]: records(b"b"), place.inputs[0]: records(b"moved")}, 2, lane=1),
        )
        assert await place.has_committed(1, lane=0)
        assert await place.has_committed(2, lane=1)
    assert [await place.values(one) for one in (*place.predictions, place.inputs[0])] == [[b"a"], [b"b"], [b"moved"]]


async def test_a_transaction_without_records_commits_its_offsets(place: Place) -> None:
    async with place.worker() as worker:
        assert await worker.publish({}, 3) == {}
    assert await place.has_committed(3)


async def test_a_transaction_without_offsets_is_refused(place: Place) -> None:
    async with place.worker() as worker:
        with pytest.raises(ValueError, match="generation"):
            await worker.lanes[0].publish({place.predictions[0]: records(b"a")}, {})


async def test_more_than_fits_into_one_batch_keeps_its_order(place: Place) -> None:
    values = [b"%07d" % number + b"x" * 10_000 for number in range(500)] + [b"y" * 1_000_000]
    async with place.worker() as worker:
        assert await worker.publish({place.predictions[0]: records(*values)}, 1) == {place.predictions[0]: 501}
    assert await place.values(place.predictions[0]) == values


async def test_hundreds_of_transactions_one_behind_the_other_keep_their_order(place: Place) -> None:
    async with place.worker() as worker:
        for number in range(300):
            await worker.publish({place.predictions[0]: records(b"%d" % number)}, number + 1)
    assert await place.values(place.predictions[0]) == [b"%d" % number for number in range(300)]
    assert await place.has_committed(300)


async def test_a_record_that_kafka_refuses_fails_the_whole_transaction(place: Place) -> None:
    async with place.worker() as worker:
        outputs: Outputs = {place.predictions[0]: records(b"never"), place.letters[0]: records(b"x" * 20_000_000)}
        with pytest.raises(KafkaError):
            await worker.publish(outputs, 1)
    assert await place.values(place.predictions[0]) == []
    assert await place.committed() is None


async def test_whoever_has_the_lanes_next_fences_the_one_before(place: Place) -> None:
    async with place.worker() as former:
        await former.publish({place.predictions[0]: records(b"a")}, 1)
        former.consumer._coordinator._heartbeat_task.cancel()  # it is thought dead
        async with place.worker() as latter:
            with pytest.raises(FENCED):
                await former.publish({place.predictions[0]: records(b"never")}, 2)
            await latter.publish({place.predictions[0]: records(b"b")}, 2)
    assert await place.values(place.predictions[0]) == [b"a", b"b"]
    assert await place.has_committed(2)


async def test_a_member_of_another_generation_commits_nothing_though_its_id_is_its_own(place: Place) -> None:
    async with place.worker() as worker:
        committer = worker.lanes[0]._committer
        committer.membership = committer.membership._replace(generation=committer.membership.generation + 1)
        committer._writer._membership = committer.membership
        with pytest.raises(FENCED):
            await worker.publish({place.predictions[0]: records(b"never")}, 1)
    assert await place.values(place.predictions[0]) == []
    assert await place.committed() is None


async def test_a_lane_that_lets_go_leaves_the_others_at_work(place: Place) -> None:
    async with place.worker() as worker:
        await worker.lanes[0].stop()
        await worker.publish({place.predictions[1]: records(b"a")}, 1, lane=1)
    assert await place.values(place.predictions[1]) == [b"a"]


async def test_a_lane_without_a_leader_is_told_and_the_others_go_on(place: Place) -> None:
    async with place.worker() as worker:
        committer = worker.lanes[0]._committer
        unseen = place.predictions[0]
        committer._unseen = frozenset({unseen})
        committer.client.known_leader = _without(committer.client.known_leader, unseen)  # type: ignore[method-assign, assignment]
        for lane in worker.lanes:
            lane.announce()
        lost = asyncio.create_task(worker.publish({unseen: records(b"never")}, 1, lane=0))
        assert await worker.publish({place.predictions[1]: records(b"a")}, 1, lane=1) == {place.predictions[1]: 1}
        with pytest.raises(LaneUnavailableError):
            await lost
    assert await place.values(place.predictions[0]) == []


def _without(known_leader: KnownLeader, partition: TopicPartition) -> KnownLeader:
    return lambda asked: None if asked == partition else known_leader(asked)


async def test_a_broker_that_does_not_answer_in_time_is_an_outage(own_broker: LocalBroker, prefix: str) -> None:
    place = await Place(own_broker.bootstrap, prefix, **{"worker.transaction_timeout_ms": 2_000}).make()
    async with place.worker() as worker:
        await worker.publish({place.predictions[0]: records(b"a")}, 1)
        own_broker.pause()
        try:
            with pytest.raises(OutageError, match="transaction_timeout_ms"):
                await worker.publish({place.predictions[0]: records(b"never")}, 2)
        finally:
            own_broker.resume()


async def test_at_least_once_commits_offsets_behind_the_records(place: Place) -> None:
    async with place.consumer(group_id=place.settings.group_name) as consumer:
        consumer.assign([place.inputs[0]])
        publisher = AtLeastOncePublisher(place.options, consumer=consumer, timeout_ms=10_000)
        await publisher.start()
        for number in range(5):
            outputs: Outputs = {place.predictions[0]: records(b"%d" % number)}
            await publisher.publish(outputs, {place.inputs[0]: number + 1})
        await publisher.stop()
    assert await place.values(place.predictions[0]) == [b"0", b"1", b"2", b"3", b"4"]
    assert await place.has_committed(5)
