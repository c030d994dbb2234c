"""What champion and candidate say, as drawings: each says in words what it shows, and nothing is drawn of nothing."""

import re
from html import unescape

import numpy as np

from stream_scorer.core.contract.observation_code import CODES
from stream_scorer.core.rollout.score_histograms import ScoreCounter, ScoreHistograms, no_histograms
from stream_scorer.operations.console.score_charts import TENTH_OUTCOMES_MIN, score_charts

STOPS = 4_000


def counted() -> ScoreHistograms:
    """The champion is calibrated, the candidate says 0.15 everywhere."""
    random = np.random.default_rng(5)
    codes, champion = random.integers(0, CODES, STOPS), random.random(STOPS)
    candidate, actual = np.full(STOPS, 0.15), random.random(STOPS) < champion
    counter = ScoreCounter(no_histograms())
    counter.add_scored(codes, champion, candidate)
    counter.add_outcomes(codes, champion, candidate, actual)
    return counter.histograms()


def test_calibration_names_the_share_that_was_found_of_what_was_promised() -> None:
    drawing = score_charts(counted(), (0.5, 0.4)).calibration
    assert drawing is not None
    titles = [unescape(title) for title in re.findall(r"<title>(.*?)</title>", drawing)]
    assert [title.split(",")[0] for title in titles] == ["champion"] * 10 + ["candidate"]
    assert re.match(r"candidate, 0\.1-0\.2: 1\u202f9\d\d|2\u202f0\d\d of 4\u202f000 outcomes true", titles[-1])
    heights = [float(y) for y in re.findall(r'cy="([\d.]+)"', drawing)]
    assert heights[:10] == sorted(heights[:10], reverse=True)  # the more is promised, the more is found


def test_every_group_with_stops_has_its_drawing() -> None:
    found = score_charts(counted(), (0.5, 0.4))
    assert {column.title: [group.group for group in column.groups] for column in found.columns} == {
        "Race": ["W", "B", "A", "I"],
        "Sex": ["M", "F"],
        "Ethnicity": ["H", "M", "N"],
    }
    for column in found.columns:
        assert sum(group.stops for group in column.groups) == STOPS
    drawing = found.columns[1].groups[0].drawing
    assert "Sex M: stops by probability" in drawing
    assert "candidate 100\u202f%" in drawing
    assert drawing.count("<line") == 2  # both thresholds


def test_nothing_is_drawn_of_nothing_and_little_of_little() -> None:
    assert score_charts(no_histograms(), (0.5, 0.4)) == (None, [])
    few = no_histograms()
    few.calibration[:, 0, 3] = TENTH_OUTCOMES_MIN - 1, 5
    assert score_charts(few, (0.5, 0.4)).calibration is None
