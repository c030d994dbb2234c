"""Record batches as they are fetched, read whatever is in them: names of headers that are not UTF-8, which Kafka lets
through and the client's decoder gives up on; batches that unfold to gigabytes, or to nothing that can be read.

Invariant: no batch may block its partition, and none takes more memory than the bound. Everything else is as the client
would give it.
"""

import hashlib
import struct
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import aiokafka.consumer.fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.memory_records import MemoryRecords

from stream_scorer.core.contract import reasons
from stream_scorer.core.contract.quarantined_batch import KEPT_OF_BATCH_BYTES, BatchSummary, QuarantinedBatch
from stream_scorer.core.contract.reasons import Reason
from stream_scorer.runtime.kafka.decompression import CODECS, UndecodableError, UnfoldsTooFarError, room_of, unfold

# Of a record batch: base offset and length (of what follows), before everything else
_LOG_OVERHEAD: Final = struct.Struct(">qi")
_MAGIC_AT: Final = 16
# attributes, last offset delta, first and last timestamp; then producer id, epoch, sequence and the number of records
_HEADER: Final = struct.Struct(">hiqqqhii")
_HEADER_AT: Final = 21
_BODY_AT: Final = _HEADER_AT + _HEADER.size
_ATTRIBUTES: Final = struct.Struct(">h")
_LENGTH: Final = struct.Struct(">i")
_CODEC_MASK: Final = 0x07
NOT_COMPRESSED: Final = "none"
_LOG_APPEND_TIME: Final = 0x08
# An old message (magic 0 and 1): its attributes, then its timestamp if it is of magic 1, its key and its value
_OLD_ATTRIBUTES_AT: Final = 17
_OLD_KEY_AT: Final = {0: 18, 1: 26}
# A record of one byte takes seven in its batch and some 200 in memory. A fetch of small events brings a tenth of this.
RECORDS_MAX: Final = 250_000
# A header takes two bytes in its batch and up to some 200 in memory, so a batch within all other bounds could hold 30
# million. They are counted where a batch has room for so many.
HEADERS_MAX: Final = 1_000_000
HEADERS_SOUGHT_BYTES: Final = 1024 * 1024


class Bound:
    """How many bytes a batch may unfold to; one for the whole process, because the client makes the readers."""

    unfolded_bytes_max = 64 * 1024 * 1024


