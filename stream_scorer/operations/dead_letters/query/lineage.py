"""A letter's life: the record that it was made of, what operators did, and what came of each replay.

Invariant: links are derived from the topics: a replay's entry says where its record was published, and whatever names
that place as its source came of it.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from aiokafka import TopicPartition

from stream_scorer.core.dead_letters.redaction import masked_reason
from stream_scorer.core.records.audit_log import Action, AuditEntry
from stream_scorer.core.records.dead_letter_reader import DeadLetter, Position, SourcePosition, UnreadableDeadLetter
from stream_scorer.core.records.decode import Name, TimeText, decode_or_none
from stream_scorer.core.records.record import Source, rfc3339
from stream_scorer.operations.dead_letters.context import Context
from stream_scorer.operations.dead_letters.index.rows import ACT, entry_of, place_number
from stream_scorer.operations.dead_letters.query.search import one_letter
from stream_scorer.operations.reading.topic_reader import Reader, Record, Span

# A chain is as long as a record was replayed; a forged ledger could make it a circle
LINKS_MAX: Final = 1_000
# A search for an offset ends with reading this many records
SCANNED_MAX: Final = 500


class LineageEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened: when, what (`failed`, `replay`, `discard`, `reveal`, `predicted`, `joined`, …), who did
    it, and the record that says so."""

    at: str
    what: str
    where: str
    who: str = ""
    details: dict[str, Any] = {}


