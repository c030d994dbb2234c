"""How good probabilities are, measured on labelled observations.

Invariant: every figure has a 95 % interval, or is None where it can't be known.
"""

from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.quality.confidence_intervals import Z_95, Interval, wilson
from stream_scorer.core.quality.counts import QualityCounts
from stream_scorer.core.quality.figures import GroupFigures, figures
from stream_scorer.core.quality.figures import GroupGap as GroupGap
from stream_scorer.models.dataframes import Codes
from stream_scorer.models.serving.predict import Floats

Classes = NDArray[np.bool_]

RESAMPLES = 300
CALIBRATION_BINS = 10
# A gap between groups says nothing below this many positive predictions in each.
GROUP_POSITIVES_MIN = 30
LOGIT_CLIP = 1e-12


class CalibrationBin(NamedTuple):
    """Of the rows whose probability lies between `low` and `high`: how many, what was said on average, what came
    true."""

    low: float
    high: float
    rows: int
    predicted: float
    observed: Interval


class Evaluation(NamedTuple):
    """Success rate: precision of predictions at the threshold. Calibration slope 1 and intercept 0 would be perfect; a
    slope below 1 means that the probabilities are too far from the middle."""

    rows: int
    positives: int
    threshold: float
    auc: Interval | None
    average_precision: Interval | None
    brier: Interval
    success_rate: Interval | None
    recall: Interval | None
    predicted_positive: Interval
    calibration_slope: Interval | None
    calibration_intercept: Interval | None
    calibration: tuple[CalibrationBin, ...]
    groups: tuple[GroupFigures, ...]
    gaps: tuple[GroupGap, ...]


def evaluate(codes: Codes, probabilities: Floats, classes: Classes, threshold: float, seed: int = 0) -> Evaluation:
    """The figures of at least one labelled row; all arrays of shape (n,). The same seed gives the same intervals."""
    decisions = probabilities >= threshold
    quality, model = QualityCounts(), ("", "")
    quality.count_predictions(model, codes, decisions)
    quality.count_joined(model, codes, probabilities, decisions, classes)
    counted = figures(quality[model], group_positives_min=GROUP_POSITIVES_MIN)
    auc, average_precision = ranking_figures(probabilities, classes, seed)
    slope, intercept = calibration_line(probabilities, classes)
    predicted_positive = wilson(counted.predicted_positive, len(codes))
    assert predicted_positive is not None
    return Evaluation(
        rows=len(codes),
        positives=counted.actual_positive,
        threshold=threshold,
        auc=auc,
        average_precision=average_precision,
        brier=mean_with_interval((probabilities - classes) ** 2),
        success_rate=counted.success_rate,
        recall=counted.recall,
        predicted_positive=predicted_positive,
        calibration_slope=slope,
        calibration_intercept=intercept,
        calibration=calibration_bins(probabilities, classes),
        groups=counted.groups,
        gaps=counted.gaps,
    )


def mean_with_interval(values: Floats) -> Interval:
    mean = float(values.mean())
    half = Z_95 * float(values.std(ddof=1)) / sqrt(len(values)) if len(values) > 1 else 0.0
    return Interval(mean, max(0.0, mean - half), mean + half)


def ranking_figures(probabilities: Floats, classes: Classes, seed: int) -> tuple[Interval | None, Interval | None]:
    """AUC and average precision, with percentile intervals from resampled rows; None when there is only one class."""
    order = np.argsort(-probabilities, kind="stable")
    scores, positive = probabilities[order], classes[order].astype(np.float64)
    ends = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)  # rows of one probability count together
    figures_of_all = area_and_precision(positive, 1.0 - positive, ends)
    if figures_of_all is None:
        return None, None
    draws = np.random.default_rng(seed)
    resampled = []
    for _ in range(RESAMPLES):
        times_drawn = np.bincount(draws.integers(0, len(scores), len(scores)), minlength=len(scores))
        drawn = area_and_precision(times_drawn * positive, times_drawn * (1.0 - positive), ends)
        if drawn is not None:
            resampled.append(drawn)
    lows, highs = np.percentile(np.array(resampled), [2.5, 97.5], axis=0)
    auc, average_precision = (
        Interval(value, min(value, float(low)), max(value, float(high)))
        for value, low, high in zip(figures_of_all, lows, highs, strict=True)
    )
    return auc, average_precision


def area_and_precision(positive: Floats, negative: Floats, ends: NDArray[np.intp]) -> tuple[float, float] | None:
    """AUC and average precision of weighted rows in falling order of probability; `ends`: the last row of each distinct
    probability."""
    hits, misses = np.cumsum(positive)[ends], np.cumsum(negative)[ends]
    if hits[-1] == 0 or misses[-1] == 0:
        return None
    new_hits, new_misses = np.diff(hits, prepend=0.0), np.diff(misses, prepend=0.0)
    area = float(new_misses @ (hits - new_hits / 2)) / float(hits[-1] * misses[-1])
    seen = hits + misses
    precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
    return area, float(new_hits @ precision) / float(hits[-1])


def calibration_bins(probabilities: Floats, classes: Classes) -> tuple[CalibrationBin, ...]:
    """Ten bins of equal width, without the empty ones."""
    bins = np.minimum((probabilities * CALIBRATION_BINS).astype(np.intp), CALIBRATION_BINS - 1)
    found = []
    for place in np.unique(bins):
        inside = bins == place
        observed = wilson(int(classes[inside].sum()), int(inside.sum()))
        assert observed is not None
        low, high = float(place / CALIBRATION_BINS), float((place + 1) / CALIBRATION_BINS)
        found.append(CalibrationBin(low, high, int(inside.sum()), float(probabilities[inside].mean()), observed))
    return tuple(found)


def calibration_line(probabilities: Floats, classes: Classes) -> tuple[Interval | None, Interval | None]:
    """Slope and intercept of the logistic regression of the outcome on the log-odds that were said; None where no
    finite fit exists."""
    clipped = np.clip(probabilities, LOGIT_CLIP, 1 - LOGIT_CLIP)
    X = np.stack([np.log(clipped / (1 - clipped)), np.ones(len(clipped))], axis=1)
    fit = np.array([1.0, 0.0])
    for _ in range(50):  # Newton's method; it needs about six steps
        p = 1 / (1 + np.exp(-np.clip(X @ fit, -500, 500)))
        information = (X * (p * (1 - p))[:, None]).T @ X
        if np.linalg.cond(information) > 1e12:
            return None, None
        step = np.linalg.solve(information, X.T @ (classes - p))
        fit = fit + step
        if np.abs(step).max() < 1e-10:
            spread = Z_95 * np.sqrt(np.diag(np.linalg.inv(information)))
            slope, intercept = (
                Interval(float(v), float(v - s), float(v + s)) for v, s in zip(fit, spread, strict=True)
            )
            return slope, intercept
    return None, None
