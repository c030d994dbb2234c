"""Recording rules about drift: how far traffic is from what each model was trained on, as population stability index.

Invariant: a share of nothing counts as half a row, else one rare value would make the index infinite; a column is held
against its training over a span in which it has shown all of itself.
"""

from typing import Final

from stream_scorer.operations.monitoring.quality_rules import WHOLE
from stream_scorer.operations.monitoring.rules import Recording, RuleGroup, RulePace, span
from stream_scorer.runtime.metrics import catalogue as catalogue

# In less than a week some days of the week are missing, and that would look like drift
WEEKLY: Final = "day_of_week"
COUNT_MIN: Final = 0.5
# Of the hours of a span so many must have been counted: the first half of a day is no day
WHOLE_SHARE: Final = 0.9


def drift_rules(pace: RulePace) -> RuleGroup:
    """PSI of every column, of the probabilities, and of the probabilities within each group."""
    spans = {f'column!="{WEEKLY}"': pace.day_s, f'column="{WEEKLY}"': pace.week_s}
    features, probabilities = "stream_scorer:feature_observations", "stream_scorer:probabilities"
    parts = [seen_whole(f"{features}:hour{{{matcher}}}", seconds, pace) for matcher, seconds in spans.items()]
    by_model = "job, model, role"
    trained_features = f"max by ({by_model}, column, bucket) ({catalogue.TRAINING_FEATURES.name})"
    trained = catalogue.TRAINING_PROBABILITIES.name
    rules = (
        Recording(features, "\nor\n".join(parts), "Scored observations of a day, by bucket; weekdays of a week"),
        Recording(
            f"{features}:total",
            f"sum by (job, column) ({features})",
            "Sample size of a column's index",
        ),
        Recording(
            f"{features}:share",
            f"clamp_min({features}, {COUNT_MIN}) / on (job, column) group_left () ({features}:total > 0)",
            "Share of each bucket",
        ),
        Recording(
            "stream_scorer:training_features:share",
            observed_share(trained_features, f"{by_model}, column"),
            "Share of each bucket in the model's training data",
        ),
        Recording(
            "stream_scorer:feature_psi",
            psi(
                "stream_scorer:training_features:share",
                f"{features}:share",
                "job, column, bucket",
                f"{by_model}, column",
            ),
            "Population stability index of a column",
        ),
        Recording(
            probabilities,
            seen_whole(f"{probabilities}:hour", pace.day_s, pace),
            "Predictions of a day, by group and tenth of the probability",
        ),
        Recording(
            f"{probabilities}:total",
            f"sum by ({by_model}, column, group) ({probabilities})",
            "Sample size of a group's index",
        ),
        *group_psi(probabilities, trained, by_model),
        *whole_psi(probabilities, trained, by_model),
    )
    return RuleGroup("stream-scorer-drift", span(pace.minute_s), rules)


def seen_whole(hourly: str, seconds: int, pace: RulePace) -> str:
    """Hours added up over a span that was counted nearly whole."""
    window, hours = span(seconds), int(seconds / pace.hour_s * WHOLE_SHARE)
    return f"(sum_over_time({hourly}[{window}])\n  and count_over_time({hourly}[{window}]) >= {hours})"


def observed_share(counted: str, within: str) -> str:
    return f"clamp_min({counted}, {COUNT_MIN})\n  / on ({within}) group_left () (sum by ({within}) ({counted}) > 0)"


def psi(trained: str, seen: str, matched: str, labels: str) -> str:
    """Σ (q - p) · ln(q / p), of what was trained on (many models) and what is seen."""
    beside = f"on ({matched}) group_left ()"
    return f"sum by ({labels}) (\n  ({trained} - {beside} {seen})\n  * ln({trained} / {beside} {seen})\n)"


def group_psi(probabilities: str, trained: str, by_model: str) -> tuple[Recording, ...]:
    within = f"{by_model}, column, group"
    name = "stream_scorer:group_probability"
    beside = f"max by ({within}, bucket) ({trained})"
    return (
        Recording(f"{name}:share", observed_share(probabilities, within), "Share of each tenth within a group"),
        Recording(f"{name}:training_share", observed_share(beside, within), "The same in the model's training data"),
        Recording(
            f"{name}_psi",
            psi(f"{name}:training_share", f"{name}:share", f"{within}, bucket", within),
            "Population stability index of the probabilities within a group",
        ),
    )


def whole_psi(probabilities: str, trained: str, by_model: str) -> tuple[Recording, ...]:
    name = "stream_scorer:probability"
    seen = f"sum by ({by_model}, bucket) ({probabilities}{{{WHOLE}}})"
    beside = f"sum by ({by_model}, bucket) (max by ({by_model}, column, group, bucket) ({trained}{{{WHOLE}}}))"
    return (
        Recording(f"{name}:total", f"sum by ({by_model}) ({seen})", "Sample size of the index"),
        Recording(f"{name}:share", observed_share(seen, by_model), "Share of each tenth of the probabilities"),
        Recording(f"{name}:training_share", observed_share(beside, by_model), "The same in the model's training data"),
        Recording(
            f"{name}_psi",
            psi(f"{name}:training_share", f"{name}:share", f"{by_model}, bucket", by_model),
            "Population stability index of the probabilities",
        ),
    )
