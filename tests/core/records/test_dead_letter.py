"""Dead letters: the record untouched, the reasons behind it, and never so large that the letter itself can't be
written."""

import hashlib
import json
from typing import Any, NamedTuple

import msgspec
import pytest

from stream_scorer.core.contract.columns import COLUMN_NAMES
from stream_scorer.core.contract.reasons import Code, Reason, Stage
from stream_scorer.core.records.dead_letter import KEPT_OF_TOO_LARGE_BYTES, dead_letter, encode_reasons
from stream_scorer.core.records.record import ProducerRecord, last_header
from tests.core.dead_letters.builders import reasons_of
from tests.support.builders import an_observation

LIMIT_BYTES = 1024 * 1024
FAULT = Reason(Code.OUT_OF_RANGE, "hour", "Field `hour` is not between 0 and 24")


class Record(NamedTuple):
    offset: int = 17
    timestamp: int = 1_700_000_000_000
    key: bytes | None = b"ev-1"
    value: bytes | None = b"{}"
    headers: list[tuple[str, bytes]] = []  # noqa: RUF012  # never changed


def a_letter(record: Record, reasons: tuple[Reason, ...] = (FAULT,)) -> ProducerRecord:
    return dead_letter(
        record,
        reasons,
        Stage.CONTRACT,
        topic="stops.observations",
        partition=3,
        failed_at_ms=1_700_000_001_234,
        version="0.1.0",
        limit_bytes=LIMIT_BYTES,
    )


def header(letter: ProducerRecord, name: str) -> Any:
    found = last_header(letter.headers, name)
    assert found is not None
    return found


def test_value_key_and_headers_are_the_records_own_and_the_time_that_of_its_failure() -> None:
    record = Record(value=b"\xff\x00not json", key=None, headers=[("traceparent", b"00-1"), ("client", b"\xfe")])
    letter = a_letter(record)
    assert (letter.key, letter.value, letter.timestamp_ms) == (None, b"\xff\x00not json", 1_700_000_001_234)
    assert letter.headers[:2] == record.headers


def test_headers_say_what_is_wrong_where_it_came_from_and_when_it_failed() -> None:
    letter = a_letter(Record())
    assert msgspec.json.decode(header(letter, "scorer.errors")) == [
        {"code": "out_of_range", "field": "hour", "message": "Field `hour` is not between 0 and 24"}
    ]
    assert header(letter, "scorer.stage") == b"contract"
    assert msgspec.json.decode(header(letter, "scorer.source")) == {
        "topic": "stops.observations",
        "partition": 3,
        "offset": 17,
        "timestamp": 1_700_000_000_000,
    }
    assert header(letter, "scorer.failed-at") == b"2023-11-14T22:13:21.234Z"
    assert header(letter, "scorer.version") == b"0.1.0"
    assert header(letter, "scorer.replays") == b"0"


def test_kafkas_own_tools_find_the_names_that_they_know() -> None:
    letter = a_letter(Record())
    assert header(letter, "__streams.errors.topic") == b"stops.observations"
    assert header(letter, "__streams.errors.partition") == b"3"
    assert header(letter, "__streams.errors.offset") == b"17"
    assert header(letter, "__streams.errors.message") == FAULT.message.encode()
    assert header(letter, "__streams.errors.exception") == b"stream_scorer.out_of_range"


def test_a_forged_header_stands_before_ours_and_the_last_of_a_name_counts() -> None:
    letter = a_letter(Record(headers=[("scorer.stage", b"forged"), ("scorer.errors", b"[]")]))
    assert header(letter, "scorer.stage") == b"contract"
    assert b"out_of_range" in header(letter, "scorer.errors")


def test_a_record_over_the_limit_keeps_its_beginning_and_says_what_it_was() -> None:
    value = bytes(range(256)) * 8192
    letter = a_letter(Record(value=value))
    assert letter.value == value[:KEPT_OF_TOO_LARGE_BYTES]
    said = msgspec.json.decode(header(letter, "scorer.truncated"))
    assert said["bytes"] == len(value)
    assert said["sha256"] == hashlib.sha256(value).hexdigest()


