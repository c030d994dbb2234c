"""Times are written and read the same way, whatever the machine's own zone."""

import time
from datetime import UTC
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_scorer.core.records.timestamps import LATEST_MS, milliseconds, rfc3339

EIGHT_MS: Final = 1_795_334_400_000


@given(st.integers(0, LATEST_MS))
def test_what_is_written_reads_back(time_ms: int) -> None:
    assert milliseconds(rfc3339(time_ms)) == time_ms


@pytest.mark.parametrize(
    ("text", "expected_ms"),
    [
        pytest.param("2026-11-22T08:00:00Z", EIGHT_MS, id="UTC"),
        pytest.param("2026-11-22T10:30:00+02:30", EIGHT_MS, id="an offset"),
    ],
)
def test_a_time_with_a_zone_needs_no_default(text: str, expected_ms: int) -> None:
    assert milliseconds(text) == milliseconds(text, default_zone=UTC) == expected_ms


def test_a_time_without_a_zone_is_read_only_with_a_default(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as context:
        context.setenv("TZ", "America/New_York")
        time.tzset()
        assert milliseconds("2026-11-22T08:00", default_zone=UTC) == EIGHT_MS
        with pytest.raises(ValueError, match="without a zone"):
            milliseconds("2026-11-22T08:00")
    time.tzset()


@pytest.mark.parametrize("text", ["1969-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "noon", ""])
def test_what_is_no_time_between_1970_and_9999_raises(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # datetime's own words
        milliseconds(text)


def test_a_time_out_of_bounds_is_written_as_the_nearest_within() -> None:
    assert rfc3339(-1) == "1970-01-01T00:00:00.000Z"
    assert rfc3339(LATEST_MS + 1) == "9999-12-31T23:59:59.999Z"
