"""What a lane reads next, held against where its inputs begin and end."""

import pytest
from aiokafka import TopicPartition

from stream_scorer.errors import OffsetsError
from stream_scorer.runtime.lanes.position_check import PositionCheck, Reached

INPUT = TopicPartition("stops.observations", 2)


class Looks:
    def __init__(self) -> None:
        self.lost: list[tuple[int, int]] = []
        self.check = PositionCheck(lambda partition, first, last: self.lost.append((first, last)))

    def look(self, taken: int, position: int, begin: int, end: int, *gaps: tuple[int, int]) -> list[tuple[int, int]]:
        """What is told at this look."""
        self.lost.clear()
        self.check.compare({INPUT: Reached(taken, position, gaps)}, {INPUT: begin}, {INPUT: end})
        return self.lost


def test_an_end_below_what_was_read_is_believed_at_the_second_look() -> None:
    looks = Looks()
    looks.look(20, 20, 0, 10)
    with pytest.raises(OffsetsError, match=r"ends at offset 10, but the lane should resume at 20"):
        looks.look(20, 20, 0, 10)


def test_an_end_that_comes_back_is_not_believed() -> None:
    looks = Looks()
    for end in (10, 20, 10, 25):
        assert looks.look(20, 20, 0, end) == []


def test_what_was_deleted_before_it_was_fetched_is_told_once() -> None:
    looks = Looks()
    assert looks.look(50, 50, 100, 200) == [(50, 99)]
    assert looks.look(50, 50, 100, 200) == []
    assert looks.look(120, 120, 100, 200, (50, 100)) == []


def test_what_the_client_has_passed_over_already_is_told_too() -> None:
    assert Looks().look(150, 150, 100, 200, (50, 100)) == [(50, 99)]


def test_what_the_client_has_passed_over_is_told_before_the_next_record_comes() -> None:
    looks = Looks()
    assert looks.look(50, 50, 0, 50) == []
    assert looks.look(50, 100, 100, 100) == [(50, 99)]
    assert looks.look(120, 120, 100, 200, (50, 100)) == []


def test_what_is_deleted_while_nobody_reads_is_told_as_it_grows() -> None:
    looks = Looks()
    assert looks.look(50, 50, 100, 200) == [(50, 99)]
    assert looks.look(50, 50, 150, 200) == [(100, 149)]


def test_markers_behind_the_last_record_are_no_records() -> None:
    assert Looks().look(10, 11, 11, 11) == []
    assert Looks().look(20, 20, 11, 30, (10, 11)) == [(10, 10)]  # it can't be told from a record then
    assert Looks().look(20, 20, 15, 30, (10, 11)) == []
