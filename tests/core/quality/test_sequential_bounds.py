"""Bounds that hold at all looks: what is claimed of them, tried on many years of made-up hours."""

import numpy as np
import pytest

from stream_scorer.core.quality.confidence_intervals import wilson
from stream_scorer.core.quality.sequential_bounds import LOOKS_A_YEAR, log_capital
from tests.support.alarm_bounds import half_width

DAY, WEEK, MONTH = 24, 7 * 24, 28 * 24
WINDOWS = (DAY, WEEK, MONTH)
OUTCOMES_MIN = 200


def looks(share: float, outcomes_an_hour: int, years: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """For every hour and window (rows: windows) how many outcomes there were and how many were finds."""
    hours = years * LOOKS_A_YEAR
    finds = np.random.default_rng(seed).binomial(outcomes_an_hour, share, hours).cumsum()
    windows = [finds[MONTH:] - finds[MONTH - window : -window] for window in WINDOWS]
    sizes = [np.full(len(windows[0]), window * outcomes_an_hour) for window in WINDOWS]
    return np.array(sizes), np.array(windows)


def alarms(share: float, limit: float, outcomes_an_hour: int, years: int, seed: int = 1) -> int:
    """How often the bound falls below the limit; what lasts is one alarm."""
    sizes, finds = looks(share, outcomes_an_hour, years, seed)
    widths = {int(size): half_width(float(size), log_capital()) for size in sizes[:, 0]}
    high = finds / sizes + np.array([[widths[int(size)]] for size in sizes[:, 0]])
    firing = ((high < limit) & (sizes >= OUTCOMES_MIN)).any(axis=0)
    return int((firing[1:] & ~firing[:-1]).sum() + firing[0])


@pytest.mark.parametrize("outcomes_an_hour", [1, 10, 200])
def test_a_share_right_at_the_limit_raises_less_than_an_alarm_a_year(outcomes_an_hour: int) -> None:
    assert alarms(0.5, 0.5, outcomes_an_hour, years=40) <= 40


def test_a_wilson_interval_looked_at_every_hour_raises_many() -> None:
    sizes, finds = looks(0.5, 10, 10, seed=1)
    z_95 = np.array(
        [
            [(interval.high - 0.5) for interval in [wilson(int(size) // 2, int(size))] if interval]
            for size in sizes[:, 0]
        ]
    )
    firing = (finds / sizes + z_95 < 0.5).any(axis=0)
    assert int((firing[1:] & ~firing[:-1]).sum()) > 10 * 10


@pytest.mark.parametrize(("share", "outcomes"), [(0.3, 300), (0.4, 1_500), (0.45, 6_000)])
def test_a_share_below_the_limit_is_found_out(share: float, outcomes: int) -> None:
    assert share + half_width(outcomes, log_capital()) < 0.5


def test_more_outcomes_narrow_the_bounds() -> None:
    widths = [half_width(outcomes, log_capital()) for outcomes in (1, 10, 100, 1_000, 10_000)]
    assert widths == sorted(widths, reverse=True)


def test_what_is_watched_together_shares_the_alarms_of_a_year() -> None:
    assert half_width(1_000, log_capital(9)) > half_width(1_000, log_capital())
