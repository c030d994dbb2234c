"""From which probability on a prediction is true: the policies, and what each costs.

Invariant: one threshold for everybody; groups are looked at, never treated apart.
"""

from typing import Final, NamedTuple

from stream_scorer.core.quality.confidence_intervals import Interval, wilson
from stream_scorer.core.quality.counts import QualityCounts
from stream_scorer.core.quality.figures import figures
from stream_scorer.errors import ModelError
from stream_scorer.models.dataframes import Codes
from stream_scorer.models.serving.predict import Floats
from stream_scorer.models.training.evaluation import Classes

SUCCESS_RATE_MIN: Final = 0.5
# Chosen on one set of stops, the threshold must still hold on next year's.
THRESHOLD_MARGIN: Final = 0.05
THRESHOLD_POSITIVES_MIN: Final = 50
# A gap between groups is looked at from so many positive predictions in each on: fewer, and every threshold has one by
# chance.
GAP_POSITIVES_MIN: Final = 100
GAP_MAX: Final = 0.05


class Threshold(NamedTuple):
    """From which probability on a prediction is true, and what that gives on the rows that it was chosen on. `gap`: the
    largest one between discovery rates of two groups of one column; None where too few are predicted."""

    value: float
    success_rate: Interval
    recall: float
    gap: float | None


def choose_threshold(
    probabilities: Floats,
    classes: Classes,
    margin: float,
    *,
    codes: Codes | None = None,
    gap_max: float | None = None,
) -> Threshold:
    """The lowest threshold in whole hundredths that reaches the success rate with the margin and, where `gap_max` is
    given, keeps every gap between groups of `codes` at most so large; the lowest, so that as much as possible is found.
    Raises ModelError where there is none."""
    best, smallest = 0.0, 1.0
    for hundredths in range(1, 100):
        predicted = probabilities >= hundredths / 100
        rate = wilson(int(classes[predicted].sum()), int(predicted.sum()))
        if rate is None or predicted.sum() < THRESHOLD_POSITIVES_MIN:
            break
        best = max(best, rate.value)
        if rate.value < SUCCESS_RATE_MIN + margin:
            continue
        gap = None if codes is None else largest_gap(codes, probabilities, classes, predicted)
        if gap_max is None or (gap is not None and gap <= gap_max):
            return Threshold(hundredths / 100, rate, float(classes[predicted].sum() / classes.sum()), gap)
        smallest = min(smallest, 1.0 if gap is None else gap)
    if gap_max is not None and best >= SUCCESS_RATE_MIN + margin:
        raise ModelError(
            f"no threshold keeps the gap between groups at {gap_max:.2f} (the smallest: {smallest:.3f}): allow a "
            "larger one, or train on rows that tell the groups' searches apart better"
        )
    raise ModelError(
        f"no threshold reaches a success rate of {SUCCESS_RATE_MIN + margin:.2f} "
        f"on at least {THRESHOLD_POSITIVES_MIN} predictions "
        f"(the best: {best:.3f}): give more rows, or a smaller margin"
    )


def largest_gap(codes: Codes, probabilities: Floats, classes: Classes, predicted: Classes) -> float | None:
    """The largest gap between discovery rates of two groups of one column; None where no two groups are judged."""
    counted, model = QualityCounts(), ("", "")
    counted.count_joined(model, codes, probabilities, predicted, classes)
    found = figures(counted[model], group_positives_min=GAP_POSITIVES_MIN).gaps
    return max((each.gap.value for each in found), default=None)


def policies(
    codes: Codes, probabilities: Floats, classes: Classes, margin: float, gap_max: float
) -> dict[str, Threshold | None]:
    """What each policy would choose; None where it finds no threshold. All arrays of shape (n,)."""
    found: dict[str, Threshold | None] = {}
    for policy, bound in (("success-rate", None), ("gap", gap_max)):
        try:
            found[policy] = choose_threshold(probabilities, classes, margin, codes=codes, gap_max=bound)
        except ModelError:
            found[policy] = None
    return found
