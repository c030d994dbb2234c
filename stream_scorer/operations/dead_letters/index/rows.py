"""Dead letters and acts as rows of numbers, for the index: what they are grouped and chosen by, and no more.

Invariant: no payload, no message and no id stands in a row, only codes, fields, places, times and a checksum of the id;
so the index on disk tells nothing about a person.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from zlib import crc32

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.contract.reasons import Stage
from stream_scorer.core.records.audit_log import Action, AuditEntry, decode_entry
from stream_scorer.core.records.dead_letter_headers import ERRORS, own_headers_start
from stream_scorer.core.records.dead_letter_reader import (
    PRODUCER_HEADERS,
    DeadLetter,
    SourcePosition,
    id_of,
    milliseconds_or_zero,
    read_letter,
)
from stream_scorer.core.records.decode import UNREADABLE as UNDECODABLE
from stream_scorer.core.records.record import ConsumedRecord, rfc3339
from stream_scorer.operations.dead_letters.index.dictionaries import Dictionaries

Rows = NDArray[np.void]

LETTER: Final = np.dtype(
    [
        ("offset", np.int64),
        ("failed_ms", np.int64),
        ("origin", np.int64),  # see `place_number`; where that is no input of ours, the letter's own place
        ("faults", np.int32),  # number of its (code, field) pairs in the shelf's table
        ("producer", np.int32),  # number of its producer in the shelf's table
        ("id", np.uint32),  # checksum: who looks for an id looks into those that agree
        ("stage", np.int8),  # place in STAGES
        ("truncated", np.bool_),
    ],
    align=True,
)
ACT: Final = np.dtype(
    [
        ("offset", np.int64),  # of the entry in the ledger
        ("at_ms", np.int64),
        ("origin", np.int64),
        ("became", np.int64),
        ("letter_partition", np.int32),
        ("letter_offset", np.int64),
        ("replays", np.int32),
        ("act", np.int8),  # place in ACTS
    ],
    align=True,
)
NOWHERE: Final = -1
LETTERS_SIDE: Final = 2
STAGES: Final = tuple(Stage)
ACTS: Final = tuple(Action)
UNREADABLE: Final = "unreadable"

# What `dead_letter` appends to a record that it keeps whole: this many headers, of which these come first and last
_RUN: Final = 11
_LAST: Final = "__streams.errors.exception"


class _Origin(SourcePosition, frozen=True, gc=False):
    pass


_decode_origin: Final = msgspec.json.Decoder(_Origin).decode


def place_number(side: int, partition: int, offset: int) -> int:
    """A place as one number, which sorts as its parts do: side (0 observations, 1 outcomes, 2 dead letters), partition,
    offset."""
    return side << 60 | partition << 44 | offset


def origin_number(origin: SourcePosition, sides: Mapping[str, int]) -> int:
    """The number of an origin; NOWHERE where its topic is not one of ours."""
    side = sides.get(origin.topic)
    return NOWHERE if side is None else place_number(side, origin.partition, origin.offset)


def id_sum(id_: bytes | None) -> int:
    """The checksum by which the index finds an id; 0 for none."""
    return 0 if id_ is None else crc32(id_)


def letter_rows(
    partition: int, records: Sequence[ConsumedRecord], tables: Dictionaries, sides: Mapping[str, int]
) -> Rows:
    """One row for each record of a partition of dead letters. `sides`: the inputs by their names.

    The hot path of a first look at a million letters, 2 µs each: the headers that our own writer appended are taken by
    their places, and whatever else stands there is read the slow way.
    """
    runs = [record.headers[-_RUN:] for record in records]
    plain = [len(run) == _RUN and run[0][0] == ERRORS and run[-1][0] == _LAST for run in runs]
    if all(plain):
        try:
            return _plain_rows(partition, records, runs, tables, sides)
        except (*UNDECODABLE, TypeError):  # a header may have no value
            pass
    return np.concatenate([_one_row(partition, record, tables, sides) for record in records])


def _plain_rows(
    partition: int,
    records: Sequence[ConsumedRecord],
    runs: Sequence[Sequence[tuple[str, bytes]]],
    tables: Dictionaries,
    sides: Mapping[str, int],
) -> Rows:
    origins = [_decode_origin(run[2][1]) for run in runs]
    stages = {stage.value.encode(): number for number, stage in enumerate(STAGES)}
    number_of_faults = tables.number_of_faults
    rows = np.zeros(len(records), dtype=LETTER)
    rows["faults"] = [number_of_faults(run[0][1]) for run in runs]
    rows["stage"] = [stages.get(run[1][1], 0) for run in runs]
    # what our own writer writes, `2026-11-22T08:00:00.000Z`, numpy reads many times as fast as the standard library
    if any(len(run[3][1]) != 24 or run[3][1][23:] != b"Z" for run in runs):
        raise ValueError("a time that our writer does not write")
    rows["failed_ms"] = np.array([run[3][1][:23].decode() for run in runs], dtype="datetime64[ms]").astype(np.int64)
    rows["offset"] = [record.offset for record in records]
    read_at = np.array([origin_number(origin, sides) for origin in origins])
    rows["origin"] = np.where(read_at == NOWHERE, place_number(LETTERS_SIDE, partition, 0) + rows["offset"], read_at)
    rows["id"] = [id_sum(id_of(record.value, record.key)) for record in records]
    rows["producer"] = _producers([record.headers for record in records], tables)
    return rows


def _producers(headers: Sequence[Sequence[tuple[str, bytes]]], tables: Dictionaries) -> list[int]:
    nobody, senders, alone = tables.number_of_producer(None), tables.senders, _RUN + 1
    # nearly all records have no header of their own, or one that was seen before
    quick = [
        nobody
        if len(own) == _RUN
        else senders.get(own[0][1], NOWHERE)
        if len(own) == alone and own[0][0] == PRODUCER_HEADERS[0]
        else NOWHERE
        for own in headers
    ]
    return [
        tables.number_of_sender(own[:-_RUN]) if number == NOWHERE else number
        for number, own in zip(quick, headers, strict=True)
    ]


def _one_row(partition: int, record: ConsumedRecord, tables: Dictionaries, sides: Mapping[str, int]) -> Rows:
    row = np.zeros(1, dtype=LETTER)
    letter = read_letter(partition, record)
    row["offset"], row["id"] = record.offset, id_sum(id_of(record.value, record.key))
    row["origin"] = place_number(LETTERS_SIDE, partition, record.offset)
    if isinstance(letter, DeadLetter):
        start = own_headers_start(record.headers) or 0
        row["faults"] = tables.number_of_faults(record.headers[start][1])
        row["failed_ms"], row["stage"] = letter.failed_ms, STAGES.index(letter.stage)
        row["truncated"] = letter.why_incomplete is not None
        if (read_at := origin_number(letter.origin, sides)) != NOWHERE:
            row["origin"] = read_at
        row["producer"] = tables.number_of_producer(letter.producer)
    else:
        row["faults"] = tables.faults.number(((UNREADABLE, None),))
        row["failed_ms"], row["stage"] = max(record.timestamp, 0), -1
        row["producer"] = tables.number_of_producer(None)
    return row


def act_rows(records: Sequence[ConsumedRecord], sides: Mapping[str, int]) -> Rows:
    """One row for each act that the ledger's records tell of; other records are passed over."""
    entries = [(record.offset, entry) for record in records if (entry := entry_of(record, sides)) is not None]
    rows = np.zeros(len(entries), dtype=ACT)
    for row, (offset, entry) in enumerate(entries):
        rows[row] = _act(offset, entry, sides)
    return rows


def entry_of(record: ConsumedRecord, sides: Mapping[str, int]) -> AuditEntry | None:
    """The act on a letter of ours that a record of the ledger tells of; None where it tells of none."""
    entry = decode_entry(record.value)
    if entry is None or entry.origin.topic not in sides:
        return None
    # only inputs are published again
    return entry if entry.became is None or sides.get(entry.became.topic, LETTERS_SIDE) != LETTERS_SIDE else None


def _act(offset: int, entry: AuditEntry, sides: Mapping[str, int]) -> tuple[Any, ...]:
    return (
        offset,
        milliseconds_or_zero(entry.at.encode()),
        origin_number(entry.origin, sides),
        NOWHERE if entry.became is None else origin_number(entry.became, sides),
        entry.letter.partition,
        entry.letter.offset,
        entry.replays,
        ACTS.index(entry.act),
    )


def time_text(milliseconds_: int) -> str:
    """A time of a row for people and scripts."""
    return rfc3339(milliseconds_)
