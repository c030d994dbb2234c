"""What is known of a champion and a candidate: counts of outcomes that both spoke of.

Invariant: evidence adds up over lanes in any order, and an outcome counts once, by its first revision.
"""

from collections import deque
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.quality.counts import GROUP_SIZES
from stream_scorer.core.records.model_evidence import CELLS, ModelEvidence

CHAMPION_SAYS, CANDIDATE_SAYS, OUTCOME = np.unravel_index(np.arange(CELLS), (2, 2, 2))
"""Of each of the eight cells, what champion and candidate say and what happened, as 0 or 1."""


def cell_of(champion: bool, candidate: bool, outcome: bool) -> int:
    """The number of a cell."""
    return champion * 4 + candidate * 2 + outcome


class EvidenceCounts(NamedTuple):
    """Cumulative counts; any number of leading axes (…) stands for as many pairs of models.

    `outcomes`: shape (…, race, sex, ethnicity, 8), the last axis as `cell_of`. `recent`: shape (…, 8), the same of the
    last outcomes only. `scored`: shape (…, 2, 2), stops that both spoke of, with an outcome or without, by champion
    says, candidate says. `residual_sum`, `residual_squares`: shape (…), sums of outcome less champion's probability
    and of its square.
    """

    outcomes: NDArray[np.int64]
    recent: NDArray[np.int64]
    scored: NDArray[np.int64]
    residual_sum: NDArray[np.float64]
    residual_squares: NDArray[np.float64]

    @property
    def cells(self) -> NDArray[np.int64]:
        """All groups together, shape (…, 8)."""
        return np.asarray(self.outcomes.sum(axis=(-4, -3, -2)))


def no_evidence() -> EvidenceCounts:
    return EvidenceCounts(
        np.zeros((*GROUP_SIZES, CELLS), dtype=np.int64),
        np.zeros(CELLS, dtype=np.int64),
        np.zeros((2, 2), dtype=np.int64),
        np.zeros(()),
        np.zeros(()),
    )


def evidence_of(record: ModelEvidence) -> EvidenceCounts:
    """What an evidence record has counted."""
    return EvidenceCounts(
        np.array(record.outcomes, dtype=np.int64).reshape(*GROUP_SIZES, CELLS),
        RecentCells(max(1, len(record.recent)), record.recent).counts(),
        np.array(record.scored, dtype=np.int64).reshape(2, 2),
        np.array(record.residual_sum),
        np.array(record.residual_squares),
    )


def last_revisions_of(record: ModelEvidence) -> EvidenceCounts:
    """The same with outcomes as their last revisions tell them; all else is of first ones."""
    first = evidence_of(record)
    if record.corrections is msgspec.UNSET:
        return first
    corrections = np.array(record.corrections, dtype=np.int64).reshape(first.outcomes.shape)
    # a first revision that was lost in a crash can't be taken back
    return first._replace(outcomes=np.maximum(first.outcomes + corrections, 0))


def total_evidence(lanes: list[EvidenceCounts]) -> EvidenceCounts:
    """The lanes' evidence as one."""
    pairs = zip(*([no_evidence(), *lanes]), strict=True)
    return EvidenceCounts(*(np.sum(np.stack(arrays), axis=0) for arrays in pairs))


class RecentCells:
    """The cells of a lane's last outcomes, oldest first; written as a text of digits, so that a new owner reads on."""

    def __init__(self, outcomes_max: int, text: str = "") -> None:
        self._cells = deque((int(digit) for digit in text), maxlen=outcomes_max)

    def add(self, cell: int) -> None:
        self._cells.append(cell)

    def counts(self) -> NDArray[np.int64]:
        """Shape (8,)."""
        return np.bincount(np.fromiter(self._cells, dtype=np.int64, count=len(self._cells)), minlength=CELLS)

    def __str__(self) -> str:
        return "".join(map(str, self._cells))
