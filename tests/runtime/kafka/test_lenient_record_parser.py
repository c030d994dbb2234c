"""A header whose name is not UTF-8 makes the client's decoder give up; ours goes on, and agrees on everything else."""

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from stream_scorer.runtime.kafka.lenient_record_parser import FetchedRecords

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


def a_batch(base_offset: int, codec: int) -> bytes:
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, 0, 1_000_000)
    builder.append(0, 1_000, b"key", b"v" * 300, [("name", b"1"), ("empty", None)])
    builder.append(1, 1_002, None, None, [])
    builder.append(2, 999, b"", b"", [("name", b"")])
    raw = bytearray(builder.build())
    raw[0:8] = base_offset.to_bytes(8, "big")
    return bytes(raw)


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_a_sound_batch_reads_the_same_both_ways(codec: int) -> None:
    fetched = FetchedRecords(a_batch(0, codec) + a_batch(500, codec))
    batches = 0
    while fetched.has_next():
        batch = fetched.next_batch()
        ours = fetched.decode_leniently(batch.base_offset)
        assert [tuple(one) for one in ours] == [
            (one.offset, one.timestamp, one.key, one.value, one.headers) for one in batch
        ]
        batches += 1
    assert batches == 2


def test_odd_bytes_of_a_name_are_written_out_and_the_record_is_not_lost() -> None:
    fetched = FetchedRecords(a_batch(7, 0).replace(b"name", b"n\xff\xfee"))
    batch = fetched.next_batch()
    with pytest.raises(UnicodeDecodeError):
        list(batch)
    records = fetched.decode_leniently(7)
    assert [record.offset for record in records] == [7, 8, 9]
    assert records[0].headers == [(r"n\xff\xfee", b"1"), ("empty", None)]
