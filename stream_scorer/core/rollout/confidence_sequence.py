"""Bounds around a mean that hold at all looks, for what is no mean of bounded scores: differences of rates.

Invariant: narrowest at some thousand outcomes, and never narrower than what one look would allow.

The asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2024), one-sided.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TUNED_FOR_OUTCOMES: Final = 4_000


def half_width(outcomes: Floats, variance: Floats, alpha: float) -> Floats:
    """How far the mean of so many outcomes may be off to one side; infinite without outcomes. `variance`: of one
    outcome's influence on the mean. All of one shape."""
    budget = -2 * np.log(2 * alpha)
    rho2 = (budget + np.log(budget) + 1) / TUNED_FOR_OUTCOMES
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = outcomes * rho2 + 1
        width = np.sqrt(variance * 2 * scale / (outcomes**2 * rho2) * np.log1p(np.sqrt(scale) / (2 * alpha)))
    return np.where(outcomes > 0, width, np.inf)