class LenientRecord(NamedTuple):
    """A record as the client's decoder would have made it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    timestamp_type: int | None = None
    checksum: int | None = None


class FetchedBatch:
    """One batch of a fetch. Iterating gives its records, or the one that stands for a batch that is quarantined."""

    def __init__(self, batch: Any, raw: memoryview) -> None:
        self._batch, self._raw = batch, raw
        self.base_offset: int = batch.base_offset
        self.next_offset: int = batch.next_offset
        self.producer_id: int | None = batch.producer_id
        self.is_control_batch: bool = batch.is_control_batch
        self.is_transactional: bool = batch.is_transactional
        self.unfolded_bytes = len(raw)
        self.quarantined: QuarantinedBatch | None = None

    def validate_crc(self) -> bool:
        """Whether the bytes are those that were sent."""
        valid: bool = self._batch.validate_crc()
        return valid

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.records())

    def records(self) -> list[Any]:
        """The batch's records; where it can't be unfolded within the bound, one with what is kept of it as its value.

        That one stands at the batch's last offset: whatever goes on behind it goes on behind the batch."""
        records = self._unfolded_records()
        if not isinstance(records, QuarantinedBatch):
            return records
        self.quarantined = records
        return [LenientRecord(self.next_offset - 1, self.timestamp_ms, None, records, [])]

    def _unfolded_records(self) -> list[Any] | QuarantinedBatch:
        raw = self._raw
        codec = _codec_of(raw)
        try:
            if codec and raw[_MAGIC_AT] >= 2:
                raw = self._unfolded(codec)
                _check_headers(raw)
                return _records(DefaultRecordBatch(raw), raw, self.base_offset)
            if codec:
                _check_old(codec, raw)
            elif raw[_MAGIC_AT] >= 2:
                _check_headers(raw)
            return _records(self._batch, raw, self.base_offset)
        except UnfoldsTooFarError:
            size, limit = len(self._raw), Bound.unfolded_bytes_max
            name = CODECS.get(codec, NOT_COMPRESSED)
            return self._quarantined(codec, reasons.batch_too_large(size, name, limit, RECORDS_MAX, HEADERS_MAX))
        except (UndecodableError, CorruptRecordException, IndexError, ValueError, OverflowError, struct.error) as error:
            said = f"{type(error).__name__}: {error}"
            name = CODECS.get(codec, NOT_COMPRESSED)
            return self._quarantined(codec, reasons.batch_unreadable(len(self._raw), name, said))

    def _unfolded(self, codec: int) -> memoryview:
        """The batch again, with its records as they are and the codec that says so. Raises UnfoldsTooFarError and
        UndecodableError."""
        attributes, *_, count = _HEADER.unpack_from(self._raw, _HEADER_AT)
        if count > RECORDS_MAX:
            raise UnfoldsTooFarError
        room = room_of(_BODY_AT + Bound.unfolded_bytes_max)
        size = unfold(codec, bytes(self._raw[_BODY_AT:]), room[_BODY_AT:])
        whole = memoryview(room)[: _BODY_AT + size]  # type: ignore[arg-type]  # an array has a buffer
        whole[:_BODY_AT] = self._raw[:_BODY_AT]
        _LENGTH.pack_into(whole, 8, len(whole) - _LOG_OVERHEAD.size)
        _ATTRIBUTES.pack_into(whole, _HEADER_AT, attributes & ~_CODEC_MASK)
        self.unfolded_bytes = len(whole)
        return whole

    def _quarantined(self, codec: int, reason: Reason) -> QuarantinedBatch:
        raw, count = self._raw, 1
        if raw[_MAGIC_AT] >= 2:
            count = max(_HEADER.unpack_from(raw, _HEADER_AT)[-1], 0)
        summary = BatchSummary(
            codec=CODECS.get(codec, NOT_COMPRESSED),
            bytes=len(raw),
            sha256=hashlib.sha256(raw).hexdigest(),
            first_offset=self.base_offset,
            last_offset=self.next_offset - 1,
            records=count,
        )
        return QuarantinedBatch.of(bytes(raw[:KEPT_OF_BATCH_BYTES]), summary, reason)

    @property
    def timestamp_ms(self) -> int:
        """The latest of its records' timestamps; -1 where it does not say."""
        return int(_HEADER.unpack_from(self._raw, _HEADER_AT)[3]) if self._raw[_MAGIC_AT] >= 2 else -1


class FetchedRecords:
    """The client's own reader of record batches, which also keeps the bytes that they are read from."""

    def __init__(self, fetched: bytes) -> None:
        self._fetched = memoryview(fetched)
        self._place = 0
        self._reader = MemoryRecords(fetched)

    def size_in_bytes(self) -> int:
        """Bytes fetched."""
        size: int = self._reader.size_in_bytes()
        return size

    def has_next(self) -> bool:
        """Whether a whole batch is left."""
        more: bool = self._reader.has_next()
        return more

    def next_batch(self) -> FetchedBatch | None:
        """The next batch, None when none is left."""
        batch = self._reader.next_batch()
        if batch is None:
            return None
        begin = self._place
        _, length = _LOG_OVERHEAD.unpack_from(self._fetched, begin)
        self._place = begin + _LOG_OVERHEAD.size + length
        return FetchedBatch(batch, self._fetched[begin : self._place])


# Every consumer of this process reads through it; it adds nothing to what a consumer sees.
aiokafka.consumer.fetcher.MemoryRecords = FetchedRecords


def _codec_of(raw: memoryview) -> int:
    if raw[_MAGIC_AT] >= 2:
        return int(_ATTRIBUTES.unpack_from(raw, _HEADER_AT)[0]) & _CODEC_MASK
    return raw[_OLD_ATTRIBUTES_AT] & _CODEC_MASK


