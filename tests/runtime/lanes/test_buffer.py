"""What a lane holds: every offset once, and what a batch commits."""

from dataclasses import dataclass
from typing import Any

from aiokafka import TopicPartition

from stream_scorer.runtime.lanes.buffer import LaneBuffer

FIRST, SECOND = TopicPartition("first", 0), TopicPartition("second", 0)


@dataclass
class ReadRecord:
    offset: int
    timestamp: int = -1
    value: bytes = b"x"
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


def records(*offsets: int) -> list[Any]:
    return [ReadRecord(offset, 1_000 + offset) for offset in offsets]


def a_buffer(batch_records_max: int = 3) -> LaneBuffer:
    buffer = LaneBuffer([FIRST, SECOND], batch_records_max)
    buffer.seek({FIRST: 5, SECOND: 9})
    return buffer


def test_records_that_were_added_before_are_dropped() -> None:
    buffer = a_buffer()
    assert buffer.add(FIRST, records(5, 6))
    assert not buffer.add(FIRST, records(5, 6))
    assert buffer.add(FIRST, records(6, 7))
    taken, _ = buffer.take()
    assert [record.offset for record in taken[FIRST]] == [5, 6, 7]


def test_a_batch_commits_what_was_taken_and_nothing_that_waits() -> None:
    buffer = a_buffer()
    buffer.add(FIRST, records(5, 6, 7, 8))
    assert buffer.take()[1] == {FIRST: 8}
    assert buffer.take()[1] == {FIRST: 9}
    assert buffer.take()[1] == {FIRST: 9, SECOND: 9}


def test_a_batch_of_nothing_commits_the_position_again() -> None:
    assert a_buffer().take() == ({FIRST: [], SECOND: []}, {FIRST: 5, SECOND: 9})


def test_records_are_held_until_their_batch_is_settled() -> None:
    buffer = a_buffer()
    buffer.add(FIRST, records(5, 6, 7, 8))
    assert not buffer.has_room(FIRST)
    taken, _ = buffer.take()
    assert (buffer.held_records, buffer.oldest_ms(), buffer.has_room(FIRST)) == (4, 1_005, True)
    buffer.settle(len(taken[FIRST]))
    assert (buffer.held_records, buffer.oldest_ms()) == (1, 1_008)
