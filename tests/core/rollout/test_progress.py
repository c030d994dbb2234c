"""How far evidence is: bounds that agree with the rule, and outcomes that are still missing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_scorer.core.quality.counts import GROUP_SIZES, GROUPS
from stream_scorer.core.records.model_control import AcceptanceTest
from stream_scorer.core.records.model_evidence import CELLS
from stream_scorer.core.rollout.evidence import EvidenceCounts, cell_of, no_evidence
from stream_scorer.core.rollout.intervals import intervals
from stream_scorer.core.rollout.progress import progress_of
from stream_scorer.core.rollout.rule import combine

TEST = AcceptanceTest()
THRESHOLD = 0.4


def counted(cells: list[int]) -> EvidenceCounts:
    """Outcomes of each cell, the same in all groups."""
    outcomes = np.broadcast_to(np.array(cells, dtype=np.int64), (*GROUP_SIZES, CELLS)).copy()
    recent = np.array(cells, dtype=np.int64)
    scored = outcomes.sum(axis=(0, 1, 2)).reshape(2, 2, 2).sum(axis=-1)
    return EvidenceCounts(outcomes, recent, scored, np.zeros(()), np.array(float(outcomes.sum()) * 0.2))


def a_better_candidate(times: int = 1) -> EvidenceCounts:
    """It finds more, and is wrong less often."""
    cells = [0] * CELLS
    for champion, candidate, outcome, count in (
        (False, False, False, 20),
        (False, False, True, 2),
        (False, True, True, 6),
        (False, True, False, 2),
        (True, False, False, 5),
        (True, False, True, 1),
        (True, True, True, 9),
        (True, True, False, 7),
    ):
        cells[cell_of(champion, candidate, outcome)] = count * times
    return counted(cells)


def test_without_an_outcome_nothing_is_known_and_nothing_foreseen() -> None:
    found = progress_of(no_evidence(), THRESHOLD, TEST)
    assert (found.outcomes, found.decision, found.expected_outcomes) == (0, "undecided", None)
    assert {(each.value, each.expected_outcomes) for each in found.conditions if each.name != "recent"} == {
        (None, None)
    }


def test_what_is_foreseen_comes_true() -> None:
    early = progress_of(a_better_candidate(), THRESHOLD, TEST)
    assert early.decision == "undecided"
    assert early.expected_outcomes is not None
    assert early.expected_outcomes > 0
    times = 1 + early.expected_outcomes / early.outcomes
    later = a_better_candidate(int(np.ceil(times)))
    assert progress_of(later, THRESHOLD, TEST).expected_outcomes == 0
    assert combine(later, THRESHOLD, TEST).promote


def test_a_worse_candidate_is_in_no_sight_of_promotion() -> None:
    better = a_better_candidate()
    # champion and candidate in each other's place
    swapped = better._replace(
        outcomes=better.outcomes.reshape(*GROUP_SIZES, 2, 2, 2).swapaxes(-3, -2).reshape(*GROUP_SIZES, CELLS),
        recent=better.recent.reshape(2, 2, 2).swapaxes(0, 1).ravel(),
        scored=better.scored.T,
    )
    found = progress_of(swapped, THRESHOLD, TEST)
    gain = next(each for each in found.conditions if each.name == "gain")
    assert (gain.shown, gain.expected_outcomes, found.expected_outcomes) == (False, None, None)
    assert gain.value is not None
    assert gain.value < 0


def test_figures_are_those_that_people_know() -> None:
    found = {each.name: each for each in progress_of(a_better_candidate(10), THRESHOLD, TEST).conditions}
    assert found["success_rate"].value == pytest.approx((6 + 9) / (6 + 2 + 9 + 7))
    assert found["success_rate"].bound == pytest.approx(0.48)
    assert found["recall"].value == pytest.approx((6 - 1) / (2 + 6 + 1 + 9))
    assert found["recall"].bound == -0.03
    assert found["gain"].value == pytest.approx((6 * 0.6 - 2 * 0.4 + 5 * 0.4 - 1 * 0.6) / 52)
    assert (found["gap_W-B"].bound, found["gap_W-B"].at_least) == (0.05, False)


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.integers(0, 40), min_size=CELLS, max_size=CELLS), st.floats(0.2, 0.8), st.integers(1, 3))
def test_bounds_are_on_the_side_that_the_rule_says(cells: list[int], threshold: float, candidates: int) -> None:
    evidence = counted(cells)
    shown = {each.name: bool(each.shown) for each in combine(evidence, threshold, TEST, candidates).conditions}
    for each in intervals(evidence, threshold, TEST, candidates):
        if np.isnan(each.value):
            continue
        assert each.low <= each.value + 1e-5
        assert each.value <= each.high + 1e-5
        if each.at_least:
            # to the millionth to which a bound is known
            assert bool(each.low >= each.bound) == shown[each.name] or abs(each.low - each.bound) < 1e-4
        elif each.high <= each.bound:
            assert shown[each.name]


def test_more_outcomes_of_the_same_kind_narrow_the_bounds() -> None:
    few, many = (intervals(a_better_candidate(times), THRESHOLD, TEST) for times in (1, 20))
    for before, after in zip(few, many, strict=True):
        assert after.value == pytest.approx(float(before.value), nan_ok=True)
        if not np.isnan(before.value):
            assert after.high - after.low < before.high - before.low


def test_many_pairs_are_looked_at_as_one() -> None:
    one, other = a_better_candidate(1), a_better_candidate(7)
    both = EvidenceCounts(*(np.stack(arrays) for arrays in zip(one, other, strict=True)))
    for together, first, second in zip(
        intervals(both, THRESHOLD, TEST),
        intervals(one, THRESHOLD, TEST),
        intervals(other, THRESHOLD, TEST),
        strict=True,
    ):
        assert together.low == pytest.approx([float(first.low), float(second.low)], nan_ok=True)
        assert together.high == pytest.approx([float(first.high), float(second.high)], nan_ok=True)
    assert both.cells.shape == (2, CELLS)
    assert one.cells.sum() == GROUPS * 52