def _check_old(codec: int, raw: memoryview) -> None:
    """Raises UnfoldsTooFarError where an old message's value, which holds other messages, unfolds too far. Whether it
    can be read at all is for the client to say: the oldest have headers of their own."""
    place = _OLD_KEY_AT[raw[_MAGIC_AT]]
    (key_bytes,) = _LENGTH.unpack_from(raw, place)
    place += _LENGTH.size + max(key_bytes, 0)
    (value_bytes,) = _LENGTH.unpack_from(raw, place)
    place += _LENGTH.size
    try:
        unfold(codec, bytes(raw[place : place + max(value_bytes, 0)]), room_of(Bound.unfolded_bytes_max))
    except UndecodableError:
        return


def _check_headers(batch: memoryview) -> None:
    """Raises UnfoldsTooFarError where a single record of a batch that is not compressed has too many headers. Looks at
    the records that are long enough for that, and only at the length of others."""
    place, end = _BODY_AT, len(batch)
    if end < HEADERS_SOUGHT_BYTES:
        return
    while place < end:
        length = shift = 0
        while True:  # a zigzag number, as `_Fields.number` reads it: this pass is over every record of a large batch
            byte = batch[place]
            place += 1
            length |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
        length = (length >> 1) ^ -(length & 1)
        if length > 2 * HEADERS_MAX and _headers_of(batch[place : place + length]) > HEADERS_MAX:
            raise UnfoldsTooFarError
        if length < 0:
            return  # it holds no records, and the decoder says so
        place += length


def _headers_of(record: memoryview) -> int:
    """How many headers a record says to have; `record`: what stands behind its length."""
    fields = _Fields(record)
    fields.place = 1  # attributes, unused
    fields.number()  # the timestamp
    fields.number()  # the offset
    for _ in ("key", "value"):
        size = fields.number()
        fields.place += max(size, 0)
    return fields.number()


def _records(batch: Any, raw: memoryview, base_offset: int) -> list[Any]:
    """A batch's records by the client's decoder, or, where a header's name is not UTF-8, by ours. Raises
    UnfoldsTooFarError where they have too many headers together."""
    made = list if len(raw) < HEADERS_SOUGHT_BYTES else _with_headers_within_bounds
    try:
        return made(batch)
    except UnicodeDecodeError:
        return made(decode_leniently(raw, base_offset))


def _with_headers_within_bounds(records: Iterable[Any]) -> list[Any]:
    made: list[Any] = []
    headers = 0
    for record in records:
        headers += len(record.headers)
        if headers > HEADERS_MAX:
            raise UnfoldsTooFarError
        made.append(record)
    return made


def decode_leniently(batch: memoryview, base_offset: int) -> Iterator[LenientRecord]:
    """The records of a batch that is not compressed, whatever their headers are called: the odd bytes of a name are
    written as `\\\\xff`."""
    attributes, _, first_ms, last_ms, *_, count = _HEADER.unpack_from(batch, _HEADER_AT)
    fields = _Fields(bytes(batch[_BODY_AT:]))
    for _ in range(count):
        fields.number()  # the record's length
        fields.place += 1  # attributes, unused
        since_first_ms, offset_delta = fields.number(), fields.number()
        key, value = fields.text(), fields.text()
        headers = [
            ((fields.text() or b"").decode(errors="backslashreplace"), fields.text()) for _ in range(fields.number())
        ]
        timestamp = last_ms if attributes & _LOG_APPEND_TIME else first_ms + since_first_ms
        yield LenientRecord(base_offset + offset_delta, timestamp, key, value, headers)


class _Fields:
    """The fields of records, one after the other: zigzag numbers, and bytes behind their length."""

    def __init__(self, body: bytes | memoryview) -> None:
        self.body, self.place = body, 0

    def number(self) -> int:
        shift = value = 0
        while True:
            byte = self.body[self.place]
            self.place += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return (value >> 1) ^ -(value & 1)
            shift += 7

    def text(self) -> bytes | None:
        length = self.number()
        if length < 0:
            return None
        self.place += length
        return bytes(self.body[self.place - length : self.place])
