"""How the probabilities of a champion and a candidate lie, by group and tenth: of the stops that both spoke of, and of
outcomes, where they show how far each is calibrated.

Invariant: the rule never reads them; a record without them is as good as one with. As all counts of evidence they add
up over lanes.
"""

from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.contract.observation_code import STRIDES
from stream_scorer.core.quality.counts import GROUP_SIZES, GROUPS, Codes, Decisions
from stream_scorer.core.quality.drift_buckets import PROBABILITY_BUCKETS, probability_buckets
from stream_scorer.core.records.model_evidence import SINGLE_GROUPS, ModelEvidence

Counts = NDArray[np.int64]
Probabilities = NDArray[np.float64]

# Axes of both: champion and candidate; the groups of race, of sex, of ethnicity, one behind the other; the tenth
SCORES_SHAPE: Final = (2, SINGLE_GROUPS, PROBABILITY_BUCKETS)
CALIBRATION_SHAPE: Final = (*SCORES_SHAPE, 2)  # outcomes, and how many of them were true

_GROUP_STRIDE: Final = STRIDES[2]
_CELLS: Final = GROUPS * PROBABILITY_BUCKETS


class ScoreHistograms(NamedTuple):
    """`scores`: stops, shape `SCORES_SHAPE`. `calibration`: joined outcomes, shape `CALIBRATION_SHAPE`. Each stop
    stands in one group of each of the three columns."""

    scores: Counts
    calibration: Counts

    def plus(self, other: "ScoreHistograms") -> "ScoreHistograms":
        """Both together."""
        return ScoreHistograms(self.scores + other.scores, self.calibration + other.calibration)


def no_histograms() -> ScoreHistograms:
    return ScoreHistograms(np.zeros(SCORES_SHAPE, dtype=np.int64), np.zeros(CALIBRATION_SHAPE, dtype=np.int64))


def histograms_of(record: ModelEvidence) -> ScoreHistograms:
    """What an evidence record has counted; nothing where an earlier version wrote it."""
    found = no_histograms()
    if record.scores is not msgspec.UNSET:
        found.scores[...] = np.array(record.scores).reshape(SCORES_SHAPE)
    if record.calibration is not msgspec.UNSET:
        found.calibration[...] = np.array(record.calibration).reshape(CALIBRATION_SHAPE)
    return found


class ScoreCounter:
    """Counts on from `begun`. A batch costs one count for each model; groups are added up when somebody looks."""

    def __init__(self, begun: ScoreHistograms) -> None:
        self._begun = begun
        self._scored = np.zeros((2, _CELLS), dtype=np.int64)
        self._joined = np.zeros((2, 2, _CELLS), dtype=np.int64)  # outcomes, and those that were true

    def add_scored(self, codes: Codes, champion: Probabilities, candidate: Probabilities) -> None:
        """Count stops that both spoke of; all of shape (n,)."""
        for model, probabilities in enumerate((champion, candidate)):
            self._scored[model] += np.bincount(_cells(codes, probabilities), minlength=_CELLS)

    def add_outcomes(self, codes: Codes, champion: Probabilities, candidate: Probabilities, actual: Decisions) -> None:
        """Count joined outcomes; all of shape (n,)."""
        for model, probabilities in enumerate((champion, candidate)):
            cells = _cells(codes, probabilities)
            self._joined[model, 0] += np.bincount(cells, minlength=_CELLS)
            self._joined[model, 1] += np.bincount(cells[actual], minlength=_CELLS)

    def histograms(self) -> ScoreHistograms:
        """All that was counted."""
        calibration = np.moveaxis(_by_single_groups(self._joined), 1, -1)
        return self._begun.plus(ScoreHistograms(_by_single_groups(self._scored), calibration))


def _cells(codes: Codes, probabilities: Probabilities) -> NDArray[np.int64]:
    """Group of all three columns · tenths + tenth."""
    return np.asarray(codes // _GROUP_STRIDE * PROBABILITY_BUCKETS + probability_buckets(probabilities))


def _by_single_groups(counts: Counts) -> Counts:
    """Counts by cell, shape (…, cells), as counts by the groups of each column, shape (…, groups, tenths)."""
    cube = counts.reshape(*counts.shape[:-1], *GROUP_SIZES, PROBABILITY_BUCKETS)
    return np.concatenate([cube.sum(axis=tuple({-4, -3, -2} - {axis})) for axis in (-4, -3, -2)], axis=-2)
