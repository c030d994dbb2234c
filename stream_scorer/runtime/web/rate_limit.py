"""How many requests a second each client may make."""


class RateLimit:
    """Requests a second of each client: as many at once as in one second, then one after the other. `per_s` None: any
    number. Times are seconds of a monotonic clock."""

    def __init__(self, per_s: float | None) -> None:
        self._per_s = per_s
        self._left: dict[str, tuple[float, float]] = {}

    def admits(self, client: str, now_s: float) -> bool:
        """Count a request; False where it is one too many."""
        if self._per_s is None:
            return True
        most = max(1.0, self._per_s)
        left, before_s = self._left.get(client, (most, now_s))
        left = min(most, left + (now_s - before_s) * self._per_s)
        admitted = left >= 1
        self._left[client] = (left - admitted, now_s)
        return admitted
