"""Dead letters read back: what their record was, why it could not go on, and where it was read.

Invariant: of our headers only the run behind the last `scorer.errors` is ours; what a producer wrote under the same
names stands before it and is believed by nobody.
"""

import re
from collections.abc import Sequence
from typing import Final, Self

import msgspec

from stream_scorer.core.contract.quarantined_batch import BatchSummary
from stream_scorer.core.contract.reasons import Reason, Stage, cut
from stream_scorer.core.contract.strict_json import parse
from stream_scorer.core.records.dead_letter_headers import (
    ERRORS,
    REPLAYS,
    NotALetterError,
    bounded_count,
    decode_headers,
    own_headers_start,
)
from stream_scorer.core.records.decode import Offset, PartitionNumber, decode_or_none
from stream_scorer.core.records.record import ConsumedRecord, Headers, Truncation, last_header
from stream_scorer.core.records.timestamps import milliseconds

# Where a replayed record was first read, JSON {"partition", "offset"}; its topic is the same
REPLAYED_FROM: Final = "scorer.replayed-from"
# Who sent a record, by the headers that clients and CloudEvents set; the first that is there counts
PRODUCER_HEADERS: Final = ("client-id", "ce_source")
PRODUCER_CHARACTERS_MAX: Final = 200
# The end of the year 9999
TIMESTAMP_MS_MAX: Final = 253_402_300_799_999

_PLACE: Final = re.compile(r"(\d{1,6})@(\d{1,18})")


class Position(msgspec.Struct, frozen=True, order=True):
    """Where a letter lies in the topic of dead letters; `2@1234` for people."""

    partition: PartitionNumber
    offset: Offset

    def __str__(self) -> str:
        return f"{self.partition}@{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The place that a person named; None where that is none."""
        found = _PLACE.fullmatch(text.strip())
        return cls(int(found[1]), int(found[2])) if found else None


class SourcePosition(msgspec.Struct, frozen=True, order=True):
    """Where a letter's record was read. An input leaves at most one letter, so an origin names a letter too."""

    topic: str
    partition: PartitionNumber
    offset: Offset

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}@{self.offset}"


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """One dead letter. Value, key, `headers` and `timestamp_ms` are the record's own; `claimed_replays` is what its
    header says, and only the ledger knows whether that is true."""

    place: Position
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp_ms: int
    reasons: tuple[Reason, ...]
    stage: Stage
    origin: SourcePosition
    failed_ms: int
    version: str
    claimed_replays: int
    truncation: Truncation | None
    batch: BatchSummary | None = None
    producer: str | None

    @property
    def id(self) -> bytes | None:
        """The id that the record carries or, where it carries none, its key."""
        return id_of(self.value, self.key)

    @property
    def why_incomplete(self) -> str | None:
        """What it lacks to be sent again as it was; None where it holds its whole record."""
        if self.batch is not None:
            return (
                f"it stands for a whole batch that was not decompressed, of {self.batch.records:,} records at offsets "
                f"{self.batch.first_offset} to {self.batch.last_offset}, and holds its first bytes: ask their producer"
            )
        if self.truncation is not None:
            return "only its first bytes were kept: ask its producer to send it again"
        return None


class UnreadableDeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A record among the dead letters that says of itself nothing that we could read: somebody else wrote it."""

    place: Position
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp_ms: int
    why: str


class _Identified(msgspec.Struct, gc=False):
    id: str | int


_decode_id: Final = msgspec.json.Decoder(_Identified).decode
_encode: Final = msgspec.json.Encoder().encode


def read_letter(partition: int, record: ConsumedRecord) -> DeadLetter | UnreadableDeadLetter:
    """The dead letter that a record of that partition is; on any record, and never raises."""
    place = Position(partition, record.offset)
    start = own_headers_start(record.headers)
    try:
        if start is None:
            raise NotALetterError(f"it has no header {ERRORS}")
        said = decode_headers(record.headers[start:])
    except NotALetterError as error:
        return UnreadableDeadLetter(
            place=place,
            key=record.key,
            value=record.value,
            headers=tuple((name, value or b"") for name, value in record.headers),
            timestamp_ms=record.timestamp,
            why=f"not written by stream-scorer: {error}",
        )
    own = tuple((name, value or b"") for name, value in record.headers[:start])
    return DeadLetter(
        place=place,
        key=record.key,
        value=record.value,
        headers=own,
        # where it is none that text can say, the nearest that is
        timestamp_ms=min(max(said.source.timestamp, -1), TIMESTAMP_MS_MAX),
        reasons=said.reasons,
        stage=said.stage,
        origin=SourcePosition(said.source.topic, said.source.partition, said.source.offset),
        failed_ms=said.failed_ms,
        version=said.version,
        claimed_replays=said.replays,
        truncation=said.truncation,
        batch=said.batch,
        producer=producer_of(own),
    )


def id_of(value: bytes | None, key: bytes | None) -> bytes | None:
    """The id that an event's bytes carry, valid or not; else the record's key."""
    identified = decode_or_none(_decode_id, value)
    if identified is not None:
        return str(identified.id).encode()
    if value is not None and b"\\" not in value and b'"id"' not in value:
        return key
    event = parse(value)
    found = event.get("id") if isinstance(event, dict) else None
    return str(found).encode(errors="replace") if type(found) in (str, int) else key


def producer_of(headers: Sequence[tuple[str, bytes]]) -> str | None:
    """Who says to have sent the record; the text is the sender's own."""
    if not headers:
        return None
    for name in PRODUCER_HEADERS:
        if found := last_header(headers, name):
            return cut(found.decode(errors="replace"), PRODUCER_CHARACTERS_MAX)
    return None


def milliseconds_or_zero(time: bytes) -> int:
    """An RFC 3339 time in milliseconds since 1970; 0 where it is none."""
    return decode_or_none(lambda text: milliseconds(text.decode()), time) or 0


# Replays


def replay_headers(letter: DeadLetter, replays: int) -> Headers:
    """The headers of a letter's record when it is replayed for the `replays`th time: its own, and ours behind them."""
    own = [(name, value) for name, value in letter.headers if not name.startswith("scorer.")]
    origin = {"partition": letter.origin.partition, "offset": letter.origin.offset}
    return [*own, (REPLAYED_FROM, _encode(origin)), (REPLAYS, b"%d" % replays)]


def claimed_replays(headers: Sequence[tuple[str, bytes]]) -> int:
    """How often a record was replayed, as its headers say; handed on to its dead letter.

    A producer can write these headers too. That is harmless: what is parked and what is not is decided by the ledger,
    which only operators write; a count without its ledger entry is shown and not acted on."""
    if not headers or last_header(headers, REPLAYED_FROM) is None:
        return 0
    return bounded_count(last_header(headers, REPLAYS))
