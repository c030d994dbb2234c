"""The pipelines that `train` can fit.

Invariant: each takes a frame of the ten columns and gives the probability of finding contraband.
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, SplineTransformer

from stream_scorer.core.contract.columns import COLUMNS

Algorithm = Literal["logistic", "gradient-boosting"]
Calibration = Literal["none", "sigmoid", "isotonic"]

CATEGORIES = [column for column in COLUMNS if column.kind is not int]
CATEGORY_NAMES = [column.name for column in CATEGORIES]
# All that the contract allows, also what training never saw; scikit-learn wants truth values in order.
POSSIBLE_CATEGORIES = [sorted(column.domain, key=str) for column in CATEGORIES]
# Closer where most of the drivers are and where the rate of contraband changes fastest.
AGE_KNOTS = np.array([10, 16, 18, 20, 22, 25, 30, 35, 40, 50, 60, 100], dtype=float)[:, None]
HOUR_KNOTS = np.linspace(0, 24, 9)[:, None]  # every three hours; 24 meets 0


def logistic(seed: int) -> Pipeline:
    """An additive model of the log-odds: a weight for each category, a curve for age, a closed curve for the hour of
    the day."""
    age = SplineTransformer(degree=2, knots=AGE_KNOTS, extrapolation="constant", include_bias=False)
    hour = SplineTransformer(degree=3, knots=HOUR_KNOTS, extrapolation="periodic", include_bias=False)
    columns = ColumnTransformer(
        [
            ("categories", OneHotEncoder(categories=POSSIBLE_CATEGORIES, sparse_output=False), CATEGORY_NAMES),
            ("age", age, ["SubjectAge"]),
            ("hour", hour, ["hour"]),
        ]
    )
    # With few inputs and many rows Newton's steps need a tenth of the time of the default solver.
    # C=0.1: with 792 real rows the cross-validated AUC is 0.68 instead of 0.67 at scikit-learn's 1.0; with many rows it
    # is all one.
    weights = LogisticRegression(C=0.1, solver="newton-cholesky", random_state=seed)
    return Pipeline([("columns", columns), ("classifier", weights)])


def gradient_boosting(seed: int) -> Pipeline:
    """Trees that may find what an additive model can't: one column changing what another one means."""
    columns = ColumnTransformer(
        [
            ("categories", OrdinalEncoder(categories=POSSIBLE_CATEGORIES), CATEGORY_NAMES),
            ("numbers", "passthrough", ["SubjectAge", "hour"]),
        ]
    )
    trees = HistGradientBoostingClassifier(
        categorical_features=list(range(len(CATEGORIES))),
        learning_rate=0.06,
        max_iter=150,
        max_leaf_nodes=15,
        random_state=seed,
    )
    return Pipeline([("columns", columns), ("classifier", trees)])


def calibrated(pipeline: Pipeline, method: Calibration) -> Pipeline:
    """The pipeline with a classifier whose probabilities are put right on five folds that it had not seen; the
    classifier itself is fitted once, to all rows."""
    if method == "none":
        return pipeline
    *before, (name, classifier) = pipeline.steps
    return Pipeline([*before, (name, CalibratedClassifierCV(classifier, method=method, cv=5, ensemble=False))])


ALGORITHMS: dict[Algorithm, Callable[[int], Any]] = {"logistic": logistic, "gradient-boosting": gradient_boosting}
