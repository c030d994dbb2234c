"""The headers that make a record a dead letter: what stands in them, how they are written and how they are read.

Invariant: one table says both, so what is written is read back the same, whatever headers the record has of its own.
Ours are one run behind the record's own, and of several with one name the last one counts: a producer may use the same
names, and readers ignore those.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from stream_scorer.core.contract.quarantined_batch import BatchSummary
from stream_scorer.core.contract.reasons import Reason, Stage
from stream_scorer.core.records.decode import UNREADABLE, Offset, PartitionNumber, TimestampMs, decode_or_none
from stream_scorer.core.records.record import Headers, Truncation, last_header
from stream_scorer.core.records.timestamps import milliseconds, rfc3339

ERRORS: Final = "scorer.errors"
STAGE: Final = "scorer.stage"
SOURCE: Final = "scorer.source"
FAILED_AT: Final = "scorer.failed-at"
VERSION: Final = "scorer.version"
REPLAYS: Final = "scorer.replays"
TRUNCATED: Final = "scorer.truncated"
BATCH: Final = "scorer.batch"

REPLAYS_MAX: Final = 1_000_000
# Kafka's own tools print these: short enough for one line of a terminal
STREAMS_MESSAGE_CHARACTERS_MAX: Final = 500

_encode: Final = msgspec.json.Encoder().encode


class LetterSource(msgspec.Struct, frozen=True):
    """Where the record of a dead letter was read; `timestamp` in milliseconds since 1970."""

    topic: str
    partition: PartitionNumber
    offset: Offset
    timestamp: TimestampMs


class LetterHeaders(msgspec.Struct, frozen=True, kw_only=True):
    """What a dead letter says of itself. `truncation`: what was cut from its record, None where nothing was; `batch`:
    of which batch it is the beginning, where it stands for all records of one."""

    reasons: tuple[Reason, ...]
    stage: Stage
    source: LetterSource
    failed_ms: int
    version: str
    replays: int = 0
    truncation: Truncation | None = None
    batch: BatchSummary | None = None


class NotALetterError(ValueError):
    """The headers are not those of a dead letter. Says why, in words that quote nothing."""


class _Header(NamedTuple):
    """One header: the field that it holds, how it is written and how it is read. One that is `optional` is written
    only where there is something to say, or to outdo: where the record has one of that name."""

    name: str
    field: str
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]
    optional: bool = False


def bounded_count(text: bytes | None) -> int:
    """A decimal number of a header; 0 where it is none."""
    return min(int(text), REPLAYS_MAX) if text is not None and text.isdigit() and len(text) <= 9 else 0


def _reasons(header: bytes) -> tuple[Reason, ...]:
    reasons = _decode_reasons(header)
    if not reasons:
        raise NotALetterError("its headers give no reason")
    for reason in reasons:
        _encode(reason.details)  # printing encodes them too; details that can't be encoded are not ours
    return reasons


_decode_reasons: Final = msgspec.json.Decoder(tuple[Reason, ...]).decode

_decode_batch: Final = msgspec.json.Decoder(BatchSummary | None).decode

# In the order in which they are written; readers of millions of letters take the first four by their places
HEADERS: Final = (
    _Header(ERRORS, "reasons", lambda encoded: encoded, _reasons),
    _Header(STAGE, "stage", lambda stage: stage.value.encode(), lambda text: Stage(text.decode())),
    _Header(SOURCE, "source", _encode, msgspec.json.Decoder(LetterSource).decode),
    _Header(
        FAILED_AT,
        "failed_ms",
        lambda time_ms: rfc3339(time_ms).encode(),
        lambda text: decode_or_none(lambda time: milliseconds(time.decode()), text) or 0,
    ),
    _Header(VERSION, "version", str.encode, lambda text: text.decode(errors="replace")),
    _Header(REPLAYS, "replays", lambda replays: b"%d" % replays, bounded_count),
)
OPTIONAL_HEADERS: Final = (
    _Header(TRUNCATED, "truncation", _encode, msgspec.json.Decoder(Truncation | None).decode, optional=True),
    _Header(BATCH, "batch", _encode, _decode_batch, optional=True),
)


def encode_headers(said: LetterHeaders, errors: bytes, own: Sequence[tuple[str, bytes | None]]) -> Headers:
    """The run of headers that goes behind the record's `own`. `errors`: its reasons, encoded and short enough."""
    names = {name for name, _ in own}
    written = [(one.name, one.encode(errors if one.name == ERRORS else getattr(said, one.field))) for one in HEADERS]
    # under these names Kafka's own tools look
    source, first = said.source, said.reasons[0]
    written += [
        ("__streams.errors.topic", source.topic.encode()),
        ("__streams.errors.partition", str(source.partition).encode()),
        ("__streams.errors.offset", str(source.offset).encode()),
        ("__streams.errors.message", first.message[:STREAMS_MESSAGE_CHARACTERS_MAX].encode(errors="replace")),
        ("__streams.errors.exception", f"stream_scorer.{first.code.value}".encode()),
    ]
    for one in OPTIONAL_HEADERS:
        value = getattr(said, one.field)
        if value is not None or one.name in names:
            written.append((one.name, one.encode(value)))
    return written


def decode_headers(run: Sequence[tuple[str, bytes | None]]) -> LetterHeaders:
    """What a run of ours says; of several headers with one name the last one. Raises NotALetterError where it is none
    that we could have written."""
    ours = {name: value or b"" for name, value in run}
    try:
        required = {one.field: one.decode(ours.get(one.name, b"")) for one in HEADERS}
        optional = {one.field: one.decode(ours[one.name]) for one in OPTIONAL_HEADERS if one.name in ours}
    except NotALetterError:
        raise
    except UNREADABLE as error:
        # a decoder's own words may quote what a stranger wrote there
        raise NotALetterError("its headers are not as we write them") from error
    return LetterHeaders(**required, **optional)


def own_headers_start(headers: Sequence[tuple[str, bytes | None]]) -> int | None:
    """Where the run of our headers begins, which a dead letter's writer appended in one piece."""
    for index in range(len(headers) - 1, -1, -1):
        if headers[index][0] == ERRORS:
            return index
    return None


def batch_offsets(headers: Sequence[tuple[str, bytes]]) -> int:
    """Of how many offsets a dead letter speaks, the last of which is its source's; 0 where it is of one record."""
    batch = decode_or_none(_decode_batch, last_header(headers, BATCH) or b"null")
    return 0 if batch is None else max(batch.last_offset - batch.first_offset + 1, 0)


def is_whole(headers: Sequence[tuple[str, bytes]]) -> bool:
    """Whether a dead letter keeps its record's whole value, as its headers say."""
    return all(last_header(headers, name) in (None, b"null") for name in (TRUNCATED, BATCH))
