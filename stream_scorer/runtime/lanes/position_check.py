"""Whether what a lane reads next is still there: held against where its inputs begin and end, every now and then.

Invariant: what retention deleted unread is told once, with its offsets; a position that lies beyond an input's end is
believed at the second look in a row, and ends the worker.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from aiokafka import TopicPartition

from stream_scorer.runtime.lanes.start_offsets import beyond_the_end

# A leader that has just been elected may not know its own end yet
LOOKS_BEYOND_MAX = 2

Lost = Callable[[TopicPartition, int, int], None]


class Reached(NamedTuple):
    """How far an input was read: `taken`, the offset behind the last record that its lane has; `position`, the one that
    is fetched next, behind markers too; `gaps`: offsets that were passed over since the last look, (first, next)."""

    taken: int
    position: int
    gaps: tuple[tuple[int, int], ...]


class PositionCheck:
    """Remembers what it has told. `lost` is told of offsets, the first and the last, that were deleted unread."""

    def __init__(self, lost: Lost) -> None:
        self._lost = lost
        self._positions: dict[TopicPartition, int] = {}
        self._told_to: dict[TopicPartition, int] = {}
        self._beyond: dict[TopicPartition, int] = {}

    def compare(
        self,
        reached: Mapping[TopicPartition, Reached],
        begins: Mapping[TopicPartition, int],
        ends: Mapping[TopicPartition, int],
    ) -> None:
        """Hold what was reached, as of before Kafka was asked, against what Kafka says. Raises `OffsetsError`."""
        self._told_to = {partition: told for partition, told in self._told_to.items() if partition in reached}
        self._beyond = {
            partition: self._beyond.get(partition, 0) + 1
            for partition, at in reached.items()
            if ends.get(partition, at.taken) < at.taken
        }
        for partition, looks in self._beyond.items():
            if looks >= LOOKS_BEYOND_MAX:
                raise beyond_the_end(partition, reached[partition].taken, ends[partition])
        for partition, at in reached.items():
            begin = begins.get(partition, 0)
            # the client goes on where the input begins, at once or a moment later; before the next record, only its
            # position tells
            passed = max(self._positions.get(partition, at.position), at.taken), at.position
            missed = [first for first, next_ in (*at.gaps, passed) if first < begin <= next_]
            if at.position < begin and at.taken < begin:
                missed.append(max(at.position, at.taken))
            if missed and (first := max(min(missed), self._told_to.get(partition, 0))) < begin:
                self._told_to[partition] = begin
                self._lost(partition, first, begin - 1)
        self._positions = {partition: at.position for partition, at in reached.items()}
