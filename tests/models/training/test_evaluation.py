"""Figures: those of scikit-learn where it has them, and intervals that hold the truth as often as they say."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, brier_score_loss, precision_score, recall_score, roc_auc_score

from stream_scorer.models.synthetic.generator import Generator
from stream_scorer.models.training.evaluation import calibration_bins, calibration_line, evaluate, ranking_figures

Probabilities = NDArray[np.float64]
Classes = NDArray[np.bool_]


def drawn(n: int, seed: int) -> tuple[Probabilities, Classes]:
    """Probabilities in hundredths, so that many are equal, and outcomes that follow them."""
    draws = np.random.default_rng(seed)
    probabilities = np.round(draws.beta(2, 4, n), 2)
    return probabilities, draws.random(n) < probabilities


def test_figures_are_those_of_scikit_learn() -> None:
    probabilities, classes = drawn(2_000, seed=1)
    found = evaluate(Generator(1).codes(2_000), probabilities, classes, threshold=0.4)
    decisions = probabilities >= 0.4
    assert found.auc is not None
    assert found.average_precision is not None
    assert found.success_rate is not None
    assert found.recall is not None
    assert found.auc.value == pytest.approx(roc_auc_score(classes, probabilities))
    assert found.average_precision.value == pytest.approx(average_precision_score(classes, probabilities))
    assert found.brier.value == pytest.approx(brier_score_loss(classes, probabilities))
    assert found.success_rate.value == pytest.approx(precision_score(classes, decisions))
    assert found.recall.value == pytest.approx(recall_score(classes, decisions))
    assert (found.rows, found.positives) == (2_000, classes.sum())
    assert {gap.column for gap in found.gaps} == {"SubjectRaceCode", "SubjectSexCode", "SubjectEthnicityCode"}


def test_the_interval_of_the_auc_holds_the_true_one_about_95_times_in_100() -> None:
    truth = roc_auc_score(*reversed(drawn(400_000, seed=0)))
    held = 0
    for seed in range(1, 101):
        auc, _ = ranking_figures(*drawn(300, seed), seed=seed)
        assert auc is not None
        held += auc.low <= truth <= auc.high
    assert 88 <= held <= 100


def test_the_same_seed_gives_the_same_intervals() -> None:
    assert ranking_figures(*drawn(200, 3), seed=5) == ranking_figures(*drawn(200, 3), seed=5)


@pytest.mark.parametrize("found", [True, False])
def test_with_one_class_only_there_is_no_ranking(found: bool) -> None:
    evaluation = evaluate(Generator(1).codes(50), drawn(50, 1)[0], np.full(50, found), threshold=0.3)
    assert evaluation.auc is None
    assert evaluation.average_precision is None
    assert evaluation.brier.low <= evaluation.brier.value <= evaluation.brier.high


def test_without_a_positive_prediction_there_is_no_success_rate() -> None:
    probabilities, classes = drawn(500, 1)
    evaluation = evaluate(Generator(1).codes(500), probabilities * 0.1, classes, threshold=0.5)
    assert evaluation.success_rate is None
    assert evaluation.recall is not None
    assert evaluation.recall.value == 0


def test_a_single_row_can_be_measured() -> None:
    evaluation = evaluate(np.array([1]), np.array([0.7]), np.array([True]), threshold=0.5)
    assert evaluation.success_rate is not None
    assert evaluation.success_rate.value == 1
    assert evaluation.calibration_slope is None


def test_honest_probabilities_have_slope_one_and_exaggerated_ones_less() -> None:
    probabilities, classes = drawn(20_000, seed=2)
    honest, intercept = calibration_line(probabilities, classes)
    odds = (np.clip(probabilities, 0.001, 0.999) / (1 - np.clip(probabilities, 0.001, 0.999))) ** 2
    exaggerated, _ = calibration_line(odds / (1 + odds), classes)
    assert honest is not None
    assert intercept is not None
    assert exaggerated is not None
    assert honest.low < 1 < honest.high
    assert intercept.low < 0 < intercept.high
    assert exaggerated.value == pytest.approx(0.5, abs=0.05)


def test_every_row_stands_in_one_calibration_bin() -> None:
    probabilities = np.array([0.0, 0.05, 0.1, 0.999, 1.0])
    bins = calibration_bins(probabilities, np.array([False, True, False, True, True]))
    assert [(round(found.low, 1), found.rows) for found in bins] == [(0.0, 2), (0.1, 1), (0.9, 2)]
    assert bins[0].observed.value == 0.5
