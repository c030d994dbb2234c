"""Pipelines as look-up tables.

Invariant: a compiled form is used only where it gave what the pipeline gives, to 1e-9.

An observation is ten digits, so a step that treats each column on its own has only 158 things to say: one for each
value that a column can have. They are asked for once; from then on a row is ten lookups instead of a data frame.
"""

from collections.abc import Sequence
from contextlib import suppress
from functools import reduce
from math import prod
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.contract.observation_code import CODES, SIZES, column_indices
from stream_scorer.models.artifacts.model_card import ServingCard
from stream_scorer.models.dataframes import Codes, codes_from, frame_of
from stream_scorer.models.serving.boosted_trees import boosted_form
from stream_scorer.models.serving.predict import Floats, Predict, column_of, predict_with_dataframe

Form = Literal["additive", "trees", "matrix", "pipeline"]

TOLERANCE = 1e-9
CHECKED_ROWS = 256
CHECKED_MATRIX_ROWS = 2_048
# exp(-700) is the smallest that a float holds with all its digits; two tables' exponents are added up.
LOG_ODDS_MAX = 300.0
# Where the ten digits are split for two tables of about one size: 9,792 and 15,925 numbers, which stay in the
# processor's cache.
SPLIT = min(range(1, len(SIZES)), key=lambda split: prod(SIZES[:split]) + prod(SIZES[split:]))
LOWER_CODES = prod(SIZES[SPLIT:])


class Compiled(NamedTuple):
    form: Form
    predict: Predict


class Additive:
    """A sum of ten terms as two lookups: p = 1 / (1 + exp(-upper) · exp(-lower)), with the exponentials in the
    tables."""

    def __init__(self, upper: Floats, lower: Floats) -> None:
        self.upper, self.lower = upper, lower

    @classmethod
    def of_terms(cls, terms: list[Floats]) -> "Additive":
        """From the log-odds that each column's value adds; the terms must be finite and their sums within ±300."""
        upper, lower = (reduce(np.add.outer, part).ravel() for part in (terms[:SPLIT], terms[SPLIT:]))
        return cls(np.exp(-upper), np.exp(-lower))

    def __call__(self, codes: Codes) -> Floats:
        high = codes // LOWER_CODES
        odds_against = self.upper.take(high)
        odds_against *= self.lower.take(codes - high * LOWER_CODES)
        odds_against += 1.0
        return np.divide(1.0, odds_against, out=odds_against)


class Preprocessed:
    """What comes before the classifier as lookups, each output taken from the one column that it depends on."""

    def __init__(self, constant: Floats, outputs: list[NDArray[np.intp]], tables: list[Floats]) -> None:
        self.constant, self.outputs, self.tables = constant, outputs, tables

    def __call__(self, codes: Codes) -> Floats:
        matrix = np.empty((len(codes), len(self.constant)))
        matrix[:] = self.constant
        for index, outputs, table in zip(column_indices(codes), self.outputs, self.tables, strict=True):
            matrix[:, outputs] = table[index]
        return matrix


def compile_pipeline(pipeline: Any, head: ServingCard) -> Compiled:
    """The fastest form that says what the pipeline says."""
    whole = predict_with_dataframe(pipeline, head)
    try:
        preprocessed = preprocessing_of(pipeline, head.columns)
        if preprocessed is not None:
            rows = random_codes(CHECKED_ROWS)
            expected = whole(rows)
            for form, predict in candidates(pipeline.steps[-1][1], preprocessed, head.positive):
                if all_close(predict(rows), expected, TOLERANCE):
                    return Compiled(form, predict)
    except Exception:  # whatever a pipeline raises when it is asked about unusual rows, it is still right on the others
        pass
    return Compiled("pipeline", whole)


