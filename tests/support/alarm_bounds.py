"""The formula that the recording rules compute in PromQL, in Python."""

from math import log, sqrt

from stream_scorer.core.quality.sequential_bounds import MIXTURE, VARIANCE_MAX


def half_width(outcomes: float, alarm_log_capital: float) -> float:
    """How far the true share can be from the share of these outcomes, at all looks at once."""
    variance = outcomes * VARIANCE_MAX + MIXTURE
    return sqrt(2 * variance * (alarm_log_capital + log(variance / MIXTURE) / 2)) / outcomes
