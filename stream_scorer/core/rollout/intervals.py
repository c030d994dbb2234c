"""How far the figures behind each condition may be from what was found: bounds that hold at all looks.

Invariant: a condition that the rule calls shown has its bound on the right side here, and the other way round.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.records.model_control import AcceptanceTest
from stream_scorer.core.rollout.confidence_sequence import half_width
from stream_scorer.core.rollout.e_process import log_evidence
from stream_scorer.core.rollout.evidence import CANDIDATE_SAYS, CHAMPION_SAYS, OUTCOME, EvidenceCounts
from stream_scorer.core.rollout.rule import gap_figures, gap_name

Floats = NDArray[np.float64]

# Halvings of what a bound may be: to a millionth
_STEPS: Final = 21
_EDGE: Final = 1e-6


class ConditionInterval(NamedTuple):
    """The figure of a condition. `value`: what was found; `low`, `high`: its bounds; NaN where nothing is known. All of
    shape (…). `bound`: on which side it must be shown to lie; `at_least`: at or above it, else at or below it."""

    name: str
    value: Floats
    low: Floats
    high: Floats
    bound: float
    at_least: bool


class _Ratio(NamedTuple):
    """A figure that is the sum of `parts` over the outcomes by that of `of`, each by cell."""

    name: str
    parts: Floats
    of: Floats
    bound: float


def intervals(
    evidence: EvidenceCounts, threshold: float, test: AcceptanceTest, candidates: int = 1
) -> tuple[ConditionInterval, ...]:
    """Of every condition of the rule but the last look at recent outcomes. `threshold`: the champion's."""
    alpha = test.alpha / candidates
    m, c, y = (says.astype(np.float64) for says in (CHAMPION_SAYS, CANDIDATE_SAYS, OUTCOME))
    ratios = (
        _Ratio("gain", (c - m) * (y - threshold), np.ones(len(y)), 0.0),
        _Ratio("success_rate", c * y, c, test.floor - test.success_rate_margin),
        _Ratio("recall", y * (c - m), y, -test.recall_margin),
    )
    found = [_of_ratio(evidence.cells, ratio, alpha) for ratio in ratios]
    outcomes = evidence.cells.sum(axis=-1).astype(np.float64)
    for contrast in test.contrasts:
        gap = gap_figures(evidence, contrast)
        width = half_width(outcomes, gap.own_variance, alpha / 2)
        for sign in (1, -1):
            value = np.where(gap.judged, sign * gap.own, np.nan)
            found.append(
                ConditionInterval(gap_name(contrast, sign), value, value - width, value + width, test.gap_max, False)
            )
    return tuple(found)


def _of_ratio(cells: NDArray[np.int64], ratio: _Ratio, alpha: float) -> ConditionInterval:
    counted = cells @ ratio.of
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.where(counted > 0, cells @ ratio.parts / counted, np.nan)
    low = _bound(cells, ratio.parts, ratio.of, value, alpha)
    high = -_bound(cells, -ratio.parts, ratio.of, -value, alpha)
    return ConditionInterval(ratio.name, value, low, high, ratio.bound, True)


def _bound(cells: NDArray[np.int64], parts: Floats, of: Floats, value: Floats, alpha: float) -> Floats:
    """The highest figure that the ratio is shown to lie above."""
    # below what any cell could give there is nothing to bet against
    lowest = float((parts[of > 0] / of[of > 0]).min()) + _EDGE
    low = np.full(value.shape, lowest)
    high = np.maximum(np.nan_to_num(value, nan=lowest), lowest)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        shown = log_evidence(cells, parts - middle[..., None] * of) >= np.log(1 / alpha)
        low, high = np.where(shown, middle, low), np.where(shown, high, middle)
    return np.where(np.isnan(value), np.nan, low)
