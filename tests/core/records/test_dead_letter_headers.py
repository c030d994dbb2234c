"""Whatever headers a producer has given its record, the letter made of it can be read, and says what we say."""

from typing import Any

import pytest
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from stream_scorer.core.audit.inputs import InputTopic
from stream_scorer.core.audit.traces import dead_letter_rows
from stream_scorer.core.contract.reasons import Code, Reason, Stage
from stream_scorer.core.records.dead_letter import dead_letter
from stream_scorer.core.records.dead_letter_headers import HEADERS, OPTIONAL_HEADERS
from stream_scorer.core.records.dead_letter_reader import TIMESTAMP_MS_MAX, DeadLetter, SourcePosition, read_letter
from stream_scorer.core.records.record import last_header
from stream_scorer.operations.dead_letters.index.dictionaries import Dictionaries
from stream_scorer.operations.dead_letters.index.rows import letter_rows
from tests.core.dead_letters.builders import TOPIC, Record
from tests.nasty import BYTES

OURS = [one.name for one in (*HEADERS, *OPTIONAL_HEADERS)]
STREAMS = [f"__streams.errors.{name}" for name in ("topic", "partition", "offset", "message", "exception")]
SMALL = [value for value in BYTES.values() if len(value) < 100]
NAMES = st.sampled_from([*OURS, *STREAMS, "scorer.moved-from", "client-id", "", "\\xff"]) | st.text(max_size=5)
VALUES = st.none() | st.binary(max_size=60) | st.sampled_from([b"null", b"[]", b"{}", b"1", *SMALL])
REASONS = st.lists(
    st.builds(Reason, st.sampled_from(Code), st.none() | st.text(max_size=5), st.text(max_size=300)),
    min_size=1,
    max_size=5,
)


@given(
    headers=st.lists(st.tuples(NAMES, VALUES), max_size=12),
    value=st.none() | st.binary(max_size=100),
    reasons=REASONS,
    stage=st.sampled_from(Stage),
    offset=st.integers(0, 2**44 - 1),
    timestamp=st.integers(-(2**63), 2**63 - 1),
    limit_bytes=st.sampled_from([10, 1 << 20]),
    replays=st.integers(0, 1_000),
)
def test_any_headers_in_a_readable_letter_out_with_our_values(
    headers: list[tuple[str, Any]],
    value: bytes | None,
    reasons: list[Reason],
    stage: Stage,
    offset: int,
    timestamp: int,
    limit_bytes: int,
    replays: int,
) -> None:
    written = dead_letter(
        Record(offset, timestamp, b"k", value, headers),
        reasons,
        stage,
        topic=TOPIC,
        partition=2,
        failed_at_ms=1_795_365_418_142,
        version="1.2",
        limit_bytes=limit_bytes,
        replays=replays,
    )
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, 0, 1 << 24)
    builder.append(0, written.timestamp_ms, written.key, written.value, written.headers)
    (record,) = DefaultRecordBatch(bytes(builder.build()))
    letter = read_letter(2, record)
    assert isinstance(letter, DeadLetter)
    assert letter.headers == tuple((name, own or b"") for name, own in headers)
    assert (letter.reasons, letter.stage, letter.origin) == (tuple(reasons), stage, SourcePosition(TOPIC, 2, offset))
    assert letter.timestamp_ms == min(max(timestamp, -1), TIMESTAMP_MS_MAX)
    assert (letter.version, letter.failed_ms, letter.claimed_replays) == ("1.2", 1_795_365_418_142, replays)
    whole = letter.truncation is None
    assert whole or limit_bytes == 10

    audited = dead_letter_rows(2, [record], {TOPIC: InputTopic.OBSERVATIONS})
    assert (audited["source_partition"][0], audited["source_offset"][0]) == (2, offset)
    assert audited["whole"][0] == whole
    (row,) = letter_rows(2, [record], Dictionaries(), {TOPIC: 0})
    assert row["truncated"] == (not whole)


@pytest.mark.parametrize("name", [*OURS, *STREAMS])
@pytest.mark.parametrize("value", [None, b"", b"x", b"null", b'{"bytes":1}'])
def test_a_header_of_one_of_our_names_is_outdone_by_ours(name: str, value: bytes | None) -> None:
    headers: Any = [(name, value), ("own", b"1"), (name, value)]
    record = Record(17, 1, None, b"{}", headers)
    written = dead_letter(
        record,
        [Reason(Code.NOT_JSON, None, "m")],
        Stage.DECODE,
        topic=TOPIC,
        partition=2,
        failed_at_ms=1,
        version="1",
        limit_bytes=1 << 20,
    )
    ours = written.headers[len(headers) :]
    assert name in dict(ours)
    assert last_header(written.headers, name) == dict(ours)[name]
    assert isinstance(read_letter(2, Record(1, 1, written.key, written.value, written.headers)), DeadLetter)
