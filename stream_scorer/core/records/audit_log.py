"""The ledger: what operators did with dead letters and with the group's offsets, one record an act, kept for ever.

Invariant: an entry says who, when, why, what and what came of it, and nothing of what a record says of a person.
"""

from enum import StrEnum
from typing import Final, Literal

import msgspec

from stream_scorer.core.records.dead_letter_reader import Position, SourcePosition
from stream_scorer.core.records.decode import Count, TimeText, decode_or_none
from stream_scorer.core.records.timestamps import milliseconds


class Action(StrEnum):
    """What can be done with a letter. `reveal`: somebody looked at what it says of a person."""

    REPLAY = "replay"
    DISCARD = "discard"
    REVEAL = "reveal"


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One act. `replays`: how often the record has been replayed with this one; `became`: where it was published again;
    `fix`: how it was mended, without the values."""

    act: Action
    who: str
    at: TimeText
    origin: SourcePosition
    letter: Position
    why: str = ""
    replays: Count = 0
    became: SourcePosition | None = None
    fix: str = ""

    @property
    def key(self) -> bytes:
        """The key of its record: all acts on one letter share it."""
        return str(self.origin).encode()


class OffsetsEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An operator said from where a group reads an input partition on. `was`: from where before, None for nowhere."""

    act: Literal["set_offset"]
    who: str
    at: str
    why: str
    group: str
    topic: str
    partition: int
    was: int | None
    offset: int

    @property
    def key(self) -> bytes:
        """The key of its record: the input partition."""
        return f"{self.topic}-{self.partition}".encode()


encode_entry: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(AuditEntry).decode


def decode_entry(value: bytes | None) -> AuditEntry | None:
    """The act that a record of the ledger tells of; None where it tells of none, or of a time that is none."""
    return decode_or_none(_decode_timed, value)


def _decode_timed(value: bytes) -> AuditEntry:
    entry: AuditEntry = _decode(value)
    milliseconds(entry.at)
    return entry
