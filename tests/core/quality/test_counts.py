"""Quality figures: known intervals, counts that add up, and the rule of the business."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_scorer.core.contract.observation_code import CODES, encode_columns, observation_columns
from stream_scorer.core.quality.confidence_intervals import newcombe, wilson
from stream_scorer.core.quality.counts import GROUP_COLUMNS, ConfusionCounts, QualityCounts
from stream_scorer.core.quality.figures import QualityMetrics, figures, figures_by_name
from tests.support.builders import an_observation

MODEL = ("demo@0123456789ab", "champion")


def counted(rows: list[tuple[int, float, bool, bool]], predictions: int = 0) -> ConfusionCounts:
    quality = QualityCounts()
    codes, probas, predicted, actual = (np.array(column) for column in zip(*rows, strict=True))
    quality.count_joined(MODEL, codes, probas, predicted, actual)
    quality.count_predictions(MODEL, np.resize(codes, predictions), np.ones(predictions, dtype=np.bool_))
    return quality[MODEL]


def a_code(**changes: object) -> int:
    return encode_columns(an_observation(**changes))


def test_the_groups_are_race_sex_and_ethnicity() -> None:
    assert GROUP_COLUMNS == ("SubjectRaceCode", "SubjectSexCode", "SubjectEthnicityCode")


ROWS = st.lists(
    st.tuples(st.integers(0, CODES - 1), st.floats(0, 1), st.booleans(), st.booleans()), min_size=1, max_size=30
)


@given(rows=ROWS)
def test_rows_are_counted_in_the_cell_of_their_group_decision_and_class(
    rows: list[tuple[int, float, bool, bool]],
) -> None:
    said = figures(counted(rows, predictions=50))
    for group in said.groups:
        mine = [row for row in rows if str(observation_columns(row[0])[group.column]) == group.value]
        positive = [row for row in mine if row[2]]
        assert group.joined == len(mine)
        assert group.predicted_positive == len(positive)
        rate = sum(row[3] for row in positive) / len(positive) if positive else None
        assert (group.discovery_rate.value if group.discovery_rate else None) == rate
    assert said.joined == len(rows)
    assert said.predictions == 50
    assert said.true_positive == sum(row[2] and row[3] for row in rows)
    assert said.brier == pytest.approx(sum((row[1] - row[3]) ** 2 for row in rows) / len(rows))


@given(rows=ROWS)
def test_one_by_one_and_all_at_once_count_the_same(rows: list[tuple[int, float, bool, bool]]) -> None:
    cells = ConfusionCounts()
    for row in rows:
        cells.count_one(*row)
    at_once = counted(rows)
    assert (cells.joined == at_once.joined).all()
    assert np.allclose(cells.squared_error, at_once.squared_error)


@given(rows=ROWS)
def test_what_is_retracted_is_as_if_never_counted(rows: list[tuple[int, float, bool, bool]]) -> None:
    quality, other = QualityCounts(), QualityCounts()
    for row in rows:
        other[MODEL].count_one(*row)
    quality.add(other)
    quality.add(other, -1)
    assert not quality[MODEL].joined.any()
    assert np.allclose(quality[MODEL].squared_error, 0)


def test_success_rate_is_of_predicted_and_recall_of_actual_positives() -> None:
    hit, miss, late, calm = (True, True), (True, False), (False, True), (False, False)
    said = figures(counted([(a_code(), 0.5, *row) for row in [hit] * 3 + [miss] + [late] * 2 + [calm] * 4]))
    assert said.success_rate is not None
    assert said.recall is not None
    assert (said.success_rate.value, said.recall.value, said.brier) == (0.75, 0.6, 0.25)


def test_without_positive_predictions_the_success_rate_is_not_known() -> None:
    said = figures(counted([(a_code(), 0.1, False, False)]))
    assert said.success_rate is None
    assert said.recall is None
    assert said.gaps == ()


def test_nothing_counted_gives_no_figure_at_all() -> None:
    said = figures(ConfusionCounts())
    assert (said.success_rate, said.recall, said.brier, said.coverage) == (None, None, None, None)


def test_coverage_is_not_said_where_more_outcomes_than_predictions_were_counted() -> None:
    rows = [(a_code(), 0.5, True, True)] * 4
    assert figures(counted(rows, predictions=3)).coverage is None
    coverage = figures(counted(rows, predictions=8)).coverage
    assert coverage is not None
    assert coverage.value == 0.5


def test_the_largest_gap_is_between_the_best_and_the_worst_found_group() -> None:
    rows = [(a_code(SubjectRaceCode=race), 0.5, True, n < hits) for race, hits in RATES.items() for n in range(10)]
    said = figures(counted(rows), group_positives_min=10)
    (gap,) = said.gaps
    assert (gap.column, gap.highest, gap.lowest) == ("SubjectRaceCode", "A", "I")
    assert gap.gap.value == pytest.approx(0.7)
    assert figures(counted(rows), group_positives_min=11).gaps == ()


RATES = {"W": 5, "B": 4, "A": 9, "I": 2}


# Worked examples: Newcombe, Statistics in Medicine 17 (1998), 857-872 and 873-890, tables I and II.
@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_published_intervals(successes: int, trials: int, low: float, high: float) -> None:
    interval = wilson(successes, trials)
    assert interval is not None
    assert interval == pytest.approx((successes / trials, low, high), abs=5e-5)


def test_newcombe_gives_the_published_interval() -> None:
    one, other = wilson(56, 70), wilson(48, 80)
    assert one is not None
    assert other is not None
    assert newcombe(one, other) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


@given(trials=st.integers(1, 10**9), share=st.floats(0, 1))
def test_an_interval_holds_its_share_and_stays_within_0_and_1(trials: int, share: float) -> None:
    interval = wilson(round(share * trials), trials)
    assert interval is not None
    assert 0.0 <= interval.low <= interval.value <= interval.high <= 1.0


def test_wilson_of_nothing_is_nothing() -> None:
    assert wilson(0, 0) is None


def test_json_keeps_the_names_of_figures() -> None:
    rows = [(a_code(SubjectRaceCode=race), 0.5, True, race == "W") for race in "WB"]
    said = json.loads(json.dumps(figures_by_name(figures(counted(rows, predictions=2)))))
    assert set(said) == set(QualityMetrics._fields)
    assert set(said["success_rate"]) == {"value", "low", "high"}
    assert said["groups"][0]["column"] == "SubjectRaceCode"
    assert (said["gaps"][0]["highest"], said["gaps"][0]["gap"]["value"]) == ("W", 1.0)
