"""Bounds around a share that hold however often one looks, for alarms that look every hour.

Invariant: of all the looks at a share that is as it should be, fewer than one in a year's worth goes wrong on average.

A 95 % interval is right at one look; looked at every hour it raises a false alarm sooner or later. These bounds come
from a bet against the share: a capital that on average does not grow while the share is what it is said to be (Robbins'
normal mixture; an outcome is 0 or 1, so its variance is at most 1/4). With a new bet begun at every look and the sum of
all capitals in mind, the time until any of them exceeds 1/α is at least 1/α looks on average (an e-detector: Shin,
Ramdas and Rinaldo 2022). With one look an hour and 1/α = the hours of a year, that is a false alarm a year at most.
"""

from math import log
from typing import Final

LOOKS_A_YEAR: Final = 8_766
VARIANCE_MAX: Final = 0.25
# In units of outcomes × variance. Where the bounds are narrowest for what they cost: at some hundred outcomes.
MIXTURE: Final = 10.0


def log_capital(shares: int = 1) -> float:
    """The capital that raises an alarm, as its logarithm, where so many shares are watched at once and may raise one a
    year together."""
    return log(LOOKS_A_YEAR * shares)
