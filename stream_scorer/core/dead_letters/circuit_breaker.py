"""A brake on the dead letters: intake pauses when too large a share of what came in of late could not go on.

Invariant: pure; the clock is an argument. Off is no brake at all.
"""

from collections import deque
from typing import NamedTuple


class Tripped(NamedTuple):
    """Why the brake was pulled: so many dead letters of so many records, within the window."""

    letters: int
    records: int


class CircuitBreaker:
    """Watches over `window_ms`. Once it is pulled it holds for as long as a window, then starts to count again: a flood
    that goes on gets `records_min` records further each time, and no more than a batch beyond."""

    def __init__(self, share: float, window_ms: int, records_min: int) -> None:
        self._share, self._window_ms, self._records_min = share, window_ms, records_min
        self._seen: deque[tuple[int, int, int]] = deque()
        self._records = self._letters = 0
        self._holds_until_ms = 0

    def add(self, now_ms: int, records: int, letters: int) -> Tripped | None:
        """Count a batch that was committed. Says why where it pulls the brake; while it is pulled it counts nothing."""
        if now_ms < self._holds_until_ms:
            return None
        self._seen.append((now_ms, records, letters))
        self._records += records
        self._letters += letters
        while self._seen[0][0] <= now_ms - self._window_ms:
            _, records_then, letters_then = self._seen.popleft()
            self._records -= records_then
            self._letters -= letters_then
        if self._records < self._records_min or self._letters <= self._share * self._records:
            return None
        pulled = Tripped(self._letters, self._records)
        self._seen.clear()
        self._records = self._letters = 0
        self._holds_until_ms = now_ms + self._window_ms
        return pulled

    def holds_for_ms(self, now_ms: int) -> int:
        """For how long from now nothing is to be read; 0: read on."""
        return max(0, self._holds_until_ms - now_ms)
