"""The rule's parts: bets, bounds, conditions, guards."""

from itertools import combinations
from math import exp, log

import numpy as np
import pytest

from stream_scorer.core.records.model_control import AcceptanceTest, Contrast
from stream_scorer.core.rollout.confidence_sequence import half_width
from stream_scorer.core.rollout.contrasts import GROUPS_OF, contrasts_of
from stream_scorer.core.rollout.e_process import log_evidence
from stream_scorer.core.rollout.evidence import EvidenceCounts, cell_of, no_evidence
from stream_scorer.core.rollout.rule import GROUP_POSITIVES_MIN, combine


def evidence_of(outcomes: np.ndarray, *, scored_per_outcome: int = 1) -> EvidenceCounts:
    """Evidence with these counts, everything recent, the champion calibrated."""
    cells = outcomes.sum(axis=(0, 1, 2))
    scored = cells.reshape(2, 2, 2).sum(axis=-1) * scored_per_outcome
    return no_evidence()._replace(outcomes=outcomes, recent=cells, scored=scored)


def better_everywhere(finds_missed: int = 400) -> np.ndarray:
    """In every group both find much, and the candidate finds what the champion passes over."""
    outcomes = no_evidence().outcomes
    outcomes[..., cell_of(True, True, True)] = 400
    outcomes[..., cell_of(True, True, False)] = 250
    outcomes[..., cell_of(False, False, False)] = 800
    outcomes[..., cell_of(False, True, True)] = finds_missed
    return outcomes


def test_the_capital_is_the_mean_of_all_bets_written_out() -> None:
    scores, counts = np.array([0.6, -0.4, 0.0]), np.array([31, 22, 50])
    bets = [0.004 * (0.9 / 0.004) ** (step / 23) / 0.4 for step in range(24)]
    capital = sum((1 + bet * 0.6) ** 31 * (1 - bet * 0.4) ** 22 for bet in bets) / 24
    assert exp(float(log_evidence(counts, scores))) == pytest.approx(capital)


def test_no_outcomes_are_no_evidence() -> None:
    assert log_evidence(np.zeros(2, dtype=np.int64), np.array([1.0, -1.0])) == pytest.approx(0)


def test_a_million_outcomes_do_not_overflow() -> None:
    assert np.isfinite(log_evidence(np.array([10**7, 0]), np.array([1.0, -1.0])))
    assert np.isfinite(log_evidence(np.array([0, 10**7]), np.array([1.0, -1.0])))


def test_scores_that_cannot_fall_below_0_are_refused() -> None:
    with pytest.raises(ValueError, match="below 0"):
        log_evidence(np.array([1]), np.array([0.5]))


def test_a_fair_coin_is_called_unfair_in_fewer_than_5_of_100_stories_however_often_one_looks() -> None:
    tosses = np.random.default_rng(3).random((1_000, 4_000)) < 0.5
    heads = tosses.cumsum(axis=1)[:, ::20]
    counts = np.stack([heads, np.arange(1, 4_001)[::20] - heads], axis=-1)
    shown = log_evidence(counts, np.array([1.0, -1.0])) >= log(20)
    assert shown.any(axis=1).mean() <= 0.05


def test_bounds_narrow_with_outcomes_and_are_infinite_without() -> None:
    widths = half_width(np.array([0.0, 100, 1_000, 10_000, 10**6]), np.full(5, 0.25), 0.025)
    assert widths[0] == np.inf
    assert (np.diff(widths) < 0).all()
    assert (widths[1:] > 1.96 * 0.5 / np.sqrt([100, 1_000, 10_000, 10**6])).all()


def test_a_better_and_fair_candidate_is_promoted() -> None:
    found = combine(evidence_of(better_everywhere()), 0.4, AcceptanceTest())
    assert {condition.name: bool(condition.shown) for condition in found.conditions if not condition.shown} == {}
    assert found.decision() == "promote"


def test_the_same_candidate_is_withdrawn_where_roles_are_swapped() -> None:
    outcomes = better_everywhere()
    swapped = outcomes.reshape(*outcomes.shape[:-1], 2, 2, 2).swapaxes(-3, -2).reshape(outcomes.shape)
    assert combine(evidence_of(swapped), 0.4, AcceptanceTest()).decision() == "withdraw"


def test_nothing_is_decided_without_outcomes() -> None:
    assert combine(no_evidence(), 0.4, AcceptanceTest()).decision() == "undecided"


def test_who_makes_no_difference_is_withdrawn_as_futile() -> None:
    found = combine(evidence_of(better_everywhere(finds_missed=0)), 0.4, AcceptanceTest())
    assert found.futile
    assert found.decision() == "withdraw"


def test_a_group_too_small_to_judge_keeps_a_candidate_from_being_promoted() -> None:
    outcomes = better_everywhere()
    outcomes[:, :, 0, :] = 0  # hardly any Hispanics
    outcomes[0, 0, 0, cell_of(True, True, True)] = GROUP_POSITIVES_MIN - 1
    found = combine(evidence_of(outcomes), 0.4, AcceptanceTest())
    assert {condition.name for condition in found.conditions if not condition.judged} == {"gap_H-N", "gap_N-H"}
    assert found.decision() == "undecided"


