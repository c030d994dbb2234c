"""What can't be served says why when it is saved, in words about the model."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.svm import LinearSVC

from stream_scorer.errors import ModelError
from stream_scorer.models.dataframes import frame_of
from stream_scorer.models.registry.model_directory import save_model
from stream_scorer.models.synthetic.generator import Generator

NUMBERS = ["SubjectAge", "hour"]
CODES = Generator(5).codes(200)
FRAME = frame_of(CODES)
CLASSES = Generator(5).outcomes_of(CODES)


def strict_one_hot() -> Any:
    """A pipeline that has not seen every value that may come, and refuses the others."""
    encoder = ColumnTransformer([("day", OneHotEncoder(), ["day_of_week"])], remainder="drop")
    sundays = FRAME["day_of_week"] == "Sunday"
    few = CLASSES.copy()
    few[np.flatnonzero(sundays)[0]] = ~few[np.flatnonzero(sundays)[1]]
    return make_pipeline(encoder, LogisticRegression()).fit(FRAME[sundays], few[sundays])


UNSERVABLE = {
    "not fitted": (LogisticRegression, r"m \(LogisticRegression\) is not fitted: call fit"),
    "a pipeline that is not fitted": (
        lambda: make_pipeline(LogisticRegression()),
        r"\(LogisticRegression\) is not fitted",
    ),
    "no probabilities": (lambda: LinearSVC().fit(FRAME[NUMBERS], CLASSES), r"\(LinearSVC\) has no predict_proba"),
    "no classes": (lambda: LinearRegression().fit(FRAME[NUMBERS], CLASSES), r"is not a classifier"),
    "fitted on an array": (
        lambda: LogisticRegression().fit(FRAME[NUMBERS].to_numpy(), CLASSES),
        r"was fitted on an array of 2 columns without names",
    ),
    "other columns": (
        lambda: LogisticRegression().fit(FRAME[NUMBERS].rename(columns={"hour": "Hour"}), CLASSES),
        r"columns that the contract does not have \(Hour\)",
    ),
    "three classes": (
        lambda: LogisticRegression().fit(FRAME[NUMBERS], np.arange(200) % 3),
        r"was fitted on 3 classes \(0, 1, 2\)",
    ),
    "values that it has not seen": (strict_one_hot, r"m can't score observations that the contract allows"),
    "no model": (dict, r"\(dict\) is not a scikit-learn classifier"),
    "a class of models": (lambda: LogisticRegression, r"is not a scikit-learn classifier"),
}


@pytest.mark.parametrize(("make", "said"), UNSERVABLE.values(), ids=UNSERVABLE)
def test_what_can_not_be_served_says_why_when_it_is_saved(tmp_path: Path, make: Any, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        save_model(tmp_path / "m", make(), name="m", threshold=0.5)
    assert not (tmp_path / "m").exists()
