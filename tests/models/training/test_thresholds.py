"""Policies for the threshold: what a bound on the gap between groups asks, and what it costs."""

import numpy as np
import pytest
from numpy.typing import NDArray

from stream_scorer.core.contract.observation_code import STRIDES
from stream_scorer.errors import ModelError
from stream_scorer.models.training.thresholds import choose_threshold, policies

Rows = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]


def two_groups(rates: dict[float, tuple[float, float]]) -> Rows:
    """For each probability a thousand men and a thousand women, of whose searches these shares find something."""
    codes, probabilities, classes = [], [], []
    for probability, by_sex in rates.items():
        for sex, rate in enumerate(by_sex):
            codes += [sex * STRIDES[1]] * 1_000
            probabilities += [probability] * 1_000
            classes += [number < rate * 1_000 for number in range(1_000)]
    return np.array(codes), np.array(probabilities), np.array(classes)


UNEQUAL_BELOW = two_groups({0.3: (0.2, 0.1), 0.5: (0.7, 0.5), 0.8: (0.8, 0.8)})


def test_without_a_bound_the_lowest_threshold_with_the_margin_is_taken() -> None:
    codes, probabilities, classes = UNEQUAL_BELOW
    chosen = choose_threshold(probabilities, classes, 0.05, codes=codes)
    assert chosen.value == 0.31
    assert chosen.gap == pytest.approx(0.1)


def test_a_bound_on_the_gap_takes_a_higher_threshold_and_costs_recall() -> None:
    codes, probabilities, classes = UNEQUAL_BELOW
    found = policies(codes, probabilities, classes, 0.05, gap_max=0.05)
    free, bound = found["success-rate"], found["gap"]
    assert free is not None
    assert bound is not None
    assert (free.value, bound.value) == (0.31, 0.51)
    assert bound.gap == 0.0
    assert free.recall == pytest.approx(2_800 / 3_100)
    assert bound.recall == pytest.approx(1_600 / 3_100)


def test_a_bound_that_no_threshold_keeps_is_an_error_that_names_the_smallest_gap() -> None:
    codes, probabilities, classes = two_groups({0.5: (0.8, 0.6)})
    with pytest.raises(ModelError, match=r"gap between groups at 0\.05 \(the smallest: 0\.200\)"):
        choose_threshold(probabilities, classes, 0.05, codes=codes, gap_max=0.05)
    assert policies(codes, probabilities, classes, 0.05, 0.05)["gap"] is None


def test_groups_that_are_too_small_to_judge_keep_no_bound() -> None:
    codes, probabilities, classes = two_groups({0.5: (0.8, 0.8)})
    few = np.concatenate([np.arange(1_000), np.arange(1_000, 1_050)])
    with pytest.raises(ModelError, match="gap between groups"):
        choose_threshold(probabilities[few], classes[few], 0.05, codes=codes[few], gap_max=0.05)
