"""Lanes to which nothing comes for so long that Kafka forgets their producers: the next record is scored like any
other."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka.errors import InvalidProducerIdMapping, KafkaError, ProducerFenced, TopicAuthorizationFailedError

from stream_scorer.errors import FencedError, OutageError, RefusedError
from stream_scorer.operations.local_broker import LocalBroker
from stream_scorer.runtime.kafka.errors import FENCED, cause_of, to_user_error
from tests.runtime.publishing.committing import Place, records
from tests.support.builders import an_event
from tests.support.workers import an_environment, stopped

FORGETFUL = {
    "transactional.id.expiration.ms": "1500",
    "transaction.remove.expired.transaction.cleanup.interval.ms": "200",
    "producer.id.expiration.ms": "1500",
    "producer.id.expiration.check.interval.ms": "200",
}
QUIET_S = 4.0


@pytest.fixture(scope="module")
def forgetful() -> Iterator[LocalBroker]:
    """A broker that forgets after 1.5 s what it forgets after 7 days elsewhere."""
    with LocalBroker(properties=FORGETFUL) as running:
        yield running


@pytest.mark.long
@pytest.mark.kafka
@pytest.mark.parametrize("delivery", ["exactly-once", "at-least-once"])
@pytest.mark.fault(
    "Kafka has forgotten the transactional id of a quiet lane", promise="the next record is scored, no worker ends"
)
async def test_a_record_after_a_long_silence_is_scored_and_ends_no_worker(
    forgetful: LocalBroker, prefix: str, tmp_path: Path, delivery: str
) -> None:
    async with an_environment(forgetful.bootstrap, prefix, tmp_path, worker__delivery=delivery) as environment:
        worker = await environment.start()
        await asyncio.sleep(QUIET_S)  # it is forgotten before its first record too
        for round_ in range(3):
            await environment.topics.observe(*(an_event(f"ev-{round_}-{number}") for number in range(8)))
            await environment.settled()
            await asyncio.sleep(QUIET_S)
        assert worker.exit_status() is None
        await environment.account(prediction=24)
        assert await stopped(worker) == 0


@pytest.mark.long
@pytest.mark.kafka
@pytest.mark.fault("the same, after another worker took over", promise="the previous owner publishes nothing")
async def test_a_producer_that_was_forgotten_publishes_nothing_where_another_has_gone_on(
    forgetful: LocalBroker, prefix: str
) -> None:
    place = await Place(forgetful.bootstrap, prefix).make()
    async with place.worker() as asleep:
        await asleep.publish({place.predictions[0]: records(b"a")}, 1)
        asleep.consumer._coordinator._heartbeat_task.cancel()  # it is thought dead
        async with place.worker() as owner:
            await owner.publish({place.predictions[0]: records(b"b")}, 2)
            await asyncio.sleep(QUIET_S)
            with pytest.raises(FENCED):
                await asleep.publish({place.predictions[0]: records(b"never")}, 2)
    assert await place.values(place.predictions[0]) == [b"a", b"b"]


def wrapped(cause: Exception) -> KafkaError:
    """A fault as the client's sender passes it on."""
    try:
        try:
            raise cause
        except Exception as error:
            raise KafkaError("Unexpected error during batch delivery") from error
    except KafkaError as error:
        return error


@pytest.mark.parametrize(
    ("cause", "told"),
    [
        (InvalidProducerIdMapping(), FencedError),
        (ProducerFenced(), FencedError),
        (ConnectionError("gone"), OutageError),
        (KafkaError("a broker's own words"), RefusedError),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else type(value).__name__,
)
def test_a_fault_is_told_by_its_cause_not_by_what_wraps_it(cause: Exception, told: type) -> None:
    assert cause_of(wrapped(wrapped(cause))) is cause
    assert isinstance(to_user_error(wrapped(cause), "scoring", "kafka:9092"), told)
    assert cause_of(cause) is cause


def test_a_missing_right_is_named_though_it_is_wrapped() -> None:
    known = to_user_error(wrapped(TopicAuthorizationFailedError({"stops.predictions"})), "scoring", "kafka:9092")
    assert known is not None
    assert "stops.predictions" in str(known)
