"""Timestamps of what is published, where those of the inputs lie far back."""

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from stream_scorer.core.records.output_timestamps import EVENT_TIME, brought_forward, event_timestamp_ms
from stream_scorer.core.records.record import Headers, Publishable

NOW_MS = 1_790_000_000_000
TRACE: Headers = [("traceparent", b"00-1")]


class Read(NamedTuple):
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


def read_back(record: Publishable) -> Read:
    key, value, timestamp_ms, headers = record
    return Read(0, timestamp_ms, key, value, headers)


def test_what_is_young_enough_is_published_as_it_is() -> None:
    records: list[Publishable] = [(b"a", b"1", NOW_MS, []), (b"b", b"2", NOW_MS - 1_000, TRACE)]
    assert brought_forward(records, NOW_MS - 1_000) is records
    assert brought_forward([], NOW_MS) == []


def test_what_is_older_is_brought_forward_and_says_so() -> None:
    records: list[Publishable] = [(b"a", b"1", 1_000, TRACE), (b"b", b"2", NOW_MS, [])]
    brought, kept = brought_forward(records, NOW_MS - 5)
    assert brought == (b"a", b"1", NOW_MS - 5, [*TRACE, (EVENT_TIME, b"1970-01-01T00:00:01.000Z")])
    assert kept == records[1]


def test_none_stays_none() -> None:
    assert list(brought_forward([(b"a", b"1", -1, [])], NOW_MS)) == [(b"a", b"1", -1, [])]


@given(st.integers(0, NOW_MS), st.integers(0, NOW_MS))
def test_the_timestamp_of_the_input_can_be_read_back(timestamp_ms: int, oldest_ms: int) -> None:
    (record,) = brought_forward([(b"a", b"1", timestamp_ms, TRACE)], oldest_ms)
    assert event_timestamp_ms(read_back(record)) == timestamp_ms
    assert record[2] == max(timestamp_ms, oldest_ms)


@given(st.binary())
def test_a_header_that_says_nothing_is_passed_over(said: bytes) -> None:
    assert event_timestamp_ms(Read(0, NOW_MS, b"", b"", [(EVENT_TIME, said)])) >= 0
