"""Record batches built byte by byte: what no client of ours would send and a broker may hold."""

import struct
from typing import Any

import cramjam
from aiokafka import AIOKafkaProducer
from aiokafka.codec import gzip_encode, lz4_encode, snappy_encode, zstd_encode
from aiokafka.record.util import calc_crc32c as crc32c
from aiokafka.record.util import encode_varint

ENCODERS = {1: gzip_encode, 2: snappy_encode, 3: lz4_encode, 4: zstd_encode}


def compressed(codec: int, body: bytes) -> bytes:
    """A batch's body as Kafka's clients fold it; zeros by zstd as small as it goes."""
    if codec == 1:
        return bytes(gzip_encode(body, 1))
    if codec == 4:
        return bytes(cramjam.zstd.compress(body, level=1))
    encoder: Any = ENCODERS[codec]
    return bytes(encoder(body))


def a_batch_of(
    body: bytes, codec: int, *, count: int, base_offset: int = 0, delta: int | None = None, timestamp_ms: int = 1_000
) -> bytes:
    """A batch of magic 2 with this body and a sound checksum, whatever is in it."""
    last = max(count - 1, 0) if delta is None else delta
    behind = struct.pack(">hiqqqhii", codec, last, timestamp_ms, timestamp_ms, -1, -1, -1, count) + body
    head = struct.pack(">qiibI", base_offset, 4 + 1 + 4 + len(behind), -1, 2, crc32c(behind))
    return head + behind


def a_record(value: bytes, delta: int = 0, headers: int = 0) -> bytes:
    """One record of a body; `headers`: so many without a name and a value."""
    content = bytearray(b"\0")
    for number in (0, delta):
        encode_varint(number, content.append)
    encode_varint(-1, content.append)
    encode_varint(len(value), content.append)
    content += value
    encode_varint(headers, content.append)
    content += b"\x00\x01" * headers
    record = bytearray()
    encode_varint(len(content), record.append)
    return bytes(record + content)


async def send_raw(bootstrap: str, topic: str, partition: int, raw: bytes, count: int) -> int:
    """Send a batch as it is; where its first record lies."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", request_timeout_ms=120_000)
    await producer.start()
    try:
        batch = producer.create_batch()
        batch.close()
        batch._buffer, batch._relative_offset = raw, count
        told = await (await producer.send_batch(batch, topic, partition=partition))
        return int(told.offset)
    finally:
        await producer.stop()
