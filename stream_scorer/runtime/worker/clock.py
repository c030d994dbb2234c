"""The worker's time, held against Kafka's.

Invariant: where the two lie further apart than the setting allows, nothing is forgotten and nothing expires, an id is
known for as long as either of them says so, and what is published carries Kafka's time.
"""

import time

from stream_scorer.core.records.clock import WindowClock
from stream_scorer.runtime.kafka.broker_clock import BrokerTime, running_s


class CheckedClock:
    """Both clocks; Kafka's goes on by itself from when it was asked last."""

    def __init__(self, join_window_ms: int, skew_ms_max: int) -> None:
        self._join_window_ms, self._skew_ms_max = join_window_ms, skew_ms_max
        self._asked: BrokerTime | None = None

    def learn(self, asked: BrokerTime) -> None:
        """Kafka has said what time it is."""
        self._asked = asked

    @property
    def skew_ms(self) -> int:
        """How far the worker's clock is ahead of Kafka's; 0 while Kafka has not been asked."""
        return wall_clock_ms() - self._kafka_ms() if self._asked is not None else 0

    @property
    def is_contradicted(self) -> bool:
        """Whether the two lie too far apart."""
        return abs(self.skew_ms) > self._skew_ms_max

    def now_ms(self) -> int:
        """The time that things happen at."""
        return self._kafka_ms() if self.is_contradicted else wall_clock_ms()

    def slack_ms(self) -> int:
        """By how much the join window is longer, so that it begins where the earlier of the two clocks says."""
        return max(0, -self.skew_ms) if self.is_contradicted else 0

    def reading(self) -> WindowClock:
        """The time now, and the join window that ends now."""
        return WindowClock(self.now_ms(), self._join_window_ms + self.slack_ms())

    def _kafka_ms(self) -> int:
        assert self._asked is not None
        return self._asked.kafka_ms + int((running_s() - self._asked.at_s) * 1000)


def wall_clock_ms() -> int:
    """This machine's clock, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000
