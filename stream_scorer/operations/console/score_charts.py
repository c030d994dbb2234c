"""What champion and candidate say, as drawings: how far each is calibrated on outcomes, and how their probabilities lie
in each group.

Invariant: shapes and numbers only, as in `svg_charts.py`; every drawing says in words what it shows.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from stream_scorer.core.quality.confidence_intervals import wilson
from stream_scorer.core.quality.drift_buckets import PROBABILITY_BUCKET_NAMES, PROBABILITY_BUCKETS
from stream_scorer.core.rollout.contrasts import GROUPS_OF
from stream_scorer.core.rollout.score_histograms import ScoreHistograms
from stream_scorer.operations.console.formatting import count, share

SIDE: Final = 220
WIDTH: Final = 220
HEIGHT: Final = 64
# A tenth with fewer outcomes says next to nothing of how far a model is calibrated
TENTH_OUTCOMES_MIN: Final = 20
MODELS: Final = ("champion", "candidate")
COLUMN_WORDS: Final = {
    "SubjectRaceCode": "Race",
    "SubjectSexCode": "Sex",
    "SubjectEthnicityCode": "Ethnicity",
}

Counts = NDArray[np.int64]


class GroupChart(NamedTuple):
    """How both models' probabilities lie in one group. `stops`: how many."""

    group: str
    drawing: Markup
    stops: int


class ColumnCharts(NamedTuple):
    """A drawing for each group of one column that has stops."""

    title: str
    groups: list[GroupChart]


class ScoreCharts(NamedTuple):
    """`calibration`: None where no tenth has outcomes enough; `columns`: only those with stops."""

    calibration: Markup | None
    columns: list[ColumnCharts]


def score_charts(histograms: ScoreHistograms, thresholds: tuple[float, float]) -> ScoreCharts:
    """Of a champion and a candidate with these thresholds."""
    begin, columns = 0, []
    calibration = None
    for column, groups in GROUPS_OF.items():
        rows = slice(begin, begin + len(groups))
        begin += len(groups)
        if calibration is None:  # every stop stands in each column once: any of them tells the whole
            calibration = calibration_chart(histograms.calibration[:, rows].sum(axis=1))
        drawn = [
            GroupChart(group, distribution_chart(f"{COLUMN_WORDS[column]} {group}", scores, thresholds), int(stops))
            for group, scores in zip(groups, np.moveaxis(histograms.scores[:, rows], 1, 0), strict=True)
            if (stops := scores[0].sum())
        ]
        if drawn:
            columns.append(ColumnCharts(COLUMN_WORDS[column], drawn))
    return ScoreCharts(calibration, columns)


def calibration_chart(counted: Counts) -> Markup | None:
    """The share of outcomes that were true, by tenth of the probability, with its 95 % interval; on the diagonal a
    model is calibrated. `counted`: shape (models, tenths, outcomes and those that were true)."""
    points = [Markup("").join(points_of(model, counted[place])) for place, model in enumerate(MODELS)]
    if not any(points):
        return None
    said = "; ".join(f"{model}: {calibration_words(counted[place])}" for place, model in enumerate(MODELS))
    return Markup(
        '<svg class="calibration" viewBox="0 0 {0} {0}" role="img" aria-label="Share of true outcomes by predicted '
        'probability. {1}"><line class="even" x1="0" y1="{0}" x2="{0}" y2="0"/>{2}</svg>'
    ).format(SIDE, said, Markup("").join(points))


def points_of(model: str, counted: Counts) -> Iterator[Markup]:
    highest = int(counted[:, 0].max()) or 1
    aside = -3 if model == MODELS[0] else 3
    for tenth, (outcomes, true) in enumerate(counted.tolist()):
        interval = wilson(true, outcomes)
        if outcomes < TENTH_OUTCOMES_MIN or interval is None:
            continue
        x = (tenth + 0.5) / PROBABILITY_BUCKETS * SIDE + aside
        yield Markup(
            '<g class="{}"><title>{}, {}: {} of {} outcomes true ({}; 95 % {} to {})</title>'
            '<line x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/><circle cx="{:.1f}" cy="{:.1f}" r="{:.1f}"/></g>'
        ).format(
            model,
            model,
            PROBABILITY_BUCKET_NAMES[tenth],
            count(true),
            count(outcomes),
            share(interval.value),
            share(interval.low),
            share(interval.high),
            x,
            x,
            (1 - interval.low) * SIDE,
            (1 - interval.high) * SIDE,
            x,
            (1 - interval.value) * SIDE,
            2.5 + 3.5 * (outcomes / highest) ** 0.5,
        )


def calibration_words(counted: Counts) -> str:
    return ", ".join(
        f"{name} {share(true / outcomes)}"
        for name, (outcomes, true) in zip(PROBABILITY_BUCKET_NAMES, counted.tolist(), strict=True)
        if outcomes >= TENTH_OUTCOMES_MIN
    )


def distribution_chart(group: str, scores: Counts, thresholds: tuple[float, float]) -> Markup:
    """Shares of a group's stops by tenth of the probability: the candidate's as bars, the champion's as an outline,
    and both thresholds. `scores`: shape (models, tenths)."""
    parts = scores / np.maximum(scores.sum(axis=1, keepdims=True), 1)
    highest = float(parts.max()) or 1.0
    step = WIDTH / PROBABILITY_BUCKETS

    def y(part: float) -> float:
        return HEIGHT - part / highest * (HEIGHT - 3)

    bars = Markup("").join(
        Markup('<rect class="candidate" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
            tenth * step + 1, y(part), step - 2, HEIGHT - y(part)
        )
        for tenth, part in enumerate(parts[1].tolist())
    )
    outline = " ".join(
        f"{x:.1f},{y(part):.1f}"
        for tenth, part in enumerate(parts[0].tolist())
        for x in (tenth * step, (tenth + 1) * step)
    )
    lines = Markup("").join(
        Markup('<line class="{}" x1="{:.1f}" x2="{:.1f}" y1="0" y2="{}"/>').format(
            model, threshold * WIDTH, threshold * WIDTH, HEIGHT
        )
        for model, threshold in zip(MODELS, thresholds, strict=True)
    )
    hovers = Markup("").join(
        Markup('<rect class="hover" x="{:.1f}" y="0" width="{:.1f}" height="{}"><title>{}</title></rect>').format(
            tenth * step,
            step,
            HEIGHT,
            f"{group}, {name}: champion {share(champion)}, candidate {share(candidate)} of the stops",
        )
        for tenth, (name, champion, candidate) in enumerate(zip(PROBABILITY_BUCKET_NAMES, *parts.tolist(), strict=True))
    )
    said = ", ".join(
        f"{name} champion {share(champion, 0)} candidate {share(candidate, 0)}"
        for name, champion, candidate in zip(PROBABILITY_BUCKET_NAMES, *parts.tolist(), strict=True)
    )
    return Markup(
        '<svg class="distribution" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" '
        'aria-label="{}: stops by probability. {}">{}<polyline class="champion" points="{}"/>{}{}</svg>'
    ).format(WIDTH, HEIGHT, group, said, bars, outline, lines, hovers)
