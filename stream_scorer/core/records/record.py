"""What the worker publishes, as records: predictions, moved records; ready to be appended to a Kafka record batch.

Invariant: a record is a plain tuple, because tens of thousands are made each second.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, Protocol

import msgspec

from stream_scorer.core.records.decode import Offset, PartitionNumber, Size, TimestampMs
from stream_scorer.core.records.timestamps import rfc3339 as rfc3339

# Lists, because the client's record batches take nothing else
Headers = list[tuple[str, bytes]]
NO_HEADERS: Final[Headers] = []

# Handed on from a record to everything that comes of it, untouched.
TRACE_BYTES_MAX: Final = 512
TRACE_HEADERS: Final = ("traceparent", "tracestate")

MOVED_FROM: Final = "scorer.moved-from"


class ProducerRecord(NamedTuple):
    """One record to publish; its topic and partition belong to the list that it stands in. Where thousands are made at
    once they are made as plain tuples of the same four."""

    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    headers: Headers = NO_HEADERS


# What a publisher takes: an `ProducerRecord`, or a plain tuple like it
Publishable = tuple[bytes | None, bytes | None, int, Headers]


class ConsumedRecord(Protocol):
    """One record as it was read; named as the Kafka client's decoder names its own, so that none has to be copied.
    `timestamp` in milliseconds since 1970, -1 for none. Topic and partition belong to the list that it stands in."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class Source(msgspec.Struct, frozen=True):
    """Where a record came from."""

    partition: PartitionNumber
    offset: Offset


def trace_headers(headers: Sequence[tuple[str, bytes | None]]) -> Headers:
    """Of a record's headers, those that every output carries on: the last of each name, if it is of a size that the
    standard allows. Anything longer could make an output too large to be published, and block its partition."""
    found = {
        name: value
        for name, value in headers
        if name in TRACE_HEADERS and value is not None and len(value) <= TRACE_BYTES_MAX
    }
    return list(found.items())


def last_header(headers: Iterable[tuple[str, bytes]], name: str) -> bytes | None:
    """The value of the last header of that name: ours are appended last, so producers can't forge them."""
    found = None
    for key, value in headers:
        if key == name:
            found = value
    return found


class Truncation(msgspec.Struct, frozen=True):
    """What was cut from a record that was too large to keep: sizes in bytes before the cut, digest of the whole
    value."""

    bytes: Size
    sha256: str
    key_bytes: Size
    headers_bytes: Size


def size_bytes(record: ConsumedRecord) -> int:
    """About what a record takes in a topic: value, key and headers."""
    # each header's two lengths take up to four bytes more on the wire: a million tiny ones are as much as a few large
    # ones
    headers = sum(len(name.encode()) + len(value or b"") + 4 for name, value in record.headers)
    return len(record.value or b"") + len(record.key or b"") + headers


class BufferedRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """The record of an outcome that waits, as it was read, so that it can still become a dead letter; `timestamp` in ms
    since 1970. `truncation` says what was cut where the record was too large to be carried along."""

    timestamp: TimestampMs
    value: bytes | None = None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    truncation: Truncation | None = None
