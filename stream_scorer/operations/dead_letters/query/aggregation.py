"""Letters counted: by code and field, over time, by producer.

Invariant: counts come from rows alone, chunk by chunk.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.records.dead_letter_reader import Position
from stream_scorer.operations.dead_letters.index.dictionaries import NOBODY, Fault
from stream_scorer.operations.dead_letters.index.index import PARKED, Chunk
from stream_scorer.operations.dead_letters.index.rows import time_text
from stream_scorer.operations.dead_letters.query.filters import STATES, State

PRODUCERS_NAMED: Final = 3

T = TypeVar("T")


class ReasonGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Letters that have one fault in common. A dead letter with several reasons is in several groups."""

    code: str
    field: str | None
    count: int
    parked: int
    first_at: str
    last_at: str
    example: Position
    producers: tuple[tuple[str, int], ...]


class ProducerCount(msgspec.Struct, frozen=True, kw_only=True):
    """The letters of one producer; "" is who says nothing of itself."""

    producer: str
    count: int
    by_fault: tuple[tuple[str, str | None, int], ...]
    first_at: str
    last_at: str
    example: Position


class _Sum:
    """Letters of one kind, added up."""

    def __init__(self) -> None:
        self.count = self.parked = 0
        self.first_ms, self.last_ms = 1 << 62, -1
        self.example: Position | None = None
        self.producers: defaultdict[str, int] = defaultdict(int)
        self.faults: defaultdict[Fault, int] = defaultdict(int)

    def see(self, part: "_Part") -> None:
        self.count += len(part.rows)
        self.parked += part.parked
        self.first_ms = min(self.first_ms, part.first_ms)
        if part.last_ms > self.last_ms:
            self.last_ms, self.example = part.last_ms, part.newest


class _Part:
    """Letters of a chunk that have one number in a column."""

    def __init__(self, chunk: Chunk, number: int, rows: NDArray[np.intp], failed_ms: NDArray[np.int64]) -> None:
        failed_ms = failed_ms[rows]
        newest = int(failed_ms.argmax())
        self.number, self.rows = number, rows
        self.parked = int((chunk.states[rows] == PARKED).sum())
        self.first_ms, self.last_ms = int(failed_ms.min()), int(failed_ms[newest])
        self.newest = Position(chunk.partition, int(chunk.rows["offset"][rows[newest]]))


def group_by_reason(chunks: Iterable[Chunk]) -> list[ReasonGroup]:
    """Groups by code and field, the largest first."""
    sums: defaultdict[Fault, _Sum] = defaultdict(_Sum)
    for chunk in chunks:
        producers = np.ascontiguousarray(chunk.rows["producer"])
        for part in _parts(chunk, "faults"):
            senders = _named(chunk.tables.producers.values, producers[part.rows])
            for fault in dict.fromkeys(chunk.tables.faults.values[part.number]):
                sums[fault].see(part)
                for name, count in senders:
                    sums[fault].producers[name] += count
    found = [
        ReasonGroup(
            code=code,
            field=field,
            count=one.count,
            parked=one.parked,
            first_at=time_text(one.first_ms),
            last_at=time_text(one.last_ms),
            example=one.example,
            producers=tuple(_largest({name: n for name, n in one.producers.items() if name != NOBODY})),
        )
        for (code, field), one in sums.items()
        if one.example is not None
    ]
    return sorted(found, key=lambda one: (-one.count, one.code, one.field or ""))


def count_producers(chunks: Iterable[Chunk]) -> list[ProducerCount]:
    """Letters by who says to have sent them, the most first."""
    sums: defaultdict[str, _Sum] = defaultdict(_Sum)
    for chunk in chunks:
        kinds = np.ascontiguousarray(chunk.rows["faults"])
        for part in _parts(chunk, "producer"):
            one = sums[chunk.tables.producers.values[part.number]]
            one.see(part)
            for faults, count in _named(chunk.tables.faults.values, kinds[part.rows]):
                for fault in dict.fromkeys(faults):
                    one.faults[fault] += count
    found = [
        ProducerCount(
            producer=name,
            count=one.count,
            by_fault=tuple(
                (code, field, count)
                for (code, field), count in sorted(one.faults.items(), key=lambda pair: (-pair[1], pair[0][0]))
            ),
            first_at=time_text(one.first_ms),
            last_at=time_text(one.last_ms),
            example=one.example,
        )
        for name, one in sums.items()
        if one.example is not None
    ]
    return sorted(found, key=lambda one: (-one.count, one.producer))


def count_over_time(
    chunks: Iterable[Chunk], since_ms: int, until_ms: int, buckets: int
) -> list[tuple[int, dict[str, int]]]:
    """For each of so many equal spans of time its begin (ms since 1970) and its letters by their first code."""
    width = max(1, -(-(until_ms - since_ms) // buckets))
    counts: defaultdict[str, NDArray[np.int64]] = defaultdict(lambda: np.zeros(buckets, dtype=np.int64))
    for chunk in chunks:
        at = (chunk.rows["failed_ms"] - since_ms) // width
        inside = (at >= 0) & (at < buckets)
        kinds = len(chunk.tables.faults)
        cells = np.bincount(
            chunk.rows["faults"][inside] * np.int64(buckets) + at[inside], minlength=kinds * buckets
        ).reshape(kinds, buckets)
        for faults, many in zip(chunk.tables.faults.values, cells, strict=True):
            counts[faults[0][0]] += many
    return [
        (since_ms + bucket * width, {code: int(many[bucket]) for code, many in counts.items() if many[bucket]})
        for bucket in range(buckets)
    ]


def count_states(chunks: Iterable[Chunk]) -> dict[State, int]:
    """How many letters are in which state."""
    counts = np.zeros(len(STATES), dtype=np.int64)
    for chunk in chunks:
        counts += np.bincount(chunk.states, minlength=len(STATES))
    return {state: int(count) for state, count in zip(STATES, counts, strict=True)}


def _parts(chunk: Chunk, column: str) -> Iterable[_Part]:
    """The chunk's letters, apart by the numbers in a column."""
    if not len(chunk.rows):
        return
    numbers = np.ascontiguousarray(chunk.rows[column])
    failed_ms = np.ascontiguousarray(chunk.rows["failed_ms"])
    # numbers of two bytes are sorted in linear time, and nearly always there are no more
    narrow = numbers.astype(np.uint16) if int(numbers.max()) < 1 << 16 else numbers
    order = np.argsort(narrow, kind="stable")
    ends = np.flatnonzero(np.diff(narrow[order])) + 1
    for rows in np.split(order, ends):
        yield _Part(chunk, int(numbers[rows[0]]), rows, failed_ms)


def _named(names: list[T], numbers: NDArray[np.int32]) -> list[tuple[T, int]]:
    counts = np.bincount(numbers, minlength=len(names))
    return [(names[number], int(counts[number])) for number in np.flatnonzero(counts)]


def _largest(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:PRODUCERS_NAMED]
