"""How often a login may fail: a limit for each address, and where it is wanted one for all together.

Invariant: an address over a limit learns nothing, not even with the right token; what is proven already is asked
nothing here, so that guessing keeps nobody out who is in. No more than `KEPT_MAX` addresses and proofs are kept. Time
is an argument.
"""

import ipaddress
from collections import OrderedDict
from typing import Final, NamedTuple

KEPT_MAX: Final = 10_000
# From where somebody logged in that long ago, strangers' failures don't keep them out
PROVEN_S: Final = 24 * 3600.0


class FailureLimit(NamedTuple):
    """`failures_max` at once, then one in `refill_s` seconds."""

    failures_max: int
    refill_s: float


class _Bucket:
    """Failures that are still allowed."""

    __slots__ = ("_at_s", "_left", "_limit")

    def __init__(self, limit: FailureLimit, now_s: float) -> None:
        self._limit = limit
        self._left, self._at_s = float(limit.failures_max), now_s

    def wait_s(self, now_s: float) -> float:
        """For how long there is none; 0 where there is one."""
        most, refill_s = self._limit
        self._left = min(most, self._left + max(0.0, now_s - self._at_s) / refill_s)
        self._at_s = now_s
        return 0.0 if self._left >= 1 else (1 - self._left) * refill_s

    def take(self) -> None:
        self._left = max(0.0, self._left - 1)


class FailedLogins:
    """Counts failed logins by address, as `address_of` gives it. `together`: the limit for all addresses."""

    def __init__(self, each: FailureLimit, together: FailureLimit | None = None) -> None:
        self._each = each
        self._all = None if together is None else _Bucket(together, 0.0)
        self._addresses: OrderedDict[str, _Bucket] = OrderedDict()
        self._proven: OrderedDict[tuple[str, str], float] = OrderedDict()

    def wait_s(self, address: str, now_s: float) -> float:
        """How long this address has to wait before it may try; 0: not at all."""
        own = self._of(address, now_s).wait_s(now_s)
        if self._all is None or self.is_proven(address, now_s):
            return own
        return max(own, self._all.wait_s(now_s))

    def failed(self, address: str, now_s: float) -> None:
        """One more, after `wait_s` has said 0."""
        self._of(address, now_s).take()
        if self._all is not None:
            self._all.wait_s(now_s)
            self._all.take()

    def succeeded(self, address: str, now_s: float, name: str = "") -> None:
        """Somebody at this address has shown the right thing; `name`: whose it is, where each has their own."""
        self._proven[address, name] = now_s
        self._proven.move_to_end((address, name))
        while len(self._proven) > KEPT_MAX:
            self._proven.popitem(last=False)

    def is_proven(self, address: str, now_s: float, name: str = "") -> bool:
        """Whether that has happened within `PROVEN_S`."""
        return now_s - self._proven.get((address, name), -PROVEN_S) < PROVEN_S

    def _of(self, address: str, now_s: float) -> _Bucket:
        bucket = self._addresses.get(address)
        if bucket is None:
            bucket = self._addresses[address] = _Bucket(self._each, now_s)
            while len(self._addresses) > KEPT_MAX:
                self._addresses.popitem(last=False)
        self._addresses.move_to_end(address)
        return bucket


def address_of(remote: str | None) -> str:
    """What counts as one address: an IPv4 address, or the half of an IPv6 address that a provider gives away."""
    try:
        address = ipaddress.ip_address((remote or "").partition("%")[0])
    except ValueError:
        return remote or ""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
