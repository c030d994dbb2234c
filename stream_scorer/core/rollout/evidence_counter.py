"""Counts a lane's outcomes for one champion and one candidate, as its evidence records say them.

Invariant: whole numbers depend on which outcomes were counted, not on their order or their batches; of `recent` alone
the order matters.
"""

from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.contract.observation_code import STRIDES
from stream_scorer.core.quality.counts import Codes, Decisions
from stream_scorer.core.records.model_control import ServedModel
from stream_scorer.core.records.model_evidence import CELLS, GAPS_MAX, GROUPS, RECENT_OUTCOMES, ModelEvidence
from stream_scorer.core.records.model_switch import FirstOffsets
from stream_scorer.core.rollout.evidence import RecentCells
from stream_scorer.core.rollout.score_histograms import ScoreCounter, histograms_of, no_histograms

Probabilities = NDArray[np.float64]

_GROUP_STRIDE: Final = STRIDES[2]  # race, sex and ethnicity are the most significant digits of an observation's code


class ModelPair(NamedTuple):
    """A champion and a candidate, each by its digest and its threshold: another threshold is another candidate."""

    champion: ServedModel
    candidate: ServedModel


class EvidenceCounter:
    """What one lane has counted for a pair of models. `first`: from which offsets on; `recorded`: the lane's last
    evidence record of the pair, whose counts and `first` it continues.

    Outcomes count only for stops that were counted as scored, so that their share says something: neither for those
    between the record that is continued and `first`, nor for those of a pause.
    """

    def __init__(self, pair: ModelPair, first: FirstOffsets, recorded: ModelEvidence | None = None) -> None:
        self.pair = pair
        self.first = first if recorded is None else recorded.first
        self._outcomes = np.zeros(GROUPS * CELLS, dtype=np.int64)
        self._corrections = np.zeros(GROUPS * CELLS, dtype=np.int64)
        self._scored = np.zeros(4, dtype=np.int64)
        self._recent = RecentCells(RECENT_OUTCOMES, "" if recorded is None else recorded.recent)
        self._residual_sum = self._residual_squares = 0.0
        self._scores = ScoreCounter(no_histograms() if recorded is None else histograms_of(recorded))
        self._gaps: list[tuple[int, int]] = [] if recorded is None else list(recorded.gaps or ())
        self._paused: FirstOffsets | None = None
        if recorded is not None:
            self._leave_out(recorded.next, first)
            self._outcomes += recorded.outcomes
            if recorded.corrections is not msgspec.UNSET:
                self._corrections += recorded.corrections
            self._scored += recorded.scored
            self._residual_sum, self._residual_squares = recorded.residual_sum, recorded.residual_squares

    def pause(self, at: FirstOffsets) -> None:
        """The pair does not serve from these offsets on."""
        self._paused = self._paused or at

    def resume(self, at: FirstOffsets) -> None:
        """The pair serves from these offsets on."""
        if self._paused is not None:
            self._leave_out(self._paused, at)
            self._paused = None

    def _leave_out(self, begin: FirstOffsets, end: FirstOffsets) -> None:
        if begin.observations < end.observations:
            self._gaps.append((begin.observations, end.observations))
        if len(self._gaps) > GAPS_MAX:  # the oldest two as one: hardly an outcome comes for what lies between
            self._gaps[:2] = [(self._gaps[0][0], self._gaps[1][1])]

    def covers(self, offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether outcomes of the observations at these offsets count; shape (n,)."""
        found = offsets >= self.first.observations
        for begin, end in self._gaps:
            found &= (offsets < begin) | (offsets >= end)
        return found

    def count_outcomes(
        self, codes: Codes, champion: Probabilities, candidate: Probabilities, actual: Decisions
    ) -> None:
        """Count joined outcomes of first revision, in their order: what both models say of each observation code, and
        what happened. All of shape (n,)."""
        says = self._says(champion, candidate)
        cells = says * 2 + actual
        self._outcomes += np.bincount(codes // _GROUP_STRIDE * CELLS + cells, minlength=GROUPS * CELLS)
        for cell in cells[-RECENT_OUTCOMES:].tolist():
            self._recent.add(cell)
        self._scores.add_outcomes(codes, champion, candidate, actual)
        residuals = actual - champion
        self._residual_sum += float(residuals.sum())
        self._residual_squares += float(residuals @ residuals)

    def count_corrections(
        self, codes: Codes, champion: Probabilities, candidate: Probabilities, actual: Decisions
    ) -> None:
        """Note outcomes that contradict one that was counted, as they are now. All of shape (n,)."""
        cells = codes // _GROUP_STRIDE * CELLS + self._says(champion, candidate) * 2
        self._corrections += np.bincount(cells + actual, minlength=GROUPS * CELLS)
        self._corrections -= np.bincount(cells + ~actual, minlength=GROUPS * CELLS)

    def count_scored(self, codes: Codes, champion: Probabilities, candidate: Probabilities) -> None:
        """Count stops that both models spoke of, whether an outcome comes or not. All of shape (n,)."""
        self._scores.add_scored(codes, champion, candidate)
        self._scored += np.bincount(self._says(champion, candidate), minlength=4)

    def record(self, partition: int, next_: FirstOffsets, worker: str, at: str) -> ModelEvidence:
        """All that was counted, as a record. `next_`: the offsets behind what was counted; `at`: RFC 3339 in UTC."""
        histograms = self._scores.histograms()
        return ModelEvidence(
            partition=partition,
            champion=self.pair.champion,
            candidate=self.pair.candidate,
            first=self.first,
            next=self._paused or next_,
            outcomes=tuple(self._outcomes.tolist()),
            recent=str(self._recent),
            scored=tuple(self._scored.tolist()),
            residual_sum=self._residual_sum,
            residual_squares=self._residual_squares,
            worker=worker,
            at=at,
            scores=tuple(histograms.scores.ravel().tolist()),
            calibration=tuple(histograms.calibration.ravel().tolist()),
            gaps=tuple(self._gaps) or msgspec.UNSET,
            corrections=tuple(self._corrections.tolist()) if self._corrections.any() else msgspec.UNSET,
        )

    def _says(self, champion: Probabilities, candidate: Probabilities) -> NDArray[np.int64]:
        """Champion says · 2 + candidate says."""
        says = (champion >= self.pair.champion.threshold) * 2 + (candidate >= self.pair.candidate.threshold)
        return np.asarray(says, dtype=np.int64)


def pair_of(champion: ServedModel, candidate: ServedModel) -> ModelPair:
    """The pair, without what a canary's record says beyond its model."""
    return ModelPair(_plain(champion), _plain(candidate))


def _plain(model: ServedModel) -> ServedModel:
    return ServedModel(name=model.name, digest=model.digest, threshold=model.threshold)
