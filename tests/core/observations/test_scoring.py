"""Scoring: every row ends with a probability or a reason, however the model misbehaves, and a broken model ends
nothing."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from stream_scorer.core.contract.reasons import Code
from stream_scorer.core.observations.scoring import FailureThreshold, ModelFailure, RecentFailures, score

BRAKE = FailureThreshold(share=0.5, rows_min=100)
Codes = NDArray[np.int64]


def probability_of(codes: Codes) -> NDArray[np.float64]:
    return (codes % 1000) / 1000


def raising_on(*poison: int) -> Callable[[Codes], NDArray[np.float64]]:
    def predict(codes: Codes) -> NDArray[np.float64]:
        if np.isin(codes, poison).any():
            raise ValueError("cannot see this one")
        return probability_of(codes)

    return predict


def test_a_sound_model_scores_every_row() -> None:
    scored = score(np.arange(500), probability_of, BRAKE)
    assert not scored.rejected
    assert scored.probabilities.tolist() == probability_of(np.arange(500)).tolist()


@given(st.sets(st.integers(0, 299), max_size=40))
def test_bisection_gives_what_scoring_one_by_one_gives(poison: set[int]) -> None:
    codes = np.arange(300)
    scored = score(codes, raising_on(*poison), BRAKE)
    assert set(scored.rejected) == poison
    assert {reason.code for reason in scored.rejected.values()} <= {Code.SCORING_FAILED}
    fine = [row for row in range(300) if row not in poison]
    assert scored.probabilities[fine].tolist() == probability_of(codes)[fine].tolist()


def test_one_culprit_is_found_in_a_logarithm_of_questions() -> None:
    asked = 0

    def counting(codes: Codes) -> NDArray[np.float64]:
        nonlocal asked
        asked += 1
        return raising_on(4000)(codes)

    scored = score(np.arange(8192), counting, BRAKE)
    assert set(scored.rejected) == {4000}
    assert asked <= 1 + 2 * 13  # two halves on each of log₂ 8192 levels


@pytest.mark.parametrize(
    ("value", "printed"),
    [(float("nan"), "nan"), (1.5, "1.5"), (-0.1, "-0.1"), (float("inf"), "inf")],
    ids=["nan", "above-1", "below-0", "infinite"],
)
def test_a_number_that_is_no_probability_is_refused_for_its_row_alone(value: float, printed: str) -> None:
    def predict(codes: Codes) -> NDArray[np.float64]:
        return np.where(codes == 7, value, 0.25)

    scored = score(np.arange(20), predict, BRAKE)
    assert list(scored.rejected) == [7]
    assert scored.rejected[7].code is Code.INVALID_OUTPUT
    assert scored.rejected[7].message == f"Model returned {printed} as the probability"


def test_too_few_numbers_for_a_batch_are_looked_into_row_by_row() -> None:
    def predict(codes: Codes) -> NDArray[np.float64]:
        return probability_of(codes[codes != 7])

    scored = score(np.arange(20), predict, BRAKE)
    assert list(scored.rejected) == [7]
    assert scored.rejected[7].code is Code.INVALID_OUTPUT


@pytest.mark.parametrize("returned", [None, "yes", [[0.1, 0.9]], object()], ids=["none", "text", "matrix", "object"])
def test_what_is_no_list_of_numbers_at_all_rejects_the_row(returned: object) -> None:
    scored = score(np.array([1]), lambda _: returned, BRAKE)
    assert list(scored.rejected) == [0]


def test_a_model_that_fails_on_everything_is_at_fault_after_about_a_hundred_rows() -> None:
    asked = 0

    def predict(codes: Codes) -> NDArray[np.float64]:
        nonlocal asked
        asked += 1
        raise RuntimeError("no model here")

    with pytest.raises(ModelFailure, match=r"scoring_failed \(RuntimeError\)$") as fault:
        score(np.arange(8192), predict, BRAKE)
    assert "no model here" not in str(fault.value), "what an exception says may quote a row"
    assert asked < 400


def test_a_run_of_bad_rows_in_a_good_batch_is_not_the_models_fault() -> None:
    scored = score(np.arange(8192), raising_on(*range(150)), BRAKE)
    assert set(scored.rejected) == set(range(150))


def test_fewer_rows_than_the_brake_asks_for_never_pull_it() -> None:
    scored = score(np.arange(99), raising_on(*range(99)), BRAKE)
    assert len(scored.rejected) == 99


def test_small_failing_batches_add_up_to_a_model_at_fault() -> None:
    recent = RecentFailures(BRAKE)
    reason = score(np.array([1]), raising_on(1), BRAKE).rejected
    for _ in range(99):
        recent.add(1, reason)
    with pytest.raises(ModelFailure):
        recent.add(1, reason)


def test_failures_long_past_are_forgotten() -> None:
    recent = RecentFailures(BRAKE)
    reason = score(np.array([1]), raising_on(1), BRAKE).rejected
    for _ in range(90):
        recent.add(1, reason)
    for _ in range(20):
        recent.add(10, {})
    recent.add(1, reason)  # 91 failures in all, but only one among the last hundred rows: nothing is raised
