"""Evidence as drawings: what was found with its bounds, against the number of outcomes.

Invariant: shapes and numbers only, as in `svg_charts.py`; every drawing says in words what it shows.
"""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from markupsafe import Markup

from stream_scorer.core.records.model_control import AcceptanceTest
from stream_scorer.core.rollout.evidence import EvidenceCounts
from stream_scorer.core.rollout.intervals import ConditionInterval, intervals
from stream_scorer.operations.console.formatting import count, figure, instant
from stream_scorer.operations.rollout.evidence_log import EvidencePoint

WIDTH: Final = 360
HEIGHT: Final = 120
POINTS_MAX: Final = 60
# The last bounds and the line take so much of the height; what was wider before is cut off
FILLED: Final = 0.5


class EvidenceChart(NamedTuple):
    """One condition's drawing with what stands beside it. `top`, `bottom`: the figures at its upper and lower edge."""

    name: str
    drawing: Markup
    top: float
    bottom: float
    outcomes: int


def evidence_charts(
    points: Sequence[EvidencePoint], threshold: float, test: AcceptanceTest, candidates: int
) -> list[EvidenceChart]:
    """A drawing for each condition with bounds, of how the evidence grew; a contrast has one for both of its ways."""
    if not points:
        return []
    kept = [points[index] for index in sorted(set(np.linspace(0, len(points) - 1, POINTS_MAX).astype(int).tolist()))]
    counts = EvidenceCounts(*(np.stack(arrays) for arrays in zip(*(point.counts for point in kept), strict=True)))
    outcomes = counts.cells.sum(axis=-1)
    found = intervals(counts, threshold, test, candidates)
    both_ways = {f"gap_{contrast.subtrahend}-{contrast.minuend}" for contrast in test.contrasts}
    times = [point.at_ms for point in kept]
    return [
        chart
        for interval in found
        if interval.name not in both_ways and (chart := _chart(interval, outcomes.tolist(), times)) is not None
    ]


def _chart(interval: ConditionInterval, outcomes: list[int], times: list[int]) -> EvidenceChart | None:
    known = [place for place in range(len(outcomes)) if math.isfinite(interval.value[place])]
    if not known:
        return None
    lines = [interval.bound] if interval.at_least else [interval.bound, -interval.bound]
    last = known[-1]
    shown = [float(interval.low[last]), float(interval.high[last]), float(interval.value[last]), *lines]
    shown = [value for value in shown if math.isfinite(value)]
    middle, half = (max(shown) + min(shown)) / 2, (max(shown) - min(shown)) / 2 / FILLED or 0.01
    bottom, top = middle - half, middle + half
    outcomes_max = max(outcomes) or 1

    def x(place: int) -> float:
        return outcomes[place] / outcomes_max * WIDTH

    def y(value: float) -> float:
        return (top - min(max(value, bottom), top)) / (top - bottom) * HEIGHT

    upper = [f"{x(place):.1f},{y(_or(interval.high[place], top)):.1f}" for place in known]
    lower = [f"{x(place):.1f},{y(_or(interval.low[place], bottom)):.1f}" for place in reversed(known)]
    middle_line = " ".join(f"{x(place):.1f},{y(float(interval.value[place])):.1f}" for place in known)
    demands = Markup("").join(
        Markup('<line class="demand" x1="0" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(WIDTH, y(line), y(line))
        for line in lines
    )
    said = _words(interval, last, outcomes[last])
    hovers = Markup("").join(
        Markup('<rect class="hover" x="{:.1f}" y="0" width="{:.1f}" height="{}"><title>{}, {}Z</title></rect>').format(
            x(before),
            max(x(place) - x(before), 0.5),
            HEIGHT,
            _words(interval, place, outcomes[place]),
            instant(times[place])[:19],
        )
        for before, place in zip([known[0], *known], known, strict=False)
    )
    drawing = Markup(
        '<svg class="evidence" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<polygon points="{}"/>{}<polyline points="{}"/>{}</svg>'
    ).format(WIDTH, HEIGHT, said, " ".join(upper + lower), demands, middle_line, hovers)
    return EvidenceChart(interval.name, drawing, top, bottom, outcomes_max)


def _words(interval: ConditionInterval, place: int, outcomes: int) -> str:
    bounds = f"{figure(float(interval.low[place]))} to {figure(float(interval.high[place]))}"
    side = "at least" if interval.at_least else "at most"
    return (
        f"{interval.name} after {count(outcomes)} outcomes: {figure(float(interval.value[place]))}, bounds {bounds}, "
        f"must be {side} {figure(interval.bound)}"
    )


def _or(value: float, otherwise: float) -> float:
    return float(value) if math.isfinite(value) else otherwise
