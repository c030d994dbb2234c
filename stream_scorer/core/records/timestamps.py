"""Instants as RFC 3339 text and as milliseconds since the epoch."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final


def rfc3339(time_ms: int) -> str:
    """A time in milliseconds since 1970 as RFC 3339 in UTC with milliseconds."""
    return _second(time_ms // 1000) + _MILLISECONDS[time_ms % 1000]


_MILLISECONDS: Final = tuple(f".{millisecond:03}Z" for millisecond in range(1000))


@lru_cache(maxsize=65_536)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()[:19]


@lru_cache(maxsize=65_536)
def milliseconds(rfc3339: str) -> int:
    """Milliseconds since 1970; the inverse of `rfc3339`. Raises ValueError on another format."""
    return round(datetime.fromisoformat(rfc3339).timestamp() * 1000)
