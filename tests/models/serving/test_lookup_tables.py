"""Compiled forms: as quick as the pipeline allows, and never anything but what the pipeline says."""

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import BernoulliNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, PolynomialFeatures, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from stream_scorer.core.contract.columns import COLUMN_NAMES
from stream_scorer.core.contract.observation_code import CODES
from stream_scorer.models.artifacts.model_card import FORMAT, ServingCard
from stream_scorer.models.dataframes import frame_of
from stream_scorer.models.serving.lookup_tables import Form, compile_pipeline
from stream_scorer.models.training.pipelines import CATEGORY_NAMES, gradient_boosting, logistic

NUMBERS = ["SubjectAge", "hour"]


def a_head(**changes: Any) -> ServingCard:
    head = {"name": "m", "columns": list(COLUMN_NAMES), "classes": [False, True], "positive_class": True}
    return ServingCard(**{**head, "format": FORMAT, "threshold": 0.5, "versions": {}, **changes})


def one_hot(sparse: bool = False, numbers: Any = "passthrough") -> ColumnTransformer:
    encoder = OneHotEncoder(sparse_output=sparse, handle_unknown="ignore")
    return ColumnTransformer([("categories", encoder, CATEGORY_NAMES), ("numbers", numbers, NUMBERS)])


def ordinal() -> ColumnTransformer:
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    return ColumnTransformer([("categories", encoder, CATEGORY_NAMES), ("numbers", "passthrough", NUMBERS)])


def young_at_night(numbers: Any) -> Any:
    """One for a single pair of age and hour that hardly ever comes up: what a random check would miss."""
    ages, hours = numbers["SubjectAge"].to_numpy(), numbers["hour"].to_numpy()
    return np.stack([ages / 100, hours / 24, (ages == 10) & (hours == 24)], axis=1)


def without_eleven(numbers: Any) -> Any:
    """Hours without 23, which trees then take for missing."""
    found = numbers.to_numpy(dtype=float, copy=True)
    found[found == 23] = np.nan
    return found


def boosting(method: str, cv: int = 3, ensemble: bool = False) -> Any:
    """A few trees whose probabilities are calibrated."""
    trees = HistGradientBoostingClassifier(max_iter=10, categorical_features=[0, 1, 2, 3])
    return make_pipeline(ordinal(), CalibratedClassifierCV(trees, method=method, cv=cv, ensemble=ensemble))


PIPELINES: dict[str, tuple[Any, Form]] = {
    "logistic": (logistic(0), "additive"),
    "gradient boosting": (gradient_boosting(0).set_params(classifier__max_iter=10), "trees"),
    "boosting, calibrated by steps": (boosting("isotonic"), "trees"),
    "boosting, calibrated by a curve": (boosting("sigmoid"), "trees"),
    "boosting over one-hot columns": (make_pipeline(one_hot(), HistGradientBoostingClassifier(max_iter=10)), "trees"),
    "boosting over missing values": (
        make_pipeline(
            one_hot(numbers=FunctionTransformer(without_eleven)), HistGradientBoostingClassifier(max_iter=10)
        ),
        "trees",
    ),
    "boosting by two calibrated models": (boosting("sigmoid", cv=2, ensemble=True), "matrix"),
    "boosting with many leaves": (
        make_pipeline(ordinal(), HistGradientBoostingClassifier(max_iter=2, max_leaf_nodes=100, min_samples_leaf=5)),
        "matrix",
    ),
    "sparse one-hot": (make_pipeline(one_hot(sparse=True), LogisticRegression(max_iter=3_000)), "additive"),
    "several steps": (make_pipeline(one_hot(), StandardScaler(), LogisticRegression()), "additive"),
    "log-odds by gradient descent": (
        make_pipeline(one_hot(numbers=StandardScaler()), SGDClassifier(loss="log_loss", random_state=0)),
        "additive",
    ),
    "weights, but not log-odds": (
        make_pipeline(one_hot(numbers=StandardScaler()), SGDClassifier(loss="modified_huber", random_state=0)),
        "matrix",
    ),
    "forest": (make_pipeline(ordinal(), RandomForestClassifier(10, random_state=0)), "matrix"),
    "naive Bayes": (make_pipeline(one_hot(), BernoulliNB()), "matrix"),
    "interactions": (
        make_pipeline(ordinal(), PolynomialFeatures(2), StandardScaler(), LogisticRegression(max_iter=3_000)),
        "pipeline",
    ),
    "mixed columns": (make_pipeline(one_hot(), PCA(5, random_state=0), LogisticRegression()), "pipeline"),
    "a rare interaction": (make_pipeline(FunctionTransformer(young_at_night), DecisionTreeClassifier()), "pipeline"),
    "named outputs": (
        make_pipeline(ordinal(), DecisionTreeClassifier(max_depth=4, random_state=0)).set_output(transform="pandas"),
        "pipeline",
    ),
}


