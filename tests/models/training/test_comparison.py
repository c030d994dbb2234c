"""Candidates of one training: a costlier one is taken only where it is better beyond chance."""

import numpy as np
import pytest

from stream_scorer.models.training.comparison import choose
from stream_scorer.models.training.fit import Trained


def a_candidate(errors: object) -> Trained:
    return Trained(None, 0.5, {}, {}, np.asarray(errors, dtype=np.float64))


NOISE = np.random.default_rng(0).normal(0, 0.05, 10_000)


@pytest.mark.parametrize(
    ("gain", "chosen"), [(0.01, "gradient-boosting"), (0.0, "logistic"), (-0.01, "logistic")], ids=str
)
def test_a_gain_must_stand_out_of_the_noise(gain: float, chosen: str) -> None:
    plain = np.full(10_000, 0.2)
    noise = NOISE - NOISE.mean()
    candidates = {"logistic": a_candidate(plain), "gradient-boosting": a_candidate(plain - gain + noise)}
    assert choose(candidates) == chosen


def test_a_gain_that_may_be_chance_is_none() -> None:
    plain = np.full(10_000, 0.2)
    noise = NOISE - NOISE.mean()
    candidates = {"logistic": a_candidate(plain), "gradient-boosting": a_candidate(plain - 0.0005 + noise)}
    assert choose(candidates) == "logistic"
