"""Counts of what both models said and what happened."""

from itertools import permutations

import numpy as np
import pytest

from stream_scorer.core.rollout.evidence import (
    CANDIDATE_SAYS,
    CHAMPION_SAYS,
    OUTCOME,
    EvidenceCounts,
    RecentCells,
    cell_of,
    no_evidence,
    total_evidence,
)


def some_evidence(seed: int) -> EvidenceCounts:
    random = np.random.default_rng(seed)
    return EvidenceCounts._make(random.integers(0, 100, array.shape).astype(array.dtype) for array in no_evidence())


def test_a_cell_says_what_both_said_and_what_happened() -> None:
    for champion, candidate, outcome in np.ndindex(2, 2, 2):
        cell = cell_of(bool(champion), bool(candidate), bool(outcome))
        assert (CHAMPION_SAYS[cell], CANDIDATE_SAYS[cell], OUTCOME[cell]) == (champion, candidate, outcome)


def test_lanes_add_up_in_any_order() -> None:
    lanes = [some_evidence(seed) for seed in range(3)]
    totals = [total_evidence(list(order)) for order in permutations(lanes)]
    assert all(np.array_equal(one, other) for total in totals for one, other in zip(totals[0], total, strict=True))
    assert totals[0].cells.sum() == sum(lane.outcomes.sum() for lane in lanes)


def test_no_lanes_are_no_evidence() -> None:
    assert total_evidence([]).cells.tolist() == [0] * 8


@pytest.mark.parametrize("read_again", [False, True], ids=["one-owner", "a-new-owner-at-every-outcome"])
def test_recent_cells_are_those_of_the_last_outcomes(read_again: bool) -> None:
    recent = RecentCells(5)
    for cell in (7, 7, 0, 1, 2, 3, 3):
        recent.add(cell)
        if read_again:
            recent = RecentCells(5, str(recent))
    assert str(recent) == "01233"
    assert recent.counts().tolist() == [1, 1, 1, 2, 0, 0, 0, 0]
