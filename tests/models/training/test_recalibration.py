"""Recalibration: probabilities that were too far from the middle are put right, and nothing else changes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline

from stream_scorer.errors import ModelError
from stream_scorer.models.dataframes import frame_of
from stream_scorer.models.registry.model_directory import load_model, save_model
from stream_scorer.models.training.recalibration import Recalibration, corrected, fit_recalibration
from stream_scorer.operations.rollout.recalibration import write_recalibrated
from tests.models.serving.test_lookup_tables import ordinal


def overconfident(rows: int, slope: float, shift: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """What was said, and what came true of it by a line through the log-odds."""
    draws = np.random.default_rng(3)
    said = draws.uniform(0.02, 0.98, rows)
    return said, draws.random(rows) < corrected(said, slope, shift)


def test_the_line_that_was_drawn_from_is_found() -> None:
    fitted = fit_recalibration(*overconfident(40_000, 0.7, -0.2))
    assert fitted.slope.low < 0.7 < fitted.slope.high
    assert fitted.shift.low < -0.2 < fitted.shift.high
    assert fitted.brier_after < fitted.brier_before


def test_too_few_outcomes_are_refused() -> None:
    with pytest.raises(ModelError, match="recalibration needs 200"):
        fit_recalibration(*overconfident(150, 1.0, 0.0))


def test_what_falls_where_it_should_rise_is_refused() -> None:
    with pytest.raises(ModelError, match="train the model again"):
        fit_recalibration(*overconfident(5_000, -0.5, 0.0))


@pytest.mark.parametrize(("which", "form"), [("logistic_pipeline", "additive"), ("trees_pipeline", "trees")])
@pytest.mark.parametrize("positive", [True, False])
def test_the_model_says_the_corrected_and_decides_as_before(
    which: str, form: str, positive: bool, request: pytest.FixtureRequest, codes: NDArray[np.int64], tmp_path: Path
) -> None:
    pipeline = request.getfixturevalue(which)
    save_model(tmp_path / "before", pipeline, name="m", threshold=0.41, positive_class=positive)
    fitted = fit_recalibration(*overconfident(5_000, 0.7, -0.2))
    report = write_recalibrated(tmp_path / "before", tmp_path / "after", fitted)
    before, after = load_model(tmp_path / "before"), load_model(tmp_path / "after")
    assert (report.form, report.before) == (form, before.name)
    np.testing.assert_allclose(after.score(codes), fitted(before.score(codes)), rtol=0, atol=1e-9)
    same = (after.score(codes) >= after.threshold) == (before.score(codes) >= before.threshold)
    assert same.all()
    assert after.card["recalibration"]["of"] == before.name


def test_a_classifier_without_a_sum_is_refused_and_leaves_nothing_behind(
    codes: NDArray[np.int64], classes: NDArray[np.bool_], tmp_path: Path
) -> None:
    forest: Any = make_pipeline(ordinal(), RandomForestClassifier(5, random_state=0)).fit(frame_of(codes), classes)
    save_model(tmp_path / "before", forest, name="m", threshold=0.4)
    fitted: Recalibration = fit_recalibration(*overconfident(5_000, 0.7, -0.2))
    with pytest.raises(ModelError, match="RandomForestClassifier can't be recalibrated"):
        write_recalibrated(tmp_path / "before", tmp_path / "after", fitted)
    assert not (tmp_path / "after").exists()
