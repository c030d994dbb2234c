"""What the rules work out, worked out by promtool, against the project's own arithmetic."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from stream_scorer.core.quality.confidence_intervals import newcombe, wilson
from stream_scorer.core.quality.sequential_bounds import log_capital
from stream_scorer.operations.monitoring.grafana_files import ANNOTATIONS
from stream_scorer.operations.monitoring.quality_rules import GROUP_ALARMS
from stream_scorer.runtime.metrics import catalogue as catalogue
from tests.observability.prometheus_scenarios import MODEL, World, distributions, growing, outcomes, series, steady
from tests.observability.promtool_cases import evaluate
from tests.support.alarm_bounds import half_width

A = {"instance": "a:8080"}
# promtool looks on the hour, so that a day's window holds both of its ends
HOURS, HOURS_IN_A_DAY, SCRAPES_AN_HOUR = 26, 25, 3


class Figures(NamedTuple):
    """Finds and positive predictions at each scrape."""

    found: int
    missed: int

    def in_a_day(self) -> tuple[int, int]:
        """Finds and positive predictions of a day, in one group."""
        scrapes = SCRAPES_AN_HOUR * HOURS_IN_A_DAY
        return self.found * scrapes, (self.found + self.missed) * scrapes


def ask(promtool: str, folder: Path, world: World, record: str) -> dict[tuple[str, ...], float]:
    """A record and all whose names begin so, of the day: by what follows in the name, and by their labels."""
    query = f'{{__name__=~"{record}(:.*)?", window=~"day|"}}'
    said = evaluate(promtool, folder, world, query, at=f"{HOURS}h", scrape="20m", step="1h")
    hidden = {"__name__", "job", "window", "model", "role"}
    return {
        (
            labels["__name__"].removeprefix(record),
            *(value for name, value in sorted(labels.items()) if name not in hidden),
        ): told
        for labels, told in said
    }


@pytest.mark.parametrize("figures", [Figures(12, 8), Figures(1, 3), Figures(7, 0)], ids=str)
def test_success_rate_and_its_intervals(figures: Figures, promtool: str, tmp_path: Path) -> None:
    # sex has two groups, so that the whole is twice a group
    found, positive = (2 * count for count in figures.in_a_day())
    expected = wilson(found, positive)
    assert expected is not None
    day = ask(promtool, tmp_path, outcomes(A, *figures), "stream_scorer:success_rate")
    assert day[":positives",] == pytest.approx(positive)
    assert day["",] == pytest.approx(expected.value)
    assert day[":low",] == pytest.approx(expected.low)
    assert day[":high",] == pytest.approx(expected.high)
    width = half_width(positive, log_capital())
    assert day[":anytime_low",] == pytest.approx(max(0.0, expected.value - width), rel=1e-5)
    assert day[":anytime_high",] == pytest.approx(min(1.0, expected.value + width), rel=1e-5)


def test_what_corrections_took_back_is_subtracted(promtool: str, tmp_path: Path) -> None:
    world = outcomes(A, 12, 8)
    for column, group in catalogue.GROUPS:
        told = {**MODEL, "column": column, "group": group, "predicted": "true", "actual": "true"}
        world[series(catalogue.JOINED_RETRACTED.name, A, **told)] = growing(4)
    day = ask(promtool, tmp_path, world, "stream_scorer:success_rate")
    assert day["",] == pytest.approx(8 / 16)


def test_the_gap_of_discovery_rates_and_its_interval(promtool: str, tmp_path: Path) -> None:
    world = outcomes(A, 12, 8)
    groups = {"W": Figures(15, 5), "I": Figures(5, 15)}
    for group, figures in groups.items():
        for actual, grown in (("true", figures.found), ("false", figures.missed)):
            told = {**MODEL, "column": "SubjectRaceCode", "group": group, "predicted": "true", "actual": actual}
            world[series(catalogue.JOINED.name, A, **told)] = growing(grown)
    high, low = (wilson(*figures.in_a_day()) for figures in groups.values())
    assert high is not None
    assert low is not None
    expected = newcombe(high, low)
    found = ask(promtool, tmp_path, world, "stream_scorer:discovery_gap")
    race = "SubjectRaceCode"
    assert found["", race] == pytest.approx(expected.value)
    assert found[":low", race] == pytest.approx(expected.low)
    assert found[":high", race] == pytest.approx(expected.high)
    width = half_width(groups["W"].in_a_day()[1], log_capital(GROUP_ALARMS))
    assert found[":anytime_low", race] == pytest.approx(expected.value - 2 * width, rel=1e-5)


def test_population_stability_with_half_a_row_at_least(promtool: str, tmp_path: Path) -> None:
    seen, trained = {"M": 12, "F": 0}, {"M": 700, "F": 300}
    world = distributions(A)
    for bucket in seen:
        told = {"column": "SubjectSexCode", "bucket": bucket}
        world[series(catalogue.FEATURES.name, A, **told)] = growing(seen[bucket])
        world[series(catalogue.TRAINING_FEATURES.name, A, **MODEL, **told)] = steady(trained[bucket])
    found = ask(promtool, tmp_path, world, "stream_scorer:feature_psi")
    total = seen["M"] * SCRAPES_AN_HOUR * HOURS_IN_A_DAY
    p, q = np.array([1.0, 0.5 / total]), np.array([0.7, 0.3])
    assert found["", "SubjectSexCode"] == pytest.approx(float(((p - q) * np.log(p / q)).sum()))
    assert found["", "hour"] == pytest.approx(0, abs=1e-12)


def test_recall_brier_score_and_coverage(promtool: str, tmp_path: Path) -> None:
    world = outcomes(A, 12, 8)
    assert ask(promtool, tmp_path, world, "stream_scorer:recall")["",] == pytest.approx(12 / 22)
    # 40 joined in each of the two sexes, and an error of 4 in all
    assert ask(promtool, tmp_path, world, "stream_scorer:brier_score")["",] == pytest.approx(4 / 80)
    coverage = ask(promtool, tmp_path, world, "stream_scorer:outcome_coverage")
    assert coverage["", "SubjectSexCode", "F"] == pytest.approx(40 / 120)


def test_a_control_record_is_marked_once_when_the_first_worker_follows_it(promtool: str, tmp_path: Path) -> None:
    (annotation,) = (one for one in ANNOTATIONS if one.name == "Models changed")
    world = {
        series(catalogue.CONTROL_OFFSET.name, A): "3+0x10 4+0x100",
        series(catalogue.CONTROL_OFFSET.name, {"instance": "b:8080"}): "3+0x12 4+0x100",
    }
    asked = annotation.expr.replace("$job", ".*")
    for minute, records in ((10, []), (11, ["4"]), (13, [])):
        (tmp_path / str(minute)).mkdir()
        said = evaluate(promtool, tmp_path / str(minute), world, asked, at=f"{minute}m", scrape="1m", step="1m")
        assert [labels["record"] for labels, _ in said] == records
