"""The rule: what outcomes show of a candidate beside its champion.

Invariant: an equal, worse, merely differently cut or less fair candidate is promoted in at most 2 % of cases, however
often one looks; `make verdicts` shows it over a thousand seeds.

Labels exist only where a search happened: a verdict speaks of such stops and of no others.
"""

from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.contract.columns import COLUMNS
from stream_scorer.core.records.model_control import AcceptanceTest, Contrast
from stream_scorer.core.rollout.confidence_sequence import half_width
from stream_scorer.core.rollout.e_process import log_evidence
from stream_scorer.core.rollout.evidence import CANDIDATE_SAYS, CHAMPION_SAYS, OUTCOME, EvidenceCounts

Booleans = NDArray[np.bool_]
Floats = NDArray[np.float64]
Decision = Literal["undecided", "promote", "withdraw", "suspend"]

GROUP_POSITIVES_MIN: Final = 100
RECENT_OUTCOMES: Final = 2_000
# Guards look at sums that are normal only by their number.
GUARD_OUTCOMES_MIN: Final = 200
_GROUP_AXES: Final = {column.name: axis - 4 for axis, column in enumerate(COLUMNS[:3])}


class Condition(NamedTuple):
    """One demand. `value`: what was found. `progress`: the evidence as a share of what is needed; 1 and more is shown,
    None where evidence is no such number. `judged`: there are enough outcomes to say anything. All of shape (…)."""

    name: str
    value: Floats
    shown: Booleans
    opposed: Booleans
    judged: Booleans
    progress: Floats | None = None


class Verdict(NamedTuple):
    """What follows from the evidence; arrays of shape (…). Of those that hold, `suspend` comes before `withdraw`,
    `withdraw` before `promote`."""

    conditions: tuple[Condition, ...]
    promote: Booleans
    withdraw: Booleans
    futile: Booleans
    miscalibrated: Booleans
    uneven_coverage: Booleans

    @property
    def suspend(self) -> Booleans:
        return self.miscalibrated | self.uneven_coverage

    def decision(self) -> Decision:
        """Of one pair's verdict, what is to be done."""
        if self.suspend:
            return "suspend"
        if self.withdraw:
            return "withdraw"
        return "promote" if self.promote else "undecided"


def combine(evidence: EvidenceCounts, threshold: float, test: AcceptanceTest, candidates: int = 1) -> Verdict:
    """What the evidence shows. `threshold`: the champion's. `candidates`: how many are judged at once, for they share
    the errors."""
    alpha = test.alpha / candidates
    # α is split: half for harm to the gain, half for that to success rate, recall, and each contrast both ways
    other_alpha = alpha / (2 * (2 + 2 * len(test.contrasts)))
    cells, m, c, y = evidence.cells, CHAMPION_SAYS, CANDIDATE_SAYS, OUTCOME
    gain = (c - m) * (y - threshold)
    conditions = (
        _by_bets("gain", cells, gain, alpha, alpha / 2),
        _by_bets("success_rate", cells, c * (y - test.floor + test.success_rate_margin), alpha, other_alpha),
        _by_bets("recall", cells, y * (c - m + test.recall_margin), alpha, other_alpha),
        *(
            _gap(evidence, contrast, sign, test.gap_max, alpha, other_alpha)
            for contrast in test.contrasts
            for sign in (1, -1)
        ),
        _recent(evidence.recent, gain),
    )
    futile = log_evidence(cells, test.gain_min - gain) >= np.log(1 / alpha)
    return Verdict(
        conditions,
        promote=np.logical_and.reduce([condition.shown for condition in conditions]),
        withdraw=np.logical_or.reduce([condition.opposed for condition in conditions]) | futile,
        futile=futile,
        miscalibrated=_is_miscalibrated(evidence, test.calibration_margin, test.alpha),
        uneven_coverage=_is_covered_unevenly(evidence, test.coverage_margin, test.alpha),
    )


def _by_bets(name: str, cells: NDArray[np.int64], scores: Floats, alpha: float, opposed_alpha: float) -> Condition:
    """That the mean score is above 0; `value` is that mean."""
    outcomes = cells.sum(axis=-1)
    evidence = log_evidence(cells, scores)
    return Condition(
        name,
        value=cells @ scores / np.maximum(outcomes, 1),
        shown=evidence >= np.log(1 / alpha),
        opposed=log_evidence(cells, -scores) >= np.log(1 / opposed_alpha),
        judged=outcomes > 0,
        progress=evidence / np.log(1 / alpha),
    )


def _recent(recent: NDArray[np.int64], gain: Floats) -> Condition:
    """That the last outcomes do not speak against it. Nothing is shown by the opposite: it is a brake, not a proof."""
    outcomes = recent.sum(axis=-1)
    mean = recent @ gain / np.maximum(outcomes, 1)
    return Condition("recent", mean, mean >= 0, np.zeros(mean.shape, dtype=np.bool_), outcomes > 0)


class GapFigures(NamedTuple):
    """A gap of discovery rates between two groups, minuend less subtrahend: the candidate's, and by how much it exceeds
    the champion's; with the variances of one outcome's influence on each. All of shape (…)."""

    own: Floats
    own_variance: Floats
    beyond: Floats
    beyond_variance: Floats
    judged: Booleans


