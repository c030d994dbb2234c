"""Candidates side by side, trained on the same rows, and which of them is taken.

Invariant: the choice is made on out-of-fold probabilities; the held-out rows measure, and choose nothing.
"""

from collections.abc import Mapping
from math import sqrt
from typing import Final

from stream_scorer.models.training.fit import Trained

PLAIN: Final = "logistic"
# What a costlier model must be better by, in standard errors of the difference
STANDARD_ERRORS: Final = 2.0


def choose(candidates: Mapping[str, Trained]) -> str:
    """The candidate with the lowest out-of-fold Brier score; the additive one where no other is better beyond chance,
    because it is exact, small and quick. `candidates`: by name, `PLAIN` among them, of the same rows."""
    chosen = PLAIN
    for name in sorted(candidates, key=lambda each: float(candidates[each].errors.mean())):
        gain = candidates[PLAIN].errors - candidates[name].errors
        if name != PLAIN and gain.mean() > STANDARD_ERRORS * float(gain.std(ddof=1)) / sqrt(len(gain)):
            chosen = name
            break
    return chosen
