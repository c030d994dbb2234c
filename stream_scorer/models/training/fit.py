"""Training: from labelled rows to a pipeline with its card.

Invariant: the threshold is chosen on rows that the figures are not measured on.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from stream_scorer.core.contract.columns import COLUMN_NAMES, COLUMNS
from stream_scorer.core.contract.observation_code import column_indices
from stream_scorer.core.quality.counts import GROUP_COLUMNS
from stream_scorer.errors import ModelError
from stream_scorer.models.dataframes import Codes, frame_of
from stream_scorer.models.serving.predict import Floats
from stream_scorer.models.training.dataset import LABEL, LabelledRows
from stream_scorer.models.training.evaluation import Classes, Evaluation, evaluate
from stream_scorer.models.training.pipelines import ALGORITHMS, Algorithm, Calibration, calibrated
from stream_scorer.models.training.thresholds import (
    GAP_MAX,
    SUCCESS_RATE_MIN,
    THRESHOLD_MARGIN,
    choose_threshold,
    policies,
)

Progress = Callable[[str], None]

HELD_OUT_SHARE = 0.2
ROWS_MIN = 200
CLASS_ROWS_MIN = 40
FOLDS = 5
PROBABILITY_BINS = 20


class Trained(NamedTuple):
    """A pipeline, its threshold, what else its card says, and the figures on the held-out rows and on each further
    test. `errors`: squared, of the out-of-fold probabilities, shape (n,)."""

    pipeline: Any
    threshold: float
    card: dict[str, Any]
    evaluations: dict[str, Evaluation]
    errors: Floats


class TrainingPlan(NamedTuple):
    """How to train. `margin`: how far above 0.5 the success rate must be where the threshold is chosen. `gap_max`: the
    largest gap between groups there; None: any."""

    algorithm: Algorithm = "logistic"
    calibration: Calibration = "none"
    margin: float = THRESHOLD_MARGIN
    gap_max: float | None = None
    seed: int = 0


def train(
    rows: LabelledRows,
    *,
    source: str,
    algorithm: Algorithm = "logistic",
    calibration: Calibration = "none",
    margin: float = THRESHOLD_MARGIN,
    gap_max: float | None = None,
    seed: int = 0,
    tests: Mapping[str, LabelledRows] | None = None,
    progress: Progress = lambda step: None,
) -> Trained:
    """A pipeline fitted to four fifths of the rows and measured on the rest (the latest when the rows have times) and
    on the `tests`. Raises ModelError when there are too few rows, or when no threshold reaches a success rate of 0.5
    plus the margin, or keeps the gap between groups at `gap_max` where that is given."""
    check_labels(rows, source)
    # One thread trains five times as fast as all of a busy machine's, which wait for each other.
    with threadpool_limits(limits=1):
        plan = TrainingPlan(algorithm, calibration, margin, gap_max, seed)
        return fit_and_measure(rows, source, plan, tests or {}, progress)


def fit_and_measure(
    rows: LabelledRows,
    source: str,
    plan: TrainingPlan,
    tests: Mapping[str, LabelledRows],
    progress: Progress,
) -> Trained:
    algorithm, calibration, margin, gap_max, seed = plan
    fitted_on, held_out = split(rows, seed)
    codes, classes = rows.codes[fitted_on], rows.classes[fitted_on]
    out_of_fold = cross_validate(codes, classes, plan, progress)
    threshold = choose_threshold(out_of_fold, classes, margin, codes=codes, gap_max=gap_max)
    progress(f"fitting {algorithm} to {len(codes):,} rows")
    pipeline = unfitted(plan).fit(frame_of(codes), classes)
    evaluations = {}
    for test, (test_codes, test_classes) in {
        "held-out": (rows.codes[held_out], rows.classes[held_out]),
        **{test: (tested.codes, tested.classes) for test, tested in tests.items()},
    }.items():
        progress(f"evaluating on {len(test_codes):,} rows ({test})")
        evaluations[test] = evaluate(
            test_codes, pipeline.predict_proba(frame_of(test_codes))[:, 1], test_classes, threshold.value, seed
        )
    card = {
        "algorithm": algorithm,
        "calibration": calibration,
        "threshold_choice": {
            "rule": f"the lowest with a success rate of at least {SUCCESS_RATE_MIN} + {margin}"
            + ("" if gap_max is None else f" and a gap between groups of at most {gap_max}"),
            "on": f"{len(codes)} rows, out of fold",
            "success_rate": threshold.success_rate._asdict(),
            "policies": {
                policy: None if found is None else plain(found)
                for policy, found in policies(
                    codes, out_of_fold, classes, margin, GAP_MAX if gap_max is None else gap_max
                ).items()
            },
        },
        "training": {
            "source": source,
            "label": LABEL,
            "seed": seed,
            "rows": len(codes),
            "split": "by time" if rows.times is not None else "at random",
            "cleaning": {name: getattr(rows.cleaning, name) for name in rows.cleaning.__struct_fields__},
        },
        "evaluations": {test: plain(evaluation) for test, evaluation in evaluations.items()},
        "distributions": distributions(codes, out_of_fold),
    }
    return Trained(pipeline, threshold.value, card, evaluations, (out_of_fold - classes) ** 2)


def check_labels(rows: LabelledRows, source: str) -> None:
    """Raises ModelError when there is not enough to learn from."""
    positives = int(rows.classes.sum())
    negatives = len(rows.classes) - positives
    if len(rows.classes) == 0:
        raise ModelError(
            f"{source} has no valid row with a label in {LABEL} ({rows.cleaning.read} rows read): "
            "give rows whose outcome is known"
        )
    if positives == 0 or negatives == 0:
        raise ModelError(f"{source} has only one class ({LABEL} is always {rows.classes[0]}): give rows of both")
    if len(rows.classes) < ROWS_MIN or min(positives, negatives) < CLASS_ROWS_MIN:
        raise ModelError(
            f"{source} has {positives} rows with contraband and {negatives} without: "
            f"give at least {ROWS_MIN} rows, and {CLASS_ROWS_MIN} of each class"
        )


def split(rows: LabelledRows, seed: int) -> tuple[Codes, Codes]:
    """The places of the rows to fit and of those held out: the latest fifth where times are known, else a random
    one."""
    places = np.random.default_rng(seed).permutation(len(rows.codes))
    if rows.times is not None:
        places = places[np.argsort(rows.times[places], kind="stable")]
    fitted = len(places) - round(len(places) * HELD_OUT_SHARE)
    return np.sort(places[:fitted]), np.sort(places[fitted:])


def unfitted(plan: TrainingPlan) -> Any:
    """The pipeline that a plan fits."""
    return calibrated(ALGORITHMS[plan.algorithm](plan.seed), plan.calibration)


def cross_validate(codes: Codes, classes: Classes, plan: TrainingPlan, progress: Progress) -> Floats:
    """For each row the probability that a model says which has not seen it."""
    from sklearn.model_selection import StratifiedKFold

    frame, probabilities = frame_of(codes), np.empty(len(codes))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=plan.seed)
    for fold, (seen, unseen) in enumerate(folds.split(frame, classes), start=1):
        progress(f"cross-validating, fold {fold} of {FOLDS}")
        pipeline = unfitted(plan).fit(frame.iloc[seen], classes[seen])
        probabilities[unseen] = pipeline.predict_proba(frame.iloc[unseen])[:, 1]
    return probabilities


def distributions(codes: Codes, probabilities: Floats) -> dict[str, Any]:
    """How often each value of each column and each twentieth of the probabilities came up; what drift is measured
    against."""
    indices = dict(zip(COLUMN_NAMES, column_indices(codes), strict=True))
    bins = np.minimum((probabilities * PROBABILITY_BINS).astype(np.intp), PROBABILITY_BINS - 1)
    names = {column.name: [str(value) for value in column.domain] for column in COLUMNS}
    counts = {
        name: dict(zip(names[name], np.bincount(index, minlength=len(names[name])).tolist(), strict=True))
        for name, index in indices.items()
    }
    by_group = {
        name: {
            value: np.bincount(bins[indices[name] == place], minlength=PROBABILITY_BINS).tolist()
            for place, value in enumerate(names[name])
        }
        for name in GROUP_COLUMNS
    }
    return {
        "rows": len(codes),
        "features": counts,
        "probabilities": np.bincount(bins, minlength=PROBABILITY_BINS).tolist(),
        "probabilities_by_group": by_group,
        "probability_bins": PROBABILITY_BINS,
    }


def plain(value: Any) -> Any:
    """Named tuples as objects, for JSON."""
    if hasattr(value, "_asdict"):
        return {name: plain(part) for name, part in value._asdict().items()}
    return [plain(part) for part in value] if isinstance(value, tuple | list) else value
