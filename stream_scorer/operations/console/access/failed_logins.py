"""How often a login may fail: a bound for each client, and one for all together.

Invariant: a client over a limit learns nothing, not even with the right token; a session that is there already is
asked nothing here, so that guessing keeps nobody out who is in. Time is an argument.
"""

import ipaddress
from collections import OrderedDict
from typing import Final

# One client: ten at once, then one in half a minute. Whoever has mistyped is let in again, and a token of 16 random
# characters is not found in the life of the universe.
CLIENT_FAILURES_MAX: Final = 10
CLIENT_REFILL_S: Final = 30.0
# All clients together, so that many addresses gain little
FAILURES_MAX: Final = 100
REFILL_S: Final = 2.0
CLIENTS_MAX: Final = 10_000
# From where somebody logged in that long ago, strangers' failures don't keep them out
PROVEN_S: Final = 24 * 3600.0


class _Bucket:
    """Failures that are still allowed; one more comes back every `refill_s`."""

    __slots__ = ("_at_s", "_left", "_most", "_refill_s")

    def __init__(self, most: int, refill_s: float, now_s: float) -> None:
        self._most, self._refill_s = most, refill_s
        self._left, self._at_s = float(most), now_s

    def wait_s(self, now_s: float) -> float:
        """For how long there is none; 0 where there is one."""
        self._left = min(self._most, self._left + max(0.0, now_s - self._at_s) / self._refill_s)
        self._at_s = now_s
        return 0.0 if self._left >= 1 else (1 - self._left) * self._refill_s

    def take(self) -> None:
        self._left = max(0.0, self._left - 1)


class FailedLogins:
    """Counts failed logins. A client is an IPv4 address, or the half of an IPv6 address that a provider gives away."""

    def __init__(self) -> None:
        self._all: _Bucket | None = None
        self._clients: OrderedDict[str, _Bucket] = OrderedDict()
        self._proven: OrderedDict[str, float] = OrderedDict()

    def wait_s(self, client: str, now_s: float) -> float:
        """How long this client has to wait before it may try; 0: not at all."""
        own = self._of(client, now_s).wait_s(now_s)
        if now_s - self._proven.get(client, -PROVEN_S) < PROVEN_S:
            return own
        return max(own, self._together(now_s).wait_s(now_s))

    def failed(self, client: str, now_s: float) -> None:
        """One more, after `wait_s` has said 0."""
        self._of(client, now_s).take()
        together = self._together(now_s)
        together.wait_s(now_s)
        together.take()

    def succeeded(self, client: str, now_s: float) -> None:
        """Somebody at this client has shown the right thing."""
        self._proven[client] = now_s
        self._proven.move_to_end(client)
        while len(self._proven) > CLIENTS_MAX:
            self._proven.popitem(last=False)

    def _of(self, client: str, now_s: float) -> _Bucket:
        bucket = self._clients.get(client)
        if bucket is None:
            bucket = self._clients[client] = _Bucket(CLIENT_FAILURES_MAX, CLIENT_REFILL_S, now_s)
            while len(self._clients) > CLIENTS_MAX:
                self._clients.popitem(last=False)
        self._clients.move_to_end(client)
        return bucket

    def _together(self, now_s: float) -> _Bucket:
        if self._all is None:
            self._all = _Bucket(FAILURES_MAX, REFILL_S, now_s)
        return self._all


def client_of(remote: str | None) -> str:
    """Who counts as one client."""
    try:
        address = ipaddress.ip_address((remote or "").partition("%")[0])
    except ValueError:
        return remote or ""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
