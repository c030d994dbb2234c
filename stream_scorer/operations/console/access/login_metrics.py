"""Logins that failed, counted for Prometheus."""

from stream_scorer.runtime.metrics.console_catalogue import LOGIN_FAILURES, LOGINS_THROTTLED
from stream_scorer.runtime.metrics.exposition import Series, family_text


class LoginMetrics:
    """The counters of one console, all at 0 from the start."""

    def __init__(self) -> None:
        self._failures, self._throttled = Series(LOGIN_FAILURES), Series(LOGINS_THROTTLED)

    def failed(self, by: str) -> None:
        self._failures.add(1, by)

    def throttled(self, by: str) -> None:
        self._throttled.add(1, by)

    def expose(self) -> bytes:
        """The text that Prometheus reads."""
        return "".join(family_text(one.definition, one.lines()) for one in (self._failures, self._throttled)).encode()
