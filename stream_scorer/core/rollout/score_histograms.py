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


class ScoreHistograms(NamedTuple):
    """`scores`: stops, shape `SCORES_SHAPE`. `calibration`: joined outcomes, shape `CALIBRATION_SHAPE`. Each stop
    stands in one group of each of the three columns."""

    scores: Counts
    calibration: Counts

    def __add__(self, other: object) -> "ScoreHistograms":
        if not isinstance(other, ScoreHistograms):
            return NotImplemented
        return ScoreHistograms(self.scores + other.scores, self.calibration + other.calibration)

    def add_scored(self, codes: Codes, champion: Probabilities, candidate: Probabilities) -> None:
        """Count stops that both spoke of; all of shape (n,)."""
        for model, probabilities in enumerate((champion, candidate)):
            self.scores[model] += _by_single_groups(codes, probabilities)

    def add_outcomes(self, codes: Codes, champion: Probabilities, candidate: Probabilities, actual: Decisions) -> None:
        """Count joined outcomes; all of shape (n,)."""
        for model, probabilities in enumerate((champion, candidate)):
            self.calibration[model, ..., 0] += _by_single_groups(codes, probabilities)
            self.calibration[model, ..., 1] += _by_single_groups(codes[actual], probabilities[actual])


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


def _by_single_groups(codes: Codes, probabilities: Probabilities) -> Counts:
    """How many there are in each group of each column and each tenth, shape (groups, tenths)."""
    cells = codes // _GROUP_STRIDE * PROBABILITY_BUCKETS + probability_buckets(probabilities)
    cube = np.bincount(cells, minlength=GROUPS * PROBABILITY_BUCKETS).reshape(*GROUP_SIZES, PROBABILITY_BUCKETS)
    return np.concatenate([cube.sum(axis=tuple({0, 1, 2} - {axis})) for axis in range(3)])
