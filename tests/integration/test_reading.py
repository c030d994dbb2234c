"""Reading topics back: every committed record up to where the topic ended when it was asked, and no other."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from stream_scorer.errors import OutageError
from stream_scorer.operations.reading.topic_reader import Reader, Spans
from tests.integration.broker_sources import Broker
from tests.integration.topic_writer import Hand, writing
from tests.support.builders import an_event


@pytest.fixture
async def hand(broker: Broker, prefix: str) -> AsyncIterator[Hand]:
    async with writing(broker.bootstrap, prefix) as hand:
        yield hand


async def read_offsets(reader: Reader, spans: Spans) -> list[tuple[int, int]]:
    return sorted(
        [(where.partition, record.offset) async for where, records in reader.read(spans) for record in records]
    )


async def test_a_read_waits_for_a_transaction_that_is_still_open(hand: Hand) -> None:
    await hand.producer.begin_transaction()
    sent = [await hand.observe(an_event("a"), partition) for partition in (0, 3)]
    async with Reader(hand.options) as reader:
        reading = asyncio.create_task(read_offsets(reader, await reader.spans([hand.names.observations])))
        await asyncio.sleep(0.7)
        assert not reading.done()
        await hand.producer.commit_transaction()
        assert await reading == [(record.partition, record.offset) for record in sent]


async def test_a_transaction_that_stays_open_ends_the_reader_s_patience(hand: Hand) -> None:
    await hand.producer.begin_transaction()
    await hand.observe(an_event("a"), 2)
    async with Reader(hand.options, patience_s=0.5) as reader:
        with pytest.raises(OutageError, match=r"observations-2 from offset 0 .*transaction open"):
            await read_offsets(reader, await reader.spans([hand.names.observations]))
    await hand.producer.abort_transaction()


async def test_what_comes_after_the_spans_were_asked_for_is_not_read(hand: Hand) -> None:
    async with Reader(hand.options) as reader:
        async with hand.producer.transaction():
            await hand.observe(an_event("a"), 1)
        spans = await reader.spans([hand.names.observations])
        async with hand.producer.transaction():
            await hand.observe(an_event("b"), 1)
        assert await read_offsets(reader, spans) == [(1, 0)]


async def test_a_topic_that_ends_in_markers_is_read_to_its_end(hand: Hand) -> None:
    async with hand.producer.transaction():
        await hand.observe(an_event("a"), 1)
    await hand.producer.begin_transaction()
    await hand.observe(an_event("b"), 1)
    await hand.producer.abort_transaction()
    async with Reader(hand.options) as reader:
        spans = await reader.spans([hand.names.observations])
        assert await read_offsets(reader, spans) == [(1, 0)]
        assert await read_offsets(reader, spans) == [(1, 0)]


async def test_the_offsets_of_a_group_that_never_was_are_none(hand: Hand) -> None:
    async with Reader(hand.options) as reader:
        spans = await reader.spans([hand.names.observations])
        assert await reader.committed("nobody", spans) == {}
