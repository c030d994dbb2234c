"""The clock reading that a batch is worked on with, and the join window that follows from it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class WindowClock(NamedTuple):
    """The worker's time, and the join window that ends now."""

    now_ms: int
    join_window_ms: int

    @property
    def window_starts_ms(self) -> int:
        """What was scored before this is the same as never scored."""
        return self.now_ms - self.join_window_ms

    def event_ms(self, timestamp_ms: int) -> int:
        """A record's event time: its timestamp, but never later than the clock; the clock where it has none (-1)."""
        return min(timestamp_ms, self.now_ms) if timestamp_ms >= 0 else self.now_ms

    def event_ms_each(self, timestamps_ms: NDArray[np.int64]) -> NDArray[np.int64]:
        """The event time of each."""
        return np.where(timestamps_ms < 0, self.now_ms, np.minimum(timestamps_ms, self.now_ms))
