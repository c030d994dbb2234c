"""Recording rules about traffic: rates, shares of dead letters, latency and how fast its budget burns.

Invariant: workers are added up, environments never: every figure keeps its `job`.
"""

from typing import Final

from stream_scorer.operations.monitoring.rules import Recording, RuleGroup, RulePace, span
from stream_scorer.runtime.metrics import catalogue as catalogue
from stream_scorer.runtime.settings.sections import BusinessSettings

# 99 of 100 records within the limit: the rest is the budget, for 28 days
BUDGET: Final = 0.01


def traffic_rules(business: BusinessSettings, pace: RulePace) -> RuleGroup:
    """What the operations dashboard and its alerts stand on."""
    five, quarter = span(pace.five_minutes_s), pace.minutes(15)
    observations, letters = catalogue.OBSERVATIONS.name, catalogue.DEAD_LETTERS.name
    ended = f'{observations}{{end!="moved"}}'
    burning = {"5m": pace.five_minutes_s, "30m": pace.half_hour_s, "1h": pace.hour_s, "6h": pace.six_hours_s}
    rules = [
        Recording(
            "stream_scorer:observations:rate5m",
            f"sum by (job, end) (rate({observations}[{five}]))",
            "Observations a second, by where they ended",
        ),
        Recording(
            "stream_scorer:outcomes:rate5m",
            f"sum by (job, end) (rate({catalogue.OUTCOMES.name}[{five}]))",
            "Outcomes a second, by where they ended",
        ),
        Recording(
            "stream_scorer:dead_letters:rate5m",
            f"sum by (job, code, stage) (rate({letters}[{five}]))",
            "Dead letters a second, by the first reason's code and the stage",
        ),
        Recording(
            "stream_scorer:dead_letter_share:15m",
            f'sum by (job) (increase({observations}{{end="dead_lettered"}}[{quarter}]))\n'
            f"  / (sum by (job) (increase({ended}[{quarter}])) > 0)",
            "Share of observations that became dead letters",
        ),
        Recording(
            "stream_scorer:observations:increase15m",
            f"sum by (job) (increase({ended}[{quarter}]))",
            "Observations that ended; a moved one ends on its own partition",
        ),
        Recording(
            "stream_scorer:oldest_uncommitted_record_age_seconds",
            f"max by (job) ({catalogue.OLDEST_UNCOMMITTED_RECORD_AGE.name})",
            "Age of the oldest uncommitted record, in Kafka or in a worker",
        ),
        Recording(
            "stream_scorer:consumer_lag_records",
            f"sum by (job) ({catalogue.CONSUMER_LAG.name})",
            "Consumer lag",
        ),
        *(
            Recording(
                f"stream_scorer:latency_seconds:p{quantile}",
                f"histogram_quantile(0.{quantile}, "
                f"sum by (job, le) (rate({catalogue.LATENCY_SECONDS.name}_bucket[{five}])))",
                f"{quantile} of 100 observations are predicted within",
            )
            for quantile in (50, 99)
        ),
        *(
            Recording(
                "stream_scorer:latency_burn_rate",
                over_limit(catalogue.LATENCY_SECONDS.name, business.latency_ms_max / 1000, seconds),
                "Burn rate of the budget of late predictions, in multiples of the planned rate",
                {"window": window},
            )
            for window, seconds in burning.items()
        ),
        Recording(
            "stream_scorer:model_burn_rate",
            over_limit(catalogue.MODEL_SECONDS.name, business.model_ms_max / 1000, pace.half_hour_s),
            "The same for the time in the model",
            {"window": "30m"},
        ),
    ]
    return RuleGroup("stream-scorer-traffic", span(pace.evaluation_s), tuple(rules))


def over_limit(histogram: str, limit_s: float, seconds: int) -> str:
    """The share beyond the limit, as a multiple of the budget."""
    within = f'{histogram}_bucket{{le="{limit_s!r}"}}'
    window = span(seconds)
    return (
        f"(1 - sum by (job) (increase({within}[{window}]))\n"
        f"  / (sum by (job) (increase({histogram}_count[{window}])) > 0)) / {BUDGET}"
    )
