"""How far the evidence for a candidate is: each condition with its figure, its bound, and the outcomes still missing.

Invariant: what is said of a condition here is what the rule decides by; how many outcomes are missing is a forecast,
and nothing is decided by it.
"""

import math
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.records.model_control import AcceptanceTest
from stream_scorer.core.rollout.evidence import EvidenceCounts
from stream_scorer.core.rollout.intervals import intervals
from stream_scorer.core.rollout.rule import Decision, combine

# Further ahead than this nobody plans; it is said as "not in sight"
FORECAST_FACTOR_MAX: Final = 64.0
_FACTORS: Final = np.geomspace(1.0, FORECAST_FACTOR_MAX, 97)


class ConditionProgress(msgspec.Struct, frozen=True, kw_only=True):
    """One demand. `value`: what was found, `low` and `high` its bounds at all looks; None where nothing is known.
    `bound`: where it must be shown to lie, at or above it with `at_least`, else at or below it. `expected_outcomes`:
    how many more it takes if they look like those that came; 0 where it is shown, None where that is not in sight."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    bound: float
    at_least: bool
    shown: bool
    opposed: bool
    judged: bool
    expected_outcomes: int | None


class CandidateProgress(msgspec.Struct, frozen=True, kw_only=True):
    """What the evidence says of one candidate, and what follows. `expected_outcomes`: until all conditions are shown,
    as far as can be foreseen."""

    outcomes: int
    scored: int
    decision: Decision
    futile: bool
    miscalibrated: bool
    uneven_coverage: bool
    conditions: tuple[ConditionProgress, ...]
    expected_outcomes: int | None


def progress_of(
    evidence: EvidenceCounts, threshold: float, test: AcceptanceTest, candidates: int = 1
) -> CandidateProgress:
    """Of one pair. `threshold`: the champion's; `candidates`: how many are judged at once."""
    verdict = combine(evidence, threshold, test, candidates)
    ahead = combine(_scaled(evidence), threshold, test, candidates)
    outcomes = int(evidence.cells.sum())
    bounds = {interval.name: interval for interval in intervals(evidence, threshold, test, candidates)}
    conditions = []
    for now, later in zip(verdict.conditions, ahead.conditions, strict=True):
        interval = bounds.get(now.name)
        judged = bool(now.judged)
        conditions.append(
            ConditionProgress(
                name=now.name,
                value=_known(float(now.value if interval is None else interval.value)) if judged else None,
                low=None if interval is None else _known(float(interval.low)),
                high=None if interval is None else _known(float(interval.high)),
                bound=0.0 if interval is None else interval.bound,
                at_least=interval is None or interval.at_least,
                shown=bool(now.shown),
                opposed=bool(now.opposed),
                judged=judged,
                expected_outcomes=0 if bool(now.shown) else _missing(later.shown, outcomes),
            )
        )
    expected = [condition.expected_outcomes for condition in conditions]
    known = [each for each in expected if each is not None]
    return CandidateProgress(
        outcomes=outcomes,
        scored=int(evidence.scored.sum()),
        decision=verdict.decision(),
        futile=bool(verdict.futile),
        miscalibrated=bool(verdict.miscalibrated),
        uneven_coverage=bool(verdict.uneven_coverage),
        conditions=tuple(conditions),
        expected_outcomes=max(known, default=0) if len(known) == len(expected) else None,
    )


def _scaled(evidence: EvidenceCounts) -> EvidenceCounts:
    """The evidence as it would be with more outcomes of the same kind, one for each factor on a leading axis; the last
    outcomes stay as they are."""

    def times(counts: NDArray[Any]) -> NDArray[np.float64]:
        return np.asarray(np.multiply.outer(_FACTORS, counts))

    return EvidenceCounts(
        np.rint(times(evidence.outcomes)).astype(np.int64),
        np.broadcast_to(evidence.recent, (len(_FACTORS), *evidence.recent.shape)),
        np.rint(times(evidence.scored)).astype(np.int64),
        times(evidence.residual_sum),
        times(evidence.residual_squares),
    )


def _missing(shown: NDArray[np.bool_], outcomes: int) -> int | None:
    first = np.flatnonzero(shown)
    return math.ceil((_FACTORS[first[0]] - 1) * outcomes) if len(first) and outcomes else None


def _known(figure: float) -> float | None:
    return figure if math.isfinite(figure) else None
