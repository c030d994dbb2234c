"""What a lane has read and not committed yet: records that wait, by input, and those under way.

Invariant: every offset is taken once and in order, and no batch is without offsets.
"""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

from aiokafka import TopicPartition

from stream_scorer.runtime.kafka.batch_fetch import Record
from stream_scorer.runtime.lanes.batch import oldest_ms
from stream_scorer.runtime.lanes.held_bytes import held_bytes

# Values that may wait in a lane, whatever their number, so that large records can't fill the memory
WAITING_BYTES_MAX: Final = 16 * 1024 * 1024


class LaneBuffer:
    """The inputs of one lane. `batch_records_max`: how many records of an input make a full batch."""

    def __init__(self, inputs: Sequence[TopicPartition], batch_records_max: int) -> None:
        self._batch_records_max = batch_records_max
        self._waiting: dict[TopicPartition, list[Record]] = {input_: [] for input_ in inputs}
        self._waiting_bytes = self._in_flight_records = 0
        self._next_offsets: dict[TopicPartition, int] = {}
        # behind what was taken out of the buffer: what a batch commits
        self._taken_offsets: dict[TopicPartition, int] = {}
        self._gaps: dict[TopicPartition, list[tuple[int, int]]] = {input_: [] for input_ in inputs}
        self._in_flight_oldest_ms: deque[int | None] = deque()
        self.held_since_s = time.monotonic()

    def seek(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Start with these offsets."""
        self._next_offsets, self._taken_offsets = dict(offsets), dict(offsets)

    def position(self, partition: TopicPartition) -> int | None:
        """The offset behind the last record added, None before the first `seek`."""
        return self._next_offsets.get(partition)

    @property
    def positions(self) -> Mapping[TopicPartition, int]:
        """The same for all inputs."""
        return self._next_offsets

    @property
    def taken_offsets(self) -> Mapping[TopicPartition, int]:
        """The offset behind the last record that was taken out, for all inputs."""
        return self._taken_offsets

    def has_room(self, partition: TopicPartition) -> bool:
        """Whether to read more of this input: up to one batch waits while another is under way."""
        return len(self._waiting[partition]) < self._batch_records_max and self._waiting_bytes < WAITING_BYTES_MAX

    def add(self, partition: TopicPartition, records: Sequence[Record]) -> bool:
        """Add records in the order of their offsets, without those that were added before; whether any was new."""
        expected = self._next_offsets[partition]
        if records[0].offset < expected:
            records = [record for record in records if record.offset >= expected]
            if not records:
                return False
        if (first := max(expected, records[0].offset)) > expected:
            self._gaps[partition].append((expected, first))
        self._next_offsets[partition] = records[-1].offset + 1
        if not self.held_records:
            self.held_since_s = time.monotonic()
        self._waiting[partition].extend(records)
        self._waiting_bytes += held_bytes(records)
        return True

    def take_gaps(self, partition: TopicPartition) -> tuple[tuple[int, int], ...]:
        """Offsets that no record came of since this was asked last, (first, next): of markers, of what was aborted, or
        of what is not there any more."""
        gaps, self._gaps[partition] = tuple(self._gaps[partition]), []
        return gaps

    def take(self) -> tuple[dict[TopicPartition, list[Record]], dict[TopicPartition, int]]:
        """A batch by input, and the offsets to commit with it: of the inputs that brought something; where none did, of
        all, because a batch that only gives outcomes up must say too where its lane is."""
        taken: dict[TopicPartition, list[Record]] = {}
        for partition, records in self._waiting.items():
            taken[partition] = records[: self._batch_records_max]
            self._waiting[partition] = records[self._batch_records_max :]
            if taken[partition]:
                self._taken_offsets[partition] = taken[partition][-1].offset + 1
        self._waiting_bytes = sum(map(held_bytes, self._waiting.values()))
        self._in_flight_records += sum(map(len, taken.values()))
        self._in_flight_oldest_ms.append(oldest_ms(*taken.values()))
        offsets = {partition: self._taken_offsets[partition] for partition, records in taken.items() if records}
        return taken, offsets or dict(self._taken_offsets)

    def settle(self, records: int) -> None:
        """Forget the oldest batch under way, of so many records: it is committed."""
        self._in_flight_records -= records
        self._in_flight_oldest_ms.popleft()

    def waiting(self, partition: TopicPartition) -> int:
        """Records of this input that wait."""
        return len(self._waiting[partition])

    @property
    def waiting_records(self) -> int:
        """Records that wait."""
        return sum(map(len, self._waiting.values()))

    @property
    def held_records(self) -> int:
        """Records that were read and are not committed yet."""
        return self.waiting_records + self._in_flight_records

    def oldest_ms(self) -> int | None:
        """The timestamp of the oldest record that is held."""
        waiting = oldest_ms(*self._waiting.values())
        return min((known for known in (waiting, *self._in_flight_oldest_ms) if known is not None), default=None)
