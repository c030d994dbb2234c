"""Probabilities put right on outcomes of one's own: a slope and a shift of the log-odds, written into the model.

Invariant: the order of any two observations stays, so only what probabilities mean changes; a model keeps its form.
"""

from math import exp, log
from typing import Any, Final, NamedTuple

import numpy as np

from stream_scorer.core.quality.confidence_intervals import Interval
from stream_scorer.errors import ModelError
from stream_scorer.models.serving.predict import Floats
from stream_scorer.models.training.evaluation import LOGIT_CLIP, Classes, calibration_line
from stream_scorer.models.training.fit import CLASS_ROWS_MIN, FOLDS, ROWS_MIN


class Recalibration(NamedTuple):
    """The log-odds become `slope` times what they were, plus `shift`. `brier_before`, `brier_after`: on the outcomes,
    the latter from fits that had not seen them."""

    slope: Interval
    shift: Interval
    rows: int
    positives: int
    brier_before: float
    brier_after: float

    def __call__(self, probabilities: Floats) -> Floats:
        """The probabilities put right, shape (n,) in and out."""
        return corrected(probabilities, self.slope.value, self.shift.value)


def fit_recalibration(probabilities: Floats, classes: Classes, seed: int = 0) -> Recalibration:
    """The line through what was said and what came true; arrays of shape (n,). Raises ModelError where there are too
    few outcomes, or where high probabilities come true less often than low ones."""
    positives = int(classes.sum())
    if len(classes) < ROWS_MIN or min(positives, len(classes) - positives) < CLASS_ROWS_MIN:
        raise ModelError(
            f"{len(classes)} outcomes are known, {positives} with contraband: recalibration needs {ROWS_MIN}, and "
            f"{CLASS_ROWS_MIN} of each class. Take a longer range"
        )
    slope, shift = _line(probabilities, classes)
    unseen = np.empty(len(classes))
    fold_of = np.random.default_rng(seed).permutation(len(classes)) % FOLDS
    for fold in range(FOLDS):
        out = fold_of == fold
        of_others = _line(probabilities[~out], classes[~out])
        unseen[out] = corrected(probabilities[out], of_others[0].value, of_others[1].value)
    before, after = (float(((said - classes) ** 2).mean()) for said in (probabilities, unseen))
    return Recalibration(slope, shift, len(classes), positives, before, after)


def _line(probabilities: Floats, classes: Classes) -> tuple[Interval, Interval]:
    slope, shift = calibration_line(probabilities, classes)
    if slope is None or shift is None or slope.value <= 0:
        raise ModelError(
            "what came true does not rise with the probabilities, so no recalibration helps: train the model again"
        )
    return slope, shift


def corrected(probabilities: Floats, slope: float, shift: float) -> Floats:
    clipped = np.clip(probabilities, LOGIT_CLIP, 1 - LOGIT_CLIP)
    found: Floats = 1 / (1 + np.exp(-(slope * np.log(clipped / (1 - clipped)) + shift)))
    return found


def corrected_threshold(threshold: float, fitted: Recalibration) -> float:
    """The threshold at which the recalibrated model decides as the model did before."""
    if threshold <= 0 or threshold >= 1:
        return threshold
    return 1 / (1 + exp(-(fitted.slope.value * log(threshold / (1 - threshold)) + fitted.shift.value)))


LINEAR: Final = "LogisticRegression"
BOOSTED: Final = "HistGradientBoostingClassifier"


def recalibrate(pipeline: Any, fitted: Recalibration, positive: int) -> None:
    """Write the slope and the shift into a fitted pipeline's last step. `positive`: the place of the positive class.
    Raises ModelError for classifiers whose log-odds are no sum that could be stretched."""
    classifier = pipeline.steps[-1][1] if hasattr(pipeline, "steps") else pipeline
    slope = fitted.slope.value
    # the sums are log-odds of the second class
    shift = fitted.shift.value if positive == 1 else -fitted.shift.value
    kind = type(classifier).__name__
    if kind == LINEAR:
        classifier.coef_ = classifier.coef_ * slope
        classifier.intercept_ = classifier.intercept_ * slope + shift
    elif kind == BOOSTED:
        for (tree,) in classifier._predictors:
            tree.nodes = tree.nodes.copy()
            tree.nodes["value"] *= slope
        classifier._baseline_prediction = classifier._baseline_prediction * slope + shift
    else:
        raise ModelError(
            f"a {kind} can't be recalibrated as it is: {LINEAR} and {BOOSTED} can. Train it again with "
            "CalibratedClassifierCV around it"
        )