class History(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to a letter's record from the first failure on, in order."""

    place: Position
    events: list[LineageEvent]


class _Sourced(msgspec.Struct):
    source: Source
    prediction: bool | None = None
    proba: float | None = None
    model: Name = ""
    scored_at: TimeText = ""
    status: Name = ""


_decode: Final = msgspec.json.Decoder(_Sourced).decode


class _Link(NamedTuple):
    place: Position | None
    origin: SourcePosition


async def history(access: Context, letter: DeadLetter | UnreadableDeadLetter) -> History:
    """The full history of a dead letter, of those that it came from and of those that came from it."""
    events: list[LineageEvent] = []
    link: _Link | None = _first(access, letter)
    for _ in range(LINKS_MAX):
        if link is None:
            break
        failed = letter if link.place == letter.place else await _letter(access, link.place)
        if failed is not None:
            events.append(_failed(failed))
        replayed: AuditEntry | None = None
        for where, entry in await _entries(access, link.origin):
            events.append(_done(where, entry))
            if entry.act is Action.REPLAY and entry.became is not None:
                replayed = entry
        if replayed is None or replayed.became is None:
            break
        came = _letter_of(access, replayed.became)
        if came is None:
            events.append(await _what_came(access, replayed.became, failed))
            break
        link = _Link(came, replayed.became)
    return History(place=letter.place, events=events)


# Of an event's details, these depend on nothing that is masked
_HARMLESS_DETAILS: Final = frozenset({"stage", "faults", "read at", "replays", "became", "source", "model"})


def masked_history(found: History) -> History:
    """The same for viewers: without operators' notes, fixes and predictions."""
    events = [
        msgspec.structs.replace(
            event, details={name: said for name, said in event.details.items() if name in _HARMLESS_DETAILS}
        )
        for event in found.events
    ]
    return History(place=found.place, events=events)


def _first(access: Context, letter: DeadLetter | UnreadableDeadLetter) -> _Link:
    """The letter of the record's first failure, back along the replays that led to this one."""
    link = _Link(letter.place, access.origin_of(letter))
    acts, sides = access.index.acts, access.index.sides
    topics = {side: topic for topic, side in sides.items()}
    for _ in range(LINKS_MAX):
        number = place_number(sides[link.origin.topic], link.origin.partition, link.origin.offset)
        row = int(acts.arrivals(np.array([number]))[0])
        if row < 0:
            break
        act = acts.rows[row]
        origin = int(act["origin"])
        place = Position(int(act["letter_partition"]), int(act["letter_offset"]))
        link = _Link(place, SourcePosition(topics[origin >> 60], origin >> 44 & 0xFFFF, origin & (1 << 44) - 1))
    return link


async def _letter(access: Context, place: Position | None) -> DeadLetter | UnreadableDeadLetter | None:
    return None if place is None else await one_letter(access, place)


def _letter_of(access: Context, origin: SourcePosition) -> Position | None:
    number = place_number(access.index.sides[origin.topic], origin.partition, origin.offset)
    found = next(access.index.letters_of([number]), None)
    return None if found is None else Position(*found)


async def _entries(access: Context, origin: SourcePosition) -> list[tuple[str, AuditEntry]]:
    """All acts on one letter, in their order."""
    number = place_number(access.index.sides[origin.topic], origin.partition, origin.offset)
    rows = access.index.acts.rows
    found = []
    for offset in rows["offset"][rows["origin"] == number] if len(rows) else np.empty(0, dtype=ACT)["offset"]:
        partition = TopicPartition(access.names.ledger, 0)
        record = await _at(access.reader, partition, int(offset), int(offset) + 1)
        entry = entry_of(record, access.index.sides) if record is not None else None
        if entry is not None:
            found.append((f"{access.names.ledger}-0@{offset}", entry))
    return found


def _failed(letter: DeadLetter | UnreadableDeadLetter) -> LineageEvent:
    if isinstance(letter, UnreadableDeadLetter):
        return LineageEvent(at=rfc3339(max(letter.timestamp_ms, 0)), what="unreadable", where=str(letter.place))
    shown = [masked_reason(reason) for reason in letter.reasons]
    faults = [f"{reason.code} ({reason.field})" if reason.field else reason.code.value for reason in shown]
    return LineageEvent(
        at=rfc3339(letter.failed_ms),
        what="failed",
        where=f"dead letter {letter.place}",
        details={"stage": letter.stage.value, "reasons": faults, "source": str(letter.origin)},
    )


def _done(where: str, entry: AuditEntry) -> LineageEvent:
    details: dict[str, Any] = {}
    if entry.why:
        details["why"] = entry.why
    if entry.fix:
        details["fix"] = entry.fix
    if entry.act is Action.REPLAY:
        details |= {"replays": entry.replays, "became": str(entry.became) if entry.became else ""}
    return LineageEvent(at=entry.at, what=entry.act.value, where=where, who=entry.who, details=details)


# What came of a replay that left no letter


async def _what_came(
    access: Context, became: SourcePosition, letter: DeadLetter | UnreadableDeadLetter | None
) -> LineageEvent:
    if became.topic == access.names.observations:
        predictions = TopicPartition(access.names.predictions, became.partition)
        found = await find_sourced(access.reader, predictions, became.offset)
        if found is not None:
            offset, said = found
            details = {"prediction": said.prediction, "proba": said.proba, "model": said.model, "source": str(became)}
            return LineageEvent(at=said.scored_at, what="predicted", where=_name(predictions, offset), details=details)
    elif (update := await _update(access, became, letter)) is not None:
        return update
    spans = [TopicPartition(became.topic, became.partition)]
    committed = (await access.reader.committed(access.settings.group_name, spans)).get(spans[0], 0)
    if committed <= became.offset:
        return LineageEvent(at="", what="waiting", where=str(became), details={"why": "no worker has read it yet"})
    kind = "redelivered" if became.topic == access.names.observations else "repeated"
    why = "the same observation was scored before: nothing was published, or retention has deleted it"
    return LineageEvent(at="", what=kind, where=str(became), details={"why": why})


async def _update(
    access: Context, became: SourcePosition, letter: DeadLetter | UnreadableDeadLetter | None
) -> LineageEvent | None:
    """What an outcome that was replayed led to: the last update that names it."""
    partition = TopicPartition(access.names.outcome_updates, became.partition)
    spans = await access.reader.spans([access.names.outcome_updates], stable=True)
    span = spans[partition]
    found: LineageEvent | None = None
    async for _, records in access.reader.read({partition: span}, whole_batches=True):
        for offset, said in _sourced(records, became.offset):
            where = _name(partition, offset)
            found = LineageEvent(at=said.scored_at, what=said.status, where=where, details={"source": str(became)})
    return found


def _sourced(records: list[Record], source_offset: int) -> Iterator[tuple[int, _Sourced]]:
    wanted = b'"offset":%d}' % source_offset
    for record in records:
        if record.value is not None and wanted in record.value:
            said = decode_or_none(_decode, record.value)
            if said is not None and said.source.offset == source_offset:
                yield record.offset, said


async def find_sourced(reader: Reader, partition: TopicPartition, source_offset: int) -> tuple[int, _Sourced] | None:
    """The prediction that was made of the record at an offset of the same partition. Predictions stand in the order of
    their sources, so a few looks find it however long the topic is."""
    spans = await reader.spans([partition.topic], stable=True)
    low, high = spans[partition]
    while high - low > SCANNED_MAX:
        middle = (low + high) // 2
        record = await _at(reader, partition, middle, high)
        said = None if record is None else _said(record)
        if record is None or said is None:
            break
        if said.source.offset <= source_offset:
            low = middle
        else:
            high = middle
    async for _, records in reader.read({partition: Span(low, high)}, whole_batches=True):
        for found in _sourced(records, source_offset):
            return found
    return None


def _said(record: Record) -> _Sourced | None:
    return decode_or_none(_decode, record.value)


async def _at(reader: Reader, partition: TopicPartition, begin: int, end: int) -> Record | None:
    """The first record from `begin` on, before `end`."""
    async for _, records in reader.read({partition: Span(begin, min(end, begin + SCANNED_MAX))}, whole_batches=True):
        return records[0]
    return None


def _name(partition: TopicPartition, offset: int) -> str:
    return f"{partition.topic}-{partition.partition}@{offset}"
