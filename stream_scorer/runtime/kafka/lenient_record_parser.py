"""Record batches in which a header's name is not UTF-8: Kafka lets them through, the client's decoder gives up on them.

Invariant: no record may block its partition. Such a batch is decoded here, with the odd bytes of a name written as
`\\xff`; everything else is as the client would give it.
"""

import struct
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import aiokafka.consumer.fetcher
from aiokafka.codec import gzip_decode, lz4_decode, snappy_decode, zstd_decode
from aiokafka.record.memory_records import MemoryRecords

# Of a record batch: base offset and length (of what follows), before everything else
_LOG_OVERHEAD: Final = struct.Struct(">qi")
# attributes, last offset delta, first and last timestamp; then producer id, epoch, sequence and the number of records
_HEADER: Final = struct.Struct(">hiqqqhii")
_HEADER_AT: Final = 21
_CODEC_MASK: Final = 0x07
_LOG_APPEND_TIME: Final = 0x08
_DECODERS: Final = {1: gzip_decode, 2: snappy_decode, 3: lz4_decode, 4: zstd_decode}


class LenientRecord(NamedTuple):
    """A record as the client's decoder would have made it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


class FetchedRecords:
    """The client's own reader of record batches, which also keeps the bytes that they are read from."""

    def __init__(self, fetched: bytes) -> None:
        self._fetched = fetched
        self._reader = MemoryRecords(fetched)

    def size_in_bytes(self) -> int:
        """Bytes fetched."""
        size: int = self._reader.size_in_bytes()
        return size

    def has_next(self) -> bool:
        """Whether a whole batch is left."""
        more: bool = self._reader.has_next()
        return more

    def next_batch(self) -> Any:
        """The next batch, None when none is left."""
        return self._reader.next_batch()

    def decode_leniently(self, base_offset: int) -> list[LenientRecord]:
        """The records of the batch that begins with this offset, whatever their headers are called."""
        place = 0
        while True:
            offset, length = _LOG_OVERHEAD.unpack_from(self._fetched, place)
            end = place + _LOG_OVERHEAD.size + length
            if offset == base_offset:
                return list(_decode(memoryview(self._fetched)[place:end], base_offset))
            place = end


# Every consumer of this process reads through it; it adds nothing to what a consumer sees.
aiokafka.consumer.fetcher.MemoryRecords = FetchedRecords


def _decode(batch: memoryview, base_offset: int) -> Iterator[LenientRecord]:
    attributes, _, first_ms, last_ms, *_, count = _HEADER.unpack_from(batch, _HEADER_AT)
    body = bytes(batch[_HEADER_AT + _HEADER.size :])
    if codec := attributes & _CODEC_MASK:
        body = bytes(_DECODERS[codec](body))
    fields = _Fields(body)
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

    def __init__(self, body: bytes) -> None:
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
        return self.body[self.place - length : self.place]