def test_what_is_not_among_the_contrasts_is_not_asked_for() -> None:
    outcomes = better_everywhere()
    outcomes[:, :, 0, :] = 0
    without_ethnicity = AcceptanceTest(contrasts=AcceptanceTest().contrasts[:2])
    assert combine(evidence_of(outcomes), 0.4, without_ethnicity).decision() == "promote"


def pairs_of_groups() -> tuple[Contrast, ...]:
    """Every contrast that there can be."""
    return contrasts_of(
        [f"{column}:{one}-{other}" for column, groups in GROUPS_OF.items() for one, other in combinations(groups, 2)]
    )


def test_every_contrast_has_conditions_of_its_own_names() -> None:
    test = AcceptanceTest(contrasts=pairs_of_groups())
    names = [condition.name for condition in combine(no_evidence(), 0.4, test).conditions]
    assert len(names) == len(set(names)) == 4 + 2 * len(pairs_of_groups())


def test_with_more_contrasts_each_harm_takes_more_to_show() -> None:
    lost = no_evidence().outcomes
    lost[0, 0, 0, cell_of(True, False, True)] = 1  # finds that the candidate passes over
    needed = [
        next(
            times
            for times in range(1, 100)
            if combine(evidence_of(lost * times), 0.4, AcceptanceTest(contrasts=contrasts)).conditions[2].opposed
        )
        for contrasts in (pairs_of_groups()[:1], pairs_of_groups())
    ]
    assert needed[0] < needed[1]


def test_a_candidate_that_is_unfair_where_its_champion_is_not_is_withdrawn() -> None:
    outcomes = better_everywhere()
    outcomes[1, ..., cell_of(False, True, True)] = 0
    outcomes[1, ..., cell_of(False, True, False)] = 500  # of Black drivers it finds half as much
    found = combine(evidence_of(outcomes), 0.4, AcceptanceTest())
    assert next(condition for condition in found.conditions if condition.name == "gap_W-B").opposed
    assert found.decision() == "withdraw"


def test_a_gap_that_the_champion_has_too_is_no_reason_against_a_candidate() -> None:
    outcomes = better_everywhere()
    outcomes[1, ..., cell_of(True, True, False)] = 600
    found = combine(evidence_of(outcomes), 0.4, AcceptanceTest())
    gap = next(condition for condition in found.conditions if condition.name == "gap_W-B")
    assert gap.value > 0.05
    assert gap.shown
    assert not gap.opposed


def test_a_gain_that_has_turned_lately_waits() -> None:
    lately = np.zeros(8, dtype=np.int64)
    lately[cell_of(False, True, False)] = 30
    assert (
        combine(evidence_of(better_everywhere())._replace(recent=lately), 0.4, AcceptanceTest()).decision()
        == "undecided"
    )


def test_labels_that_the_champion_is_not_calibrated_on_suspend_the_verdict() -> None:
    evidence = evidence_of(better_everywhere())
    outcomes = float(evidence.cells.sum())
    off = evidence._replace(residual_sum=np.array(0.1 * outcomes), residual_squares=np.array(0.25 * outcomes))
    assert combine(off, 0.4, AcceptanceTest()).decision() == "suspend"


def test_outcomes_that_come_for_one_answer_and_not_for_another_suspend_the_verdict() -> None:
    evidence = evidence_of(better_everywhere())
    scored = evidence.scored * np.array([[1, 1], [1, 2]])
    assert combine(evidence._replace(scored=scored), 0.4, AcceptanceTest()).uneven_coverage
    assert not combine(evidence._replace(scored=evidence.scored * 2), 0.4, AcceptanceTest()).uneven_coverage


def test_several_candidates_need_more_evidence_each() -> None:
    evidence = evidence_of(better_everywhere())
    alone, among_five = (combine(evidence, 0.4, AcceptanceTest(), candidates=n).conditions[0].progress for n in (1, 5))
    assert alone is not None
    assert among_five is not None
    assert among_five < alone


def test_a_thousand_pairs_at_once_are_judged_as_each_alone() -> None:
    random = np.random.default_rng(5)
    outcomes = random.integers(0, 300, (20, *no_evidence().outcomes.shape))
    one_by_one = [combine(evidence_of(each), 0.4, AcceptanceTest()) for each in outcomes]
    cells = outcomes.sum(axis=(1, 2, 3))
    scored = cells.reshape(20, 2, 2, 2).sum(axis=-1)
    together = combine(EvidenceCounts(outcomes, cells, scored, np.zeros(20), np.zeros(20)), 0.4, AcceptanceTest())
    assert together.promote.tolist() == [bool(each.promote) for each in one_by_one]
    assert together.withdraw.tolist() == [bool(each.withdraw) for each in one_by_one]
