"""Recording rules about how well predictions do: success rate, recall, discovery rates and their gaps, with intervals
for one look and bounds for all looks.

Invariant: what corrections took back is subtracted before anything else; a figure keeps its `job` and its window.
"""

from math import log
from typing import Final

from stream_scorer.core.quality.confidence_intervals import Z_95
from stream_scorer.core.quality.sequential_bounds import MIXTURE, VARIANCE_MAX, log_capital
from stream_scorer.operations.monitoring.rules import Recording, RuleGroup, RulePace, span
from stream_scorer.runtime.metrics import catalogue as catalogue
from stream_scorer.runtime.settings.sections import BusinessSettings

# Every outcome is counted once in each of the three columns: any one of them tells the whole
WHOLE: Final = 'column="SubjectSexCode"'
# Shadows say what they would have said: it belongs to no figure of what was published
PUBLISHED: Final = 'role!="shadow"'
GROUP: Final = "job, window, column, group"
BY_MODEL: Final = "job, model, role, column, group"
# So many parts of the groups' discovery rates may each raise a false alarm
GROUP_ALARMS: Final = len(catalogue.GROUPS)


def hourly_rules(pace: RulePace) -> RuleGroup:
    """What came in an hour, taken once an hour: the stuff of every longer window."""
    hour = span(pace.hour_s)

    def grown(name: str, labels: str) -> str:
        return f"sum by ({labels}) (increase({name}[{hour}]))"

    joined, errors = f"{BY_MODEL}, predicted, actual", "job, model, role"
    rules = (
        Recording(
            "stream_scorer:joined:hour",
            f"{grown(catalogue.JOINED.name, joined)}\n  - {grown(catalogue.JOINED_RETRACTED.name, joined)}",
            "Joined outcomes",
        ),
        Recording(
            "stream_scorer:squared_error:hour",
            f"{grown(catalogue.SQUARED_ERROR.name, errors)}\n"
            f"  - {grown(catalogue.SQUARED_ERROR_RETRACTED.name, errors)}",
            "Sum of (probability - class)² over joined outcomes",
        ),
        Recording(
            "stream_scorer:predictions:hour",
            grown(catalogue.PREDICTIONS.name, f"{BY_MODEL}, predicted"),
            "Predictions, by group and decision",
        ),
        Recording(
            "stream_scorer:feature_observations:hour",
            grown(catalogue.FEATURES.name, "job, column, bucket"),
            "Scored observations, by the bucket of each column",
        ),
        Recording(
            "stream_scorer:probabilities:hour",
            grown(catalogue.PROBABILITIES.name, f"{BY_MODEL}, bucket"),
            "Predictions, by group and tenth of the probability",
        ),
        Recording(
            "stream_scorer:dead_letters:known",
            f"sum by (job, code, stage) ({catalogue.DEAD_LETTERS.name})",
            "Dead letters since the workers' start: above 0 for codes that have occurred",
        ),
    )
    return RuleGroup("stream-scorer-hours", hour, rules)


def quality_rules(business: BusinessSettings, pace: RulePace) -> RuleGroup:
    """Quality over a day, a week and four weeks."""
    rules: list[Recording] = []
    for window, seconds in pace.windows.items():
        rules += [
            Recording(record, expr, meaning, {"window": window}) for record, expr, meaning in counts(span(seconds))
        ]
    rules += rates(
        "success_rate",
        "job, window",
        f"{WHOLE}, {PUBLISHED}",
        log_capital(),
        "Success rate: true positives among positive predictions with an outcome",
    )
    rules += rates("discovery_rate", GROUP, PUBLISHED, log_capital(GROUP_ALARMS), "The success rate within a group")
    rules += gaps(business)
    rules += [
        Recording(
            "stream_scorer:recall",
            recall("job, window", f"{WHOLE}, {PUBLISHED}"),
            "Recall: share of the finds that were predicted",
        ),
        Recording(
            "stream_scorer:brier_score",
            brier_score("job, window", PUBLISHED),
            "Mean of (probability - class)²",
        ),
        *model_rates(),
        Recording(
            "stream_scorer:outcome_coverage",
            f"sum by ({GROUP}) (stream_scorer:joined{{{PUBLISHED}}})\n"
            f"  / (sum by ({GROUP}) (stream_scorer:predictions{{{PUBLISHED}}}) > 0)",
            "Outcomes per prediction, by group; outcomes of older predictions count as well",
        ),
    ]
    return RuleGroup("stream-scorer-quality", span(pace.minute_s), tuple(rules))


def counts(window: str) -> tuple[tuple[str, str, str], ...]:
    """Hours added up: record, expression, meaning."""
    return (
        ("stream_scorer:joined", f"sum_over_time(stream_scorer:joined:hour[{window}])", "Joined outcomes"),
        (
            "stream_scorer:squared_error",
            f"sum_over_time(stream_scorer:squared_error:hour[{window}])",
            "Sum of squared errors",
        ),
        ("stream_scorer:predictions", f"sum_over_time(stream_scorer:predictions:hour[{window}])", "Predictions"),
    )


