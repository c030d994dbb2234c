"""Timestamps of what is published, where those of the inputs lie far back or ahead."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_scorer.core.records.output_timestamps import AHEAD_MS_MAX, EVENT_TIME, event_timestamp_ms, within_bounds
from stream_scorer.core.records.record import Headers, Publishable
from stream_scorer.core.records.timestamps import LATEST_MS, rfc3339

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
    records: list[Publishable] = [(b"a", b"1", NOW_MS + AHEAD_MS_MAX, []), (b"b", b"2", NOW_MS - 1_000, TRACE)]
    assert within_bounds(records, NOW_MS, 1_000) is records
    assert within_bounds(records, NOW_MS, None) is records
    assert within_bounds([], NOW_MS, 0) == []


def test_what_is_older_is_brought_forward_and_says_so() -> None:
    records: list[Publishable] = [(b"a", b"1", 1_000, TRACE), (b"b", b"2", NOW_MS, [])]
    brought, kept = within_bounds(records, NOW_MS, 5)
    assert brought == (b"a", b"1", NOW_MS - 5, [*TRACE, (EVENT_TIME, b"1970-01-01T00:00:01.000Z")])
    assert kept == records[1]


@pytest.mark.parametrize("timestamp_ms", [NOW_MS + AHEAD_MS_MAX + 1, NOW_MS * 2, LATEST_MS + 1, (1 << 63) - 1])
def test_what_lies_ahead_counts_as_now_and_says_so(timestamp_ms: int) -> None:
    (brought,) = within_bounds([(b"a", b"1", timestamp_ms, TRACE)], NOW_MS, None)
    said = rfc3339(timestamp_ms).encode()
    assert brought == (b"a", b"1", NOW_MS, [*TRACE, (EVENT_TIME, said)])


def test_none_stays_none() -> None:
    records: list[Publishable] = [(b"a", b"1", -1, []), (b"b", b"2", NOW_MS * 2, [])]
    first, _ = within_bounds(records, NOW_MS, 0)
    assert first == records[0]


@given(st.integers(0, LATEST_MS), st.integers(0, NOW_MS))
def test_the_timestamp_of_the_input_can_be_read_back(timestamp_ms: int, age_ms_max: int) -> None:
    (record,) = within_bounds([(b"a", b"1", timestamp_ms, TRACE)], NOW_MS, age_ms_max)
    assert event_timestamp_ms(read_back(record)) == timestamp_ms
    assert NOW_MS - age_ms_max <= record[2] <= NOW_MS + AHEAD_MS_MAX


@given(st.binary())
def test_a_header_that_says_nothing_is_passed_over(said: bytes) -> None:
    assert event_timestamp_ms(Read(0, NOW_MS, b"", b"", [(EVENT_TIME, said)])) >= 0
