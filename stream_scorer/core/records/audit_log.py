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
    """What can be done with a letter. `reveal`: somebody looked at what it says of a person; `check`: somebody asked
    what depends on it (what a fix would make of it, whether a text stands in it)."""

    REPLAY = "replay"
    DISCARD = "discard"
    REVEAL = "reveal"
    CHECK = "check"


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One act. `replays`: how often the record has been replayed with this one; `became`: where it was published again;
    `fix`: how it was mended, without the values; `letters`: how many letters a question was about, where it was about
    a set; `filter`: which set, without what its text and id were. Such an entry names no letter: see `NO_LETTER`."""

    act: Action
    who: str
    at: TimeText
    origin: SourcePosition
    letter: Position
    why: str = ""
    replays: Count = 0
    became: SourcePosition | None = None
    fix: str = ""
    letters: Count = 1
    filter: str = ""

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


# An offset that no letter ever has: where a question about a set of letters is noted
NO_LETTER: Final = Position(0, (1 << 44) - 1)
encode_entry: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(AuditEntry).decode


def decode_entry(value: bytes | None) -> AuditEntry | None:
    """The act that a record of the ledger tells of; None where it tells of none, or of a time that is none."""
    return decode_or_none(_decode_timed, value)


def _decode_timed(value: bytes) -> AuditEntry:
    entry: AuditEntry = _decode(value)
    milliseconds(entry.at)
    return entry