@pytest.mark.parametrize(
    "record",
    [
        Record(headers=[("h", b"x" * 1_200_000)]),
        Record(headers=[("h", b"")] * 400_000),
        Record(key=b"k" * 1_200_000),
    ],
    ids=["one-huge-header", "very-many-empty-headers", "huge-key"],
)
def test_headers_and_key_count_too_and_are_cut_with_the_rest(record: Record) -> None:
    letter = a_letter(record)
    headers = sum(len(name) + len(value) + 4 for name, value in letter.headers)
    assert headers + len(letter.key or b"") + len(letter.value or b"") < 256 * 1024
    assert header(letter, "scorer.truncated")


def test_a_record_at_the_limit_is_kept_whole() -> None:
    value = b"x" * (LIMIT_BYTES - len(b"ev-1"))
    letter = a_letter(Record(value=value))
    assert letter.value == value
    assert last_header(letter.headers, "scorer.truncated") is None


def test_reasons_stay_below_16_kib_and_say_how_many_were_left_out() -> None:
    reasons = [Reason(Code.INVALID_VALUE, f"column {number}", "x" * 1_000) for number in range(1_000)]
    encoded = encode_reasons(reasons)
    assert len(encoded) < 16 * 1024
    kept = msgspec.json.decode(encoded)
    assert kept[-1]["details"]["reasons_left_out"] == 1_000 - len(kept)
    assert [reason["field"] for reason in kept] == [reason.field for reason in reasons[: len(kept)]]
    # one more would not have fitted
    assert len(encoded) + len(msgspec.json.encode(kept[-2])) > 16 * 1024 - 100


@pytest.mark.parametrize("letter", ["x", "é", "😀", '"', "\x00"], ids=["ascii", "latin", "emoji", "quote", "control"])
def test_every_reason_of_an_event_is_kept_however_long_their_messages(letter: str) -> None:
    fields = an_observation() | {name: letter * 220 for name in COLUMN_NAMES if name != "SubjectAge"}
    fields |= {f"{number}{letter * 220}": 1 for number in range(25)}
    del fields["SubjectAge"]
    reasons = reasons_of(json.dumps({"observation": fields}, ensure_ascii=False).encode())
    encoded = encode_reasons(reasons)
    assert len(encoded) < 16 * 1024
    kept = msgspec.json.decode(encoded, type=list[Reason])
    assert [(one.code, one.field, one.details) for one in kept] == [(one.code, one.field, None) for one in reasons]
    assert len(kept) == 12


def test_only_the_longest_message_is_cut_and_only_so_far_as_it_takes() -> None:
    reasons = [FAULT] * 10 + [Reason(Code.UNRECOGNIZED_COLUMNS, "observation", "x" * 20_000)] + [FAULT] * 10
    encoded = encode_reasons(reasons)
    assert 16 * 1024 - 8 < len(encoded) < 16 * 1024
    kept = msgspec.json.decode(encoded, type=list[Reason])
    assert [one for one in kept if one != kept[10]] == [FAULT] * 20
    assert kept[10].message.endswith("x…")


def test_reasons_of_just_16_kib_less_a_byte_are_left_as_they_are() -> None:
    empty = len(encode_reasons([Reason(Code.SCORING_FAILED, None, "")]))
    whole = Reason(Code.SCORING_FAILED, None, "x" * (16 * 1024 - 1 - empty))
    assert msgspec.json.decode(encode_reasons([whole]), type=list[Reason]) == [whole]


def test_details_stay_with_a_reason_that_others_gave_way_to() -> None:
    conflict = Reason(Code.CONFLICT, "id", "x" * 1_000, {"first_offset": 7, "columns": ["hour"]})
    kept = msgspec.json.decode(encode_reasons([conflict] * 1_000), type=list[Reason])
    assert kept[0].details == conflict.details
    assert kept[-1].details == {**(conflict.details or {}), "reasons_left_out": 1_000 - len(kept)}


def test_a_single_reason_that_is_too_long_is_cut_and_not_lost() -> None:
    encoded = encode_reasons([Reason(Code.SCORING_FAILED, None, "é" * 20_000)])
    assert len(encoded) < 16 * 1024
    assert msgspec.json.decode(encoded)[0]["code"] == "scoring_failed"
