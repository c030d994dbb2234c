"""The memory of an expensive model: asks less, answers the same, never grows."""

import numpy as np
import pytest
from numpy.typing import NDArray

from stream_scorer.core.contract.observation_code import CODES
from stream_scorer.models.serving.prediction_cache import PredictionCache

Codes = NDArray[np.int64]


class Model:
    """Says code / CODES and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, codes: Codes) -> NDArray[np.float64]:
        self.asked += codes.tolist()
        return np.asarray(codes / CODES)


def test_identical_observations_in_a_batch_are_asked_once() -> None:
    model = Model()
    answers = PredictionCache(model)(np.array([7, 9, 7, 7, 9]))
    assert model.asked == [7, 9]
    assert answers.tolist() == [7 / CODES, 9 / CODES, 7 / CODES, 7 / CODES, 9 / CODES]


def test_what_was_asked_before_is_not_asked_again() -> None:
    model = Model()
    remembering = PredictionCache(model)
    remembering(np.array([1, 2, 3]))
    assert remembering(np.array([3, 4, 1])).tolist() == [3 / CODES, 4 / CODES, 1 / CODES]
    assert model.asked == [1, 2, 3, 4]


@pytest.mark.parametrize("slots_log2", [1, 4, 10])
def test_few_slots_cost_questions_and_never_a_wrong_answer(slots_log2: int) -> None:
    model, draws = Model(), np.random.default_rng(0)
    remembering = PredictionCache(model, slots_log2)
    for _ in range(20):
        codes = draws.integers(0, 500, 300)
        assert np.array_equal(remembering(codes), codes / CODES)
    assert len(remembering.codes) == len(remembering.answers) == 1 << slots_log2


def test_not_a_number_stays_not_a_number() -> None:
    remembering = PredictionCache(lambda codes: np.where(codes == 2, np.nan, 0.5))
    for _ in range(2):
        assert np.isnan(remembering(np.array([1, 2, 2]))).tolist() == [False, True, True]


@pytest.mark.parametrize("length", [0, 1, 2, 4], ids=["none", "fewer", "fewer than asked", "as many as rows by chance"])
def test_a_wrong_number_of_answers_never_passes_for_the_right_one(length: int) -> None:
    remembering = PredictionCache(lambda codes: np.full(length, 0.5))
    for _ in range(2):
        assert remembering(np.array([1, 2, 3, 3])).shape != (4,)


def test_an_error_of_the_model_is_raised_and_nothing_is_remembered() -> None:
    model = Model()
    broken = True

    def predict(codes: Codes) -> NDArray[np.float64]:
        if broken:
            raise ValueError("no")
        return model(codes)

    remembering = PredictionCache(predict)
    with pytest.raises(ValueError, match="no"):
        remembering(np.array([1]))
    broken = False
    assert remembering(np.array([1])).tolist() == [1 / CODES]
