"""Answers of a batch: in order, each as soon as those before it have come, within the limit in flight."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from stream_scorer.gateway.batch_answers import TOGETHER_EVENTS_MAX, Answers, Slots
from stream_scorer.gateway.problem import Reply

Tell = Callable[[int, Reply], None]


class Asked:
    """What was asked together, answered by the test."""

    def __init__(self) -> None:
        self.chunks: list[tuple[Sequence[bytes], Tell]] = []
        self.ended = asyncio.Event()

    async def ask(self, values: Sequence[bytes], tell: Tell) -> None:
        self.chunks.append((values, tell))
        await self.ended.wait()

    def tell(self, chunk: int, *numbers: int) -> None:
        values, tell = self.chunks[chunk]
        for number in numbers:
            tell(number, Reply(200, {"id": values[number].decode()}))


async def at_once(*parts: Sequence[bytes | Reply]) -> AsyncIterator[Sequence[bytes | Reply]]:
    for part in parts:
        yield part


def lines_of(*ids: str) -> list[bytes]:
    return [b'{"status":200,"id":"%b"}' % id_.encode() for id_ in ids]


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_an_answer_goes_out_before_those_behind_it_have_come() -> None:
    asked = Asked()
    async with Answers(asked.ask, Slots(10), at_once([b"a", b"b", b"c"])) as lines:
        await settled()
        asked.tell(0, 0, 2)
        assert await anext(lines) == lines_of("a")
        asked.tell(0, 1)
        assert await anext(lines) == lines_of("b", "c")
        with pytest.raises(StopAsyncIteration):
            await anext(lines)


async def test_what_could_not_be_read_is_answered_in_its_place() -> None:
    asked = Asked()
    async with Answers(asked.ask, Slots(10), at_once([b"a", Reply(413, {}), b"b"])) as lines:
        await settled()
        assert asked.chunks[0][0] == [b"a", b"b"]
        asked.tell(0, 0, 1)
        assert await anext(lines) == [*lines_of("a"), b'{"status":413}', *lines_of("b")]


async def test_no_more_is_asked_than_may_be_in_flight_even_where_nobody_reads() -> None:
    asked = Asked()
    async with Answers(asked.ask, Slots(2), at_once([b"a", b"b", b"c"])) as lines:
        await settled()
        assert [values for values, _ in asked.chunks] == [[b"a", b"b"]]
        asked.tell(0, 1)
        await settled()
        assert [values for values, _ in asked.chunks] == [[b"a", b"b"], [b"c"]]
        asked.tell(1, 0)
        asked.tell(0, 0)
        assert [line async for some in lines for line in some] == lines_of("a", "b", "c")


async def test_who_leaves_gives_back_what_was_in_flight() -> None:
    asked, slots = Asked(), Slots(2)
    async with Answers(asked.ask, slots, at_once([b"a", b"b", b"c"])):
        await settled()
        asked.tell(0, 0)
        await settled()
    await settled()
    assert await slots.take([1] * 5) == 2


async def test_an_error_of_our_own_reaches_who_reads() -> None:
    async def ask(values: Sequence[bytes], tell: Tell) -> None:
        raise ZeroDivisionError

    slots = Slots(2)
    async with Answers(ask, slots, at_once([b"a", b"b"])) as lines:
        with pytest.raises(ZeroDivisionError):
            await anext(lines)
    assert await slots.take([1] * 5) == 2


async def test_large_events_wait_for_each_other_though_their_number_is_small() -> None:
    asked = Asked()
    async with Answers(asked.ask, Slots(10, bytes_max=5), at_once([b"aaa", b"bbb", b"much too large"])) as lines:
        await settled()
        for chunk, value in enumerate((b"aaa", b"bbb", b"much too large")):
            assert [values for values, _ in asked.chunks[chunk:]] == [[value]]
            asked.tell(chunk, 0)
            await settled()
        assert [line async for some in lines for line in some] == lines_of("aaa", "bbb", "much too large")


async def test_many_events_are_asked_some_at_a_time() -> None:
    slots = Slots(2 * TOGETHER_EVENTS_MAX)
    assert await slots.take([1] * 3 * TOGETHER_EVENTS_MAX) == TOGETHER_EVENTS_MAX