def recall(labels: str, matcher: str) -> str:
    return (
        f'sum by ({labels}) (stream_scorer:joined{{{matcher}, predicted="true", actual="true"}})\n'
        f'  / (sum by ({labels}) (stream_scorer:joined{{{matcher}, actual="true"}}) > 0)'
    )


def brier_score(labels: str, matcher: str = "") -> str:
    within = ", ".join(filter(None, (WHOLE, matcher)))
    return (
        f"sum by ({labels}) (stream_scorer:squared_error{{{matcher}}})\n"
        f"  / (sum by ({labels}) (stream_scorer:joined{{{within}}}) > 0)"
    )


def model_rates() -> list[Recording]:
    """The same of each model in its role, shadows too: of the outcomes that each has, so it compares nothing."""
    labels = "job, window, model, role"
    return [
        *rates("model_success_rate", labels, WHOLE, log_capital(), "Success rate of each model in its role"),
        Recording("stream_scorer:model_recall", recall(labels, WHOLE), "Recall of each model in its role"),
        Recording("stream_scorer:model_brier_score", brier_score(labels), "Mean of (probability - class)²"),
    ]


def rates(name: str, labels: str, matcher: str, alarm_log_capital: float, meaning: str) -> list[Recording]:
    """A rate among positive predictions: its count, itself, its 95 % interval (Wilson), and its bounds at all times."""
    record = f"stream_scorer:{name}"
    positive = ", ".join(filter(None, (matcher, 'predicted="true"')))
    n = f"{record}:positives"
    z = f"{Z_95:.6f}"
    root = f"{z} * sqrt({record} * (1 - {record}) / ({n} > 0) + {z}^2 / (4 * ({n} > 0)^2)) / (1 + {z}^2 / ({n} > 0))"
    middle = f"({record} + {z}^2 / (2 * ({n} > 0))) / (1 + {z}^2 / ({n} > 0))"
    variance = f"({n} * {VARIANCE_MAX} + {MIXTURE})"
    half = (
        f"sqrt(2 * {variance}\n    * ({alarm_log_capital:.6f} + (ln({variance}) - {log(MIXTURE):.6f}) / 2)) / ({n} > 0)"
    )
    return [
        Recording(n, f"sum by ({labels}) (stream_scorer:joined{{{positive}}})", "Positive predictions with outcomes"),
        Recording(
            record, f'sum by ({labels}) (stream_scorer:joined{{{positive}, actual="true"}})\n  / ({n} > 0)', meaning
        ),
        Recording(f"{record}:low", f"clamp_min({middle}\n  - {root}, 0)", "Lower end of the 95 % interval at one look"),
        Recording(
            f"{record}:high", f"clamp_max({middle}\n  + {root}, 1)", "Upper end of the 95 % interval at one look"
        ),
        Recording(
            f"{record}:anytime_low",
            f"clamp_min({record}\n  - {half}, 0)",
            "Lower bound that holds at all looks together",
        ),
        Recording(
            f"{record}:anytime_high",
            f"clamp_max({record}\n  + {half}, 1)",
            "Upper bound that holds at all looks together",
        ),
    ]


def gaps(business: BusinessSettings) -> list[Recording]:
    """The largest difference of discovery rates by column, among groups with outcomes enough."""
    rate, column = "stream_scorer:discovery_rate", "job, window, column"
    enough = f"({rate}:positives >= {business.group_outcomes_min})"

    def among(series: str) -> str:
        return f"({series} and {enough})"

    highest, lowest = f"max by ({column}) {among(rate)}", f"min by ({column}) {among(rate)}"
    top = f"({among(rate)} == on ({column}) group_left () {highest})"
    bottom = f"({among(rate)} == on ({column}) group_left () {lowest})"
    groups_of = f"(count by ({column}) {among(rate)} > 1)"
    # Newcombe's interval of a difference, from the Wilson intervals of the two groups
    upward, downward = f"({rate}:high - {rate}", f"({rate} - {rate}:low"

    def widths(of_top: str, of_bottom: str) -> str:
        return f"(max by ({column}) {of_top} and {top})^2 + max by ({column}) {of_bottom} and {bottom})^2)"

    gap = "stream_scorer:discovery_gap"
    return [
        Recording(gap, f"({highest}\n  - {lowest})\n  and {groups_of}", "Largest difference of discovery rates"),
        Recording(
            f"{gap}:low", f"{gap}\n  - sqrt{widths(downward, upward)}", "Lower end of its 95 % interval at one look"
        ),
        Recording(
            f"{gap}:high", f"{gap}\n  + sqrt{widths(upward, downward)}", "Upper end of its 95 % interval at one look"
        ),
        Recording(
            f"{gap}:anytime_low",
            f"(max by ({column}) {among(f'{rate}:anytime_low')}\n"
            f"  - min by ({column}) {among(f'{rate}:anytime_high')})\n  and {groups_of}",
            "Lower bound that holds at all looks together",
        ),
    ]
