"""Letters found by a filter, and read from their topic.

Invariant: what was found may be gone when it is read: retention asks nobody.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
from aiokafka import TopicPartition
from numpy.typing import NDArray

from stream_scorer.core.records.dead_letter_reader import (
    DeadLetter,
    Position,
    SourcePosition,
    UnreadableDeadLetter,
    read_letter,
)
from stream_scorer.operations.dead_letters.context import Context
from stream_scorer.operations.dead_letters.index.dictionaries import NOBODY
from stream_scorer.operations.dead_letters.index.index import Chunk
from stream_scorer.operations.dead_letters.index.rows import STAGES, Rows, place_number, time_text
from stream_scorer.operations.dead_letters.query.filters import STATES, Filter, State
from stream_scorer.operations.reading.topic_reader import OnRead, Span

# Between two letters that are wanted, so many that are not are read rather than jumped over: about a fetch
GAP_MAX: Final = 3_000

# By partition, ascending
Offsets = Mapping[int, NDArray[np.int64]]


class DeadLetterRow(msgspec.Struct, frozen=True, kw_only=True):
    """One letter as a list shows it: nothing of what it says of a person."""

    place: Position
    failed_at: str
    stage: str
    faults: tuple[tuple[str, str | None], ...]
    origin: SourcePosition | None
    producer: str
    state: State
    replays: int
    truncated: bool


async def matching_chunks(access: Context, filter_: Filter, on_read: OnRead | None = None) -> AsyncIterator[Chunk]:
    """The letters that a filter means, chunk by chunk. Where rows don't tell enough, those in question are read."""
    if not filter_.looks_into_letters:
        for chunk in _among(access, filter_):
            yield chunk
        return
    offsets = _gathered(_among(access, filter_))
    fitting: dict[int, list[int]] = {}
    async for partition, letters in read_letters(access, offsets, on_read):
        fitting.setdefault(partition, []).extend(await asyncio.to_thread(_fitting, filter_, letters))
    for chunk in _among(access, filter_):
        yield chunk.where(np.isin(chunk.rows["offset"], fitting.get(chunk.partition, [])))


def _fitting(filter_: Filter, letters: Sequence[DeadLetter | UnreadableDeadLetter]) -> list[int]:
    """The offsets of the dead letters that match. Run it in a thread: an id in a record may take long to find."""
    return [letter.place.offset for letter in letters if filter_.fits(letter)]


def _among(access: Context, filter_: Filter) -> Iterator[Chunk]:
    for chunk in access.index.chunks(access.cap, filter_.partitions()):
        yield chunk.where(filter_.among(chunk))


async def matching_offsets(access: Context, filter_: Filter, on_read: OnRead | None = None) -> Offsets:
    """Where the letters lie that a filter means."""
    return _gathered([chunk async for chunk in matching_chunks(access, filter_, on_read)])


def _gathered(chunks: "Iterator[Chunk] | list[Chunk]") -> Offsets:
    found: dict[int, list[NDArray[np.int64]]] = {}
    for chunk in chunks:
        if len(chunk.rows):
            found.setdefault(chunk.partition, []).append(np.array(chunk.rows["offset"]))
    return {partition: np.concatenate(offsets) for partition, offsets in found.items()}


async def newest(
    access: Context, filter_: Filter, limit: int, before: Position | None = None, on_read: OnRead | None = None
) -> list[DeadLetterRow]:
    """The letters that failed last, the newest first; with `before`, those that come behind that one in this order."""
    best: list[tuple[int, int, int, DeadLetterRow]] = []
    bound: tuple[int, int, int] | None = None
    if before is not None:
        bound = next(
            (
                (int(chunk.rows["failed_ms"][row]), before.partition, before.offset)
                for chunk in access.index.chunks(access.cap, [before.partition])
                for row in np.flatnonzero(chunk.rows["offset"] == before.offset)
            ),
            (0, 0, 0),
        )
    async for found in matching_chunks(access, filter_, on_read):
        chunk = found if bound is None else found.where(_is_before(found.partition, found.rows, bound))
        rows = chunk.rows
        last = np.lexsort((rows["offset"], rows["failed_ms"]))[::-1][:limit]
        for row in last:
            key = int(rows["failed_ms"][row]), chunk.partition, int(rows["offset"][row])
            best.append((*key, listed(access, chunk, int(row))))
        best = sorted(best, key=lambda one: one[:3], reverse=True)[:limit]
    return [one[3] for one in best]


def _is_before(partition: int, rows: Rows, bound: tuple[int, int, int]) -> NDArray[np.bool_]:
    failed_ms, bound_partition, bound_offset = bound
    earlier: NDArray[np.bool_] = rows["failed_ms"] < failed_ms
    if partition < bound_partition:
        earlier |= rows["failed_ms"] == failed_ms
    elif partition == bound_partition:
        earlier |= (rows["failed_ms"] == failed_ms) & (rows["offset"] < bound_offset)
    return earlier


def listed(access: Context, chunk: Chunk, row: int) -> DeadLetterRow:
    """One of a chunk's letters, for people."""
    one = chunk.rows[row]
    origin, stage = int(one["origin"]), int(one["stage"])
    producer = chunk.tables.producers.values[int(one["producer"])]
    topics = {side: topic for topic, side in access.index.sides.items()}
    is_ours = origin != place_number(access.index.sides[access.names.dead_letters], chunk.partition, int(one["offset"]))
    return DeadLetterRow(
        place=Position(chunk.partition, int(one["offset"])),
        failed_at=time_text(int(one["failed_ms"])),
        stage=STAGES[stage].value if stage >= 0 else "",
        faults=tuple(chunk.tables.faults.values[int(one["faults"])]),
        origin=SourcePosition(topics[origin >> 60], origin >> 44 & 0xFFFF, origin & (1 << 44) - 1) if is_ours else None,
        producer=producer if producer != NOBODY else "",
        state=STATES[int(chunk.states[row])],
        replays=int(chunk.replays[row]),
        truncated=bool(one["truncated"]),
    )


async def read_letters(
    access: Context, offsets: Offsets, on_read: OnRead | None = None
) -> AsyncIterator[tuple[int, list[DeadLetter | UnreadableDeadLetter]]]:
    """The letters at these places, those of a partition in their order. Those that retention has deleted are left
    out."""
    topic = access.names.dead_letters
    spans = {partition: _spans(wanted) for partition, wanted in offsets.items() if len(wanted)}
    total = sum(span.end - span.begin for each in spans.values() for span in each)
    before = access.reader.records_read
    for round_ in range(max(map(len, spans.values()), default=0)):
        together = {TopicPartition(topic, key): each[round_] for key, each in spans.items() if round_ < len(each)}
        async for partition, records in access.reader.read(together, whole_batches=True):
            there = np.isin([record.offset for record in records], offsets[partition.partition])
            letters = [read_letter(partition.partition, records[row]) for row in np.flatnonzero(there)]
            if letters:
                yield partition.partition, letters
            if on_read is not None:
                on_read(access.reader.records_read - before, total)


def _spans(offsets: NDArray[np.int64]) -> list[Span]:
    gaps = np.flatnonzero(np.diff(offsets) > GAP_MAX) + 1
    return [Span(int(part[0]), int(part[-1]) + 1) for part in np.split(offsets, gaps)]


async def one_letter(access: Context, place: Position) -> DeadLetter | UnreadableDeadLetter | None:
    """The letter at a place; None where there is none, or none any more."""
    async for _, letters in read_letters(access, {place.partition: np.array([place.offset], dtype=np.int64)}):
        return letters[0]
    return None