@pytest.mark.parametrize(("pipeline", "form"), PIPELINES.values(), ids=PIPELINES)
def test_the_compiled_form_says_what_the_pipeline_says(
    pipeline: Any, form: Form, codes: NDArray[np.int64], classes: NDArray[np.bool_]
) -> None:
    fitted = pipeline.fit(frame_of(codes), classes)
    compiled = compile_pipeline(fitted, a_head())
    rows = np.concatenate([codes[:500], np.random.default_rng(1).integers(0, CODES, 1_500)])
    assert compiled.form == form
    np.testing.assert_allclose(compiled.predict(rows), fitted.predict_proba(frame_of(rows))[:, 1], rtol=0, atol=1e-9)


@pytest.mark.parametrize("algorithm", [logistic, gradient_boosting])
def test_the_positive_class_may_come_first(
    algorithm: Any, codes: NDArray[np.int64], classes: NDArray[np.bool_]
) -> None:
    fitted = algorithm(0).fit(frame_of(codes), np.where(classes, "found", "nothing"))
    head = a_head(classes=["found", "nothing"], positive_class="found")
    compiled = compile_pipeline(fitted, head)
    assert compiled.form != "pipeline"
    np.testing.assert_allclose(compiled.predict(codes), fitted.predict_proba(frame_of(codes))[:, 0], rtol=0, atol=1e-9)


def test_a_model_of_some_columns_in_its_own_order_gets_those(
    codes: NDArray[np.int64], classes: NDArray[np.bool_]
) -> None:
    columns = ["hour", "SubjectRaceCode", "SubjectAge"]
    encoder = ColumnTransformer([("race", OneHotEncoder(), ["SubjectRaceCode"])], remainder="passthrough")
    fitted = make_pipeline(encoder, LogisticRegression(max_iter=3_000)).fit(frame_of(codes)[columns], classes)
    compiled = compile_pipeline(fitted, a_head(columns=columns))
    assert compiled.form == "additive"
    np.testing.assert_allclose(
        compiled.predict(codes), fitted.predict_proba(frame_of(codes)[columns])[:, 1], rtol=0, atol=1e-9
    )


def test_one_row_and_no_row_are_scored_too(logistic_pipeline: Any, trees_pipeline: Any) -> None:
    for pipeline in (logistic_pipeline, trees_pipeline):
        predict = compile_pipeline(pipeline, a_head()).predict
        assert predict(np.array([5])).shape == (1,)
    assert compile_pipeline(logistic_pipeline, a_head()).predict(np.array([], dtype=np.int64)).shape == (0,)


def test_scoring_leaves_the_codes_as_they_were(logistic_pipeline: Any, codes: NDArray[np.int64]) -> None:
    before = codes.copy()
    predict = compile_pipeline(logistic_pipeline, a_head()).predict
    first = predict(codes).copy()
    assert np.array_equal(predict(codes), first)
    assert np.array_equal(codes, before)


@pytest.mark.parametrize("weight", [1e4, np.nan, np.inf])
def test_weights_that_no_table_can_hold_are_left_to_the_pipeline(weight: float, logistic_pipeline: Any) -> None:
    steep = deepcopy(logistic_pipeline)
    steep.steps[-1][1].coef_ *= weight
    with np.errstate(all="ignore"):
        assert compile_pipeline(steep, a_head()).form != "additive"
