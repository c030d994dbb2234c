"""Instants as RFC 3339 text and as milliseconds since the epoch."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

# The end of the year 9999, the last that RFC 3339 and the standard library can write
LATEST_MS: Final = 253_402_300_799_999


# What Kafka's records carry that have no timestamp
NO_TIMESTAMP_MS: Final = -1


def kept_timestamp_ms(timestamp_ms: int) -> int:
    """A record's timestamp as our own records keep it: brokers take any below zero from a producer, and it is none."""
    return max(timestamp_ms, NO_TIMESTAMP_MS)


def rfc3339(time_ms: int) -> str:
    """A time in milliseconds since 1970 as RFC 3339 in UTC with milliseconds: `2026-11-22T08:00:00.000Z`. What lies
    before 1970 or behind the year 9999, as a stranger's record may, is written as the nearest time within."""
    time_ms = min(max(time_ms, 0), LATEST_MS)
    return _second(time_ms // 1000) + _MILLISECONDS[time_ms % 1000]


_MILLISECONDS: Final = tuple(f".{millisecond:03}Z" for millisecond in range(1000))


@lru_cache(maxsize=65_536)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()[:19]


@lru_cache(maxsize=65_536)
def milliseconds(rfc3339: str) -> int:
    """Milliseconds since 1970; the inverse of `rfc3339`. Raises ValueError on another format, and on what lies before
    1970 or behind the year 9999."""
    try:
        found = round(datetime.fromisoformat(rfc3339).timestamp() * 1000)
    except OverflowError as error:
        raise ValueError(f"{error}") from error
    if not 0 <= found <= LATEST_MS:
        raise ValueError("not between 1970 and 9999")
    return found
