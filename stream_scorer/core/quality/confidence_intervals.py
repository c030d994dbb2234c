"""Shares and differences of shares with the interval around them.

Invariant: an interval has 95 % confidence unless stated otherwise, and always contains the share.
"""

from math import sqrt
from typing import Final, NamedTuple

Z_95: Final = 1.959963984540054


class Interval(NamedTuple):
    """A share or a difference of shares with the 95 % interval around it."""

    value: float
    low: float
    high: float


def wilson(successes: int, trials: int, z: float = Z_95) -> Interval | None:
    """The share of successes with Wilson's score interval; None without a trial."""
    if trials == 0:
        return None
    share = successes / trials
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z * sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / (1 + z * z / trials)
    # at 0 and at 1 rounding may leave the interval a hair away from the share it must hold
    return Interval(share, min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half)))


def newcombe(one: Interval, other: Interval) -> Interval:
    """The difference of two independent shares with Newcombe's hybrid score interval, made of Wilson intervals."""
    difference = one.value - other.value
    low = difference - sqrt((one.value - one.low) ** 2 + (other.high - other.value) ** 2)
    high = difference + sqrt((one.high - one.value) ** 2 + (other.value - other.low) ** 2)
    return Interval(difference, low, high)
