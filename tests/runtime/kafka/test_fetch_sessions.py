"""A consumer that fetches in sessions gets what it gets without them, whatever becomes of the sessions."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any, Final

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.protocol.fetch import FetchRequest, FetchRequest_v11, FetchResponse_v11

from stream_scorer.runtime.kafka.batch_fetch import read
from stream_scorer.runtime.kafka.fetch_sessions import NO_SESSION, FetchSession, use_fetch_sessions
from tests.integration.broker_sources import Broker

PARTITIONS: Final = 3
SESSION_NOT_FOUND: Final = 70
UNKNOWN_SESSION: Final = 123_456_789


def asked(session: FetchSession, offsets: dict[int, int]) -> tuple[Any, ...]:
    """Session, epoch, partitions with their offsets, and forgotten partitions of the next request for these offsets."""
    request = FetchRequest(500, 1, 1_000, 1, [("topic", [(number, at, 100) for number, at in offsets.items()])])
    fetch = FetchRequest_v11.decode(BytesIO(session.next(request).encode()))
    named = {number: offset for _, partitions in fetch.topics for number, _, offset, *_ in partitions}
    forgotten = {number for _, numbers in fetch.forgotten_topics_data for number in numbers}
    return fetch.session_id, fetch.session_epoch, named, forgotten


def answer(session: FetchSession, session_id: int, error_code: int = 0) -> None:
    session.decode(BytesIO(FetchResponse_v11(0, error_code, session_id, []).encode()))


def test_a_session_names_what_has_moved_on_and_what_is_no_longer_wanted() -> None:
    session = FetchSession()
    assert asked(session, {0: 5, 1: 6, 2: 7}) == (0, 0, {0: 5, 1: 6, 2: 7}, set())
    answer(session, 77)
    assert asked(session, {0: 5, 1: 9, 2: 7}) == (77, 1, {1: 9}, set())
    answer(session, 77)
    assert asked(session, {0: 5, 3: 0}) == (77, 2, {3: 0}, {1, 2})
    answer(session, 77)
    assert asked(session, {0: 5, 2: 7, 3: 0}) == (77, 3, {2: 7}, set())


def test_a_request_without_an_answer_ends_the_session() -> None:
    session = FetchSession()
    asked(session, {0: 5})
    answer(session, 77)
    asked(session, {0: 6})
    assert asked(session, {0: 6}) == (77, 0, {0: 6}, set())  # the first epoch: a new session instead of that one
    answer(session, 78)
    assert asked(session, {0: 6}) == (78, 1, {}, set())


@pytest.mark.parametrize(
    ("session_id", "error_code"),
    [pytest.param(0, SESSION_NOT_FOUND, id="forgotten"), pytest.param(0, 0, id="no room for sessions")],
)
def test_without_a_session_everything_is_named(session_id: int, error_code: int) -> None:
    session = FetchSession()
    asked(session, {0: 5})
    answer(session, 77)
    asked(session, {0: 6})
    answer(session, session_id, error_code)
    assert asked(session, {0: 6}) == (0, 0, {0: 6}, set())


def test_a_broker_from_before_sessions_gets_a_request_of_old() -> None:
    request = FetchRequest(500, 1, 1_000, 1, [("topic", [(0, 5, 100)])])
    assert FetchSession().next(request).prepare({1: (0, 10)}).API_VERSION == 10


@asynccontextmanager
async def reading(
    broker: Broker, partitions: list[TopicPartition]
) -> AsyncIterator[tuple[AIOKafkaConsumer, Mapping[int, FetchSession]]]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker.bootstrap,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
        fetch_max_wait_ms=50,
    )
    await consumer.start()
    sessions = use_fetch_sessions(consumer)
    try:
        consumer.assign(partitions)
        yield consumer, sessions
    finally:
        await consumer.stop()


def producing(broker: Broker) -> AIOKafkaProducer:
    return AIOKafkaProducer(bootstrap_servers=broker.bootstrap)


@pytest.fixture
async def partitions(broker: Broker, prefix: str) -> list[TopicPartition]:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(f"{prefix}several", PARTITIONS, 1)])
    await admin.close()
    return [TopicPartition(f"{prefix}several", number) for number in range(PARTITIONS)]


async def send(producer: AIOKafkaProducer, partition: TopicPartition, value: bytes) -> None:
    await producer.send_and_wait(partition.topic, value, partition=partition.partition)


async def values(consumer: AIOKafkaConsumer, wanted: list[TopicPartition], count: int) -> list[bytes]:
    """So many values, or those that came within some seconds."""
    found: list[bytes] = []
    for _ in range(100):
        for records in (await read(consumer, wanted, timeout_s=0.1, records_max=10)).values():
            found += [record.value for record in records]
        if len(found) >= count:
            break
    return found


async def test_every_record_comes_once_and_in_order(broker: Broker, partitions: list[TopicPartition]) -> None:
    async with producing(broker) as producer, reading(broker, partitions) as (consumer, _):
        for number in range(30):
            await send(producer, partitions[number % PARTITIONS], b"%d" % number)
            assert await values(consumer, partitions, 1) == [b"%d" % number]
        for partition in partitions:
            consumer.seek(partition, 0)
        again = await values(consumer, partitions, 30)
        assert sorted(again, key=int) == [b"%d" % number for number in range(30)]


async def test_a_paused_partition_is_left_out_and_taken_up_again(
    broker: Broker, partitions: list[TopicPartition]
) -> None:
    first, *others = partitions
    async with producing(broker) as producer, reading(broker, partitions) as (consumer, _):
        await send(producer, first, b"before")
        assert await values(consumer, partitions, 1) == [b"before"]
        consumer.pause(first)
        await send(producer, others[0], b"other")
        assert await values(consumer, partitions, 1) == [b"other"]
        await send(producer, first, b"meanwhile")
        await send(producer, others[1], b"another")
        assert await values(consumer, partitions, 1) == [b"another"]
        consumer.resume(first)
        assert await values(consumer, partitions, 1) == [b"meanwhile"]


async def test_a_session_that_the_broker_does_not_know_is_begun_anew(
    broker: Broker, partitions: list[TopicPartition]
) -> None:
    async with producing(broker) as producer, reading(broker, partitions) as (consumer, sessions):
        await send(producer, partitions[0], b"before")
        assert await values(consumer, partitions, 1) == [b"before"]
        (session,) = sessions.values()
        session._id = UNKNOWN_SESSION
        await send(producer, partitions[0], b"behind")
        assert await values(consumer, partitions, 1) == [b"behind"]
        assert session._id not in (NO_SESSION, UNKNOWN_SESSION)
