"""Evidence that a mean is above 0, right however often one looks at it.

Invariant: it depends on counts alone, not on the order of arrival, on who counted, or on the number of looks.

A bet of λ on each score multiplies a capital by 1 + λx; while the mean is not above 0 that capital does not grow on
average, so it exceeds 1/α with a probability of at most α, ever (Ville). A fixed mixture of bets, because bets that
adapt to what came before depend on the order in which it came.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

BETS: Final = 24
BET_MIN, BET_MAX = 0.004, 0.9  # as a share of the largest bet that can't ruin


def log_evidence(counts: Counts, scores: Floats) -> Floats:
    """The logarithm of the capital; the mean is shown to be above 0 at level α once it is at least ln(1/α).

    `scores`: the values that one outcome can take, shape (k,) or (…, k), at least one below 0. `counts`: how often each
    came, shape (…, k). Gives shape (…).
    """
    ruinous = -scores.min(axis=-1, keepdims=True)
    if np.any(ruinous <= 0):
        raise ValueError("without a score below 0 there is nothing to bet against")
    bets = np.geomspace(BET_MIN, BET_MAX, BETS) / ruinous
    logs = np.log1p(bets[..., :, None] * scores[..., None, :])
    # one matrix product for all where the bets are the same for all
    capitals = counts @ logs.T if scores.ndim == 1 else (logs @ counts[..., :, None])[..., 0]
    highest = capitals.max(axis=-1, keepdims=True)
    summed = np.log(np.exp(capitals - highest).sum(axis=-1)) + highest[..., 0]
    return np.asarray(summed - np.log(BETS))