def candidates(classifier: Any, preprocessed: Preprocessed, positive: int) -> list[tuple[Form, Predict]]:
    """The forms that might hold, the fastest first."""
    found: list[tuple[Form, Predict]] = []
    additive = additive_form(classifier, preprocessed, positive)
    if additive is not None:
        found.append(("additive", additive))
    # a version of scikit-learn that keeps its trees elsewhere has them asked as any other classifier
    with suppress(AttributeError, LookupError, TypeError, ValueError):
        trees = boosted_form(classifier, preprocessed(one_column_changed()), positive)
        if trees is not None:
            found.append(("trees", trees))
    if not hasattr(classifier, "feature_names_in_"):  # one that was fitted on named columns wants them back
        found.append(("matrix", lambda codes: column_of(classifier.predict_proba(preprocessed(codes)), positive)))
    return found


def additive_form(classifier: Any, preprocessed: Preprocessed, positive: int) -> Additive | None:
    """Two tables when the classifier weighs its inputs and adds them up; whether it makes log-odds of the sum, the
    check must show."""
    weights = np.asarray(getattr(classifier, "coef_", ()), dtype=np.float64)
    if weights.shape != (1, len(preprocessed.constant)):
        return None
    sign = 1.0 if positive == 1 else -1.0
    varying = np.concatenate(preprocessed.outputs)
    rest = np.delete(np.arange(weights.size), varying)
    start = preprocessed.constant[rest] @ weights[0, rest] + float(np.squeeze(classifier.intercept_))
    terms = [
        sign * table @ weights[0, outputs]
        for outputs, table in zip(preprocessed.outputs, preprocessed.tables, strict=True)
    ]
    terms[0] = terms[0] + sign * start
    bound = sum(float(np.abs(term).max()) for term in terms)
    return Additive.of_terms(terms) if bound < LOG_ODDS_MAX else None  # not for NaN either


def preprocessing_of(pipeline: Any, columns: Sequence[str]) -> Preprocessed | None:
    """All steps before the classifier as tables; None when there are none, or when an output depends on more than one
    column."""
    if not hasattr(pipeline, "steps") or len(pipeline.steps) < 2:
        return None
    transform = pipeline[:-1].transform
    blocks = np.split(dense(transform(frame_of(one_column_changed(), columns))), np.cumsum(SIZES)[:-1])
    constant = blocks[0][0]
    outputs = [np.flatnonzero((block != constant).any(axis=0)) for block in blocks]
    if len(set(np.concatenate(outputs).tolist())) < sum(map(len, outputs)):
        return None
    tables = [np.ascontiguousarray(block[:, mine]) for block, mine in zip(blocks, outputs, strict=True)]
    preprocessed = Preprocessed(constant, outputs, tables)
    # Two columns that only matter together would not have shown yet: every pair of values, and rows that differ in
    # everything.
    rows = np.concatenate([two_columns_changed(), random_codes(CHECKED_MATRIX_ROWS)])
    return preprocessed if all_close(preprocessed(rows), dense(transform(frame_of(rows, columns))), 0.0) else None


def dense(matrix: Any) -> Floats:
    return np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix, dtype=np.float64)


def all_close(found: Floats, expected: Floats, tolerance: float) -> bool:
    """The same shape and the same numbers, where NaN is the same as NaN."""
    return found.shape == expected.shape and bool(
        np.allclose(found, expected, rtol=0.0, atol=tolerance, equal_nan=True)
    )


def one_column_changed() -> Codes:
    """158 observations, a column after the other: each column takes all its values while the others keep their
    first."""
    indices = np.zeros((len(SIZES), sum(SIZES)), dtype=np.intp)
    start = 0
    for column, size in enumerate(SIZES):
        indices[column, start : start + size] = np.arange(size)
        start += size
    return codes_from(indices)


def two_columns_changed() -> Codes:
    """Every pair of values of every two columns (7,831) while the others keep their first."""
    found = []
    for first in range(len(SIZES)):
        for second in range(first + 1, len(SIZES)):
            pairs = np.indices((SIZES[first], SIZES[second])).reshape(2, -1)
            indices = np.zeros((len(SIZES), pairs.shape[1]), dtype=np.intp)
            indices[[first, second]] = pairs
            found.append(codes_from(indices))
    return np.concatenate(found)


def random_codes(n: int) -> Codes:
    """Observations drawn evenly from all that there can be; the same at each call."""
    return np.random.default_rng(CODES).integers(0, CODES, n)
