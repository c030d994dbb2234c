"""Panels of lines and of intervals, as one SVG file that any browser shows.

Invariant: every text is escaped, and a figure that is not known is left out, never drawn as 0.
"""

from collections.abc import Sequence
from html import escape
from math import isfinite
from typing import Final, NamedTuple

from stream_scorer.core.quality.confidence_intervals import Interval

WIDTH: Final = 640
LEFT, RIGHT, TOP, BOTTOM = 150, 130, 34, 40
PLOT_HEIGHT: Final = 240
ROW_HEIGHT: Final = 22
TICKS: Final = 5
# Okabe and Ito: told apart by those who see fewer colours too
COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")


class ChartSeries(NamedTuple):
    """A line: points of (x, y), and their intervals where `intervals` has as many."""

    name: str
    points: Sequence[tuple[float, float]]
    intervals: Sequence[Interval] = ()


class ChartPanel(NamedTuple):
    """A drawing, its height, and what it is called."""

    title: str
    height: float
    body: str


def lines(
    title: str,
    x_title: str,
    y_title: str,
    series: Sequence[ChartSeries],
    *,
    y_max: float | None = None,
    diagonal: bool = False,
) -> ChartPanel:
    """Lines over x in [0, 1]. `y_max`: by default the highest value; `diagonal`: where x and y would be equal."""
    values = [y for one in series for _, y in one.points] + [each.high for one in series for each in one.intervals]
    highest = y_max if y_max is not None else max(values, default=1.0) or 1.0
    width = WIDTH - LEFT - RIGHT

    def at(x: float, y: float) -> tuple[float, float]:
        return LEFT + x * width, TOP + PLOT_HEIGHT * (1 - y / highest)

    parts = [_x_axis(x_title, 0.0, 1.0, PLOT_HEIGHT)]
    for tick in range(TICKS + 1):
        value = highest * tick / TICKS
        x, y = at(0, value)
        parts.append(_line(x, y, LEFT + width, y, "#ddd") + _text(x - 6, y + 4, f"{value:.2g}", "end"))
    parts.append(_text(LEFT - 44, TOP - 12, y_title, "start"))
    if diagonal:
        parts.append(_line(*at(0, 0), *at(1, 1), "#999", "4 3"))
    for place, one in enumerate(series):
        colour = COLOURS[place % len(COLOURS)]
        known = [(x, y) for x, y in one.points if isfinite(x) and isfinite(y)]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*point) for point in known))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for (x, _), each in zip(one.points, one.intervals, strict=False):
            parts.append(_line(*at(x, each.low), *at(x, min(each.high, highest)), colour))
        parts.append(_legend(place, one.name, colour))
    return ChartPanel(title, TOP + PLOT_HEIGHT + BOTTOM, "".join(parts))


def intervals(
    title: str, x_title: str, rows: Sequence[tuple[str, Sequence[Interval | None]]], names: Sequence[str]
) -> ChartPanel:
    """A row for each label with a point and its interval for each of `names`; shares from 0 to 1."""
    height, width = ROW_HEIGHT * max(1, len(rows)), WIDTH - LEFT - RIGHT
    parts = [_x_axis(x_title, 0.0, 1.0, height)]
    for row, (label, found) in enumerate(rows):
        middle = TOP + ROW_HEIGHT * (row + 0.5)
        parts.append(_text(LEFT - 8, middle + 4, label, "end"))
        for place, each in enumerate(found):
            if each is None:
                continue
            colour, y = COLOURS[place % len(COLOURS)], middle + (place - (len(found) - 1) / 2) * 7
            parts.append(_line(LEFT + each.low * width, y, LEFT + each.high * width, y, colour))
            parts.append(f'<circle cx="{LEFT + each.value * width:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')
    parts += [_legend(place, name, COLOURS[place % len(COLOURS)]) for place, name in enumerate(names)]
    return ChartPanel(title, TOP + height + BOTTOM, "".join(parts))


def document(title: str, panels: Sequence[ChartPanel]) -> bytes:
    """The panels, one below the other, as a file."""
    top, drawn = 30.0, []
    for panel in panels:
        heading = _text(LEFT, 14, panel.title, "start", bold=True)
        drawn.append(f'<g transform="translate(0 {top:.0f})">{heading}{panel.body}</g>')
        top += panel.height + 16
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top:.0f}" width="{WIDTH}" height="{top:.0f}" '
        'font-family="sans-serif" font-size="11" role="img">'
    )
    background = '<rect width="100%" height="100%" fill="#fff"/>'
    named = f"<title>{escape(title)}</title>{background}" + _text(10, 18, title, "start", bold=True)
    return f"{head}{named}{''.join(drawn)}</svg>\n".encode()


def _x_axis(title: str, first: float, last: float, height: float) -> str:
    width, bottom = WIDTH - LEFT - RIGHT, TOP + height
    parts = [_line(LEFT, bottom, LEFT + width, bottom, "#333")]
    for tick in range(TICKS + 1):
        x = LEFT + width * tick / TICKS
        value = first + (last - first) * tick / TICKS
        parts.append(_line(x, TOP, x, bottom, "#eee") + _text(x, bottom + 14, f"{value:.1f}", "middle"))
    return "".join(parts) + _text(LEFT + width / 2, bottom + 30, title, "middle")


def _legend(place: int, name: str, colour: str) -> str:
    x, y = WIDTH - RIGHT + 10, TOP + 10 + place * 16
    return f'<rect x="{x}" y="{y - 8}" width="10" height="10" fill="{colour}"/>' + _text(x + 15, y + 1, name, "start")


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, dashes: str = "") -> str:
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dashed}/>'


def _text(x: float, y: float, said: str, anchor: str, *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight}>{escape(said)}</text>'