def gap_figures(evidence: EvidenceCounts, contrast: Contrast) -> GapFigures:
    """What is known of a contrast.

    The variance is that of the influence which one outcome has on the difference of rates; champion and candidate speak
    of the same stops, so what they have in common falls out of it.
    """
    outcomes = evidence.cells.sum(axis=-1).astype(np.float64)
    own, beyond = np.zeros(outcomes.shape), np.zeros(outcomes.shape)
    own_variance, beyond_variance = np.zeros(outcomes.shape), np.zeros(outcomes.shape)
    judged = np.ones(outcomes.shape, dtype=np.bool_)
    for group, weight in ((contrast.minuend, 1), (contrast.subtrahend, -1)):
        cells = _group_cells(evidence, contrast.column, group)
        candidate, candidate_influence, candidate_positives = _rate(cells, CANDIDATE_SAYS, outcomes)
        champion, champion_influence, champion_positives = _rate(cells, CHAMPION_SAYS, outcomes)
        own += weight * candidate
        beyond += weight * (candidate - champion)
        count = np.maximum(outcomes, 1)
        own_variance += (cells * candidate_influence**2).sum(axis=-1) / count
        beyond_variance += (cells * (candidate_influence - champion_influence) ** 2).sum(axis=-1) / count
        judged &= (candidate_positives >= GROUP_POSITIVES_MIN) & (champion_positives >= GROUP_POSITIVES_MIN)
    return GapFigures(own, own_variance, beyond, beyond_variance, judged)


def _gap(
    evidence: EvidenceCounts, contrast: Contrast, sign: int, gap_max: float, alpha: float, opposed_alpha: float
) -> Condition:
    """That the candidate's gap between two groups is small, or not much above its champion's; `value` is its gap."""
    outcomes = evidence.cells.sum(axis=-1).astype(np.float64)
    own, own_variance, beyond, beyond_variance, judged = gap_figures(evidence, contrast)
    own, beyond = sign * own, sign * beyond

    def is_below(value: Floats, variance: Floats) -> Booleans:
        return np.asarray(value + half_width(outcomes, variance, alpha / 2) <= gap_max)

    def is_above(value: Floats, variance: Floats) -> Booleans:
        return np.asarray(value - half_width(outcomes, variance, opposed_alpha) > gap_max)

    return Condition(
        gap_name(contrast, sign),
        value=own,
        shown=judged & (is_below(own, own_variance) | is_below(beyond, beyond_variance)),
        opposed=judged & is_above(own, own_variance) & is_above(beyond, beyond_variance),
        judged=judged,
    )


def gap_name(contrast: Contrast, sign: int) -> str:
    """The name of a gap's condition, `gap_W-B`; a contrast has one each way."""
    return f"gap_{contrast}" if sign > 0 else f"gap_{contrast.subtrahend}-{contrast.minuend}"


def _group_cells(evidence: EvidenceCounts, column: str, group: str) -> NDArray[np.int64]:
    """The cells of one group, shape (…, 8)."""
    axis = _GROUP_AXES[column]
    domain = next(line.domain for line in COLUMNS if line.name == column)
    of_group = np.take(evidence.outcomes, domain.index(group), axis=axis)
    return np.asarray(of_group.sum(axis=(-3, -2)))


def _rate(
    cells: NDArray[np.int64], says: NDArray[np.intp], outcomes: Floats
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """A model's discovery rate within a group, the influence of one outcome of each cell on it, and its positives."""
    positives = cells @ says
    rate = cells @ (says * OUTCOME) / np.maximum(positives, 1)
    share = positives / np.maximum(outcomes, 1)
    influence = says * (OUTCOME - rate[..., None]) / np.maximum(share, 1e-12)[..., None]
    return rate, np.where(positives[..., None] > 0, influence, 0.0), positives


def _is_miscalibrated(evidence: EvidenceCounts, margin: float, alpha: float) -> Booleans:
    """Whether the labelled stops are others than those that the champion was calibrated on."""
    outcomes = evidence.cells.sum(axis=-1).astype(np.float64)
    mean = evidence.residual_sum / np.maximum(outcomes, 1)
    variance = np.maximum(evidence.residual_squares / np.maximum(outcomes, 1) - mean**2, 0)
    shown = np.abs(mean) - half_width(outcomes, variance, alpha / 2) > margin
    return np.asarray(shown & (outcomes >= GUARD_OUTCOMES_MIN))


def _is_covered_unevenly(evidence: EvidenceCounts, margin: float, alpha: float) -> Booleans:
    """Whether what the models said decides who gets an outcome."""
    joined = evidence.cells.reshape(*evidence.cells.shape[:-1], 4, 2).sum(axis=-1)
    scored = evidence.scored.reshape(*evidence.scored.shape[:-2], 4).astype(np.float64)
    share = joined / np.maximum(scored, 1)
    width = half_width(scored, np.asarray(share * (1 - share)), alpha / 8)
    judged = scored >= GUARD_OUTCOMES_MIN
    lowest = np.where(judged, share + width, np.inf).min(axis=-1)
    highest = np.where(judged, share - width, -np.inf).max(axis=-1)
    return np.asarray(highest - lowest > margin)
