"""Counts over time as drawings inside the page.

Invariant: shapes and numbers only, no style, so that a strict policy holds; every drawing says in words what it shows.
"""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from stream_scorer.operations.console.formatting import count, instant

# The stylesheet has a colour for so many series; what is rarer goes together
SERIES_MAX = 6
WIDTH, HEIGHT = 720, 120
SPARK_WIDTH, SPARK_HEIGHT = 120, 24

Buckets = Sequence[tuple[int, Mapping[str, int]]]


def ranked_series(buckets: Buckets) -> list[str]:
    """The series, most frequent first; a seventh and all behind it are one, `other`."""
    totals: dict[str, int] = {}
    for _, counts in buckets:
        for name, number in counts.items():
            totals[name] = totals.get(name, 0) + number
    ranked = sorted(totals, key=lambda name: (-totals[name], name))
    return ranked if len(ranked) <= SERIES_MAX else [*ranked[: SERIES_MAX - 1], "other"]


def stacked_bars(buckets: Buckets, series: Sequence[str], said: str) -> Markup:
    """One bar for each bucket, its parts in the order of the series."""
    folded = [(start, _folded(counts, series)) for start, counts in buckets]
    highest = max((sum(parts) for _, parts in folded), default=0) or 1
    step = WIDTH / max(1, len(folded))
    bars = []
    for index, (start, parts) in enumerate(folded):
        if not sum(parts):
            continue
        y, drawn = float(HEIGHT), []
        for place, part in enumerate(parts):
            if part:
                height = max(part / highest * HEIGHT, 1.0)
                y -= height
                drawn.append(
                    Markup('<rect class="s{}" x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}"/>').format(
                        place, index * step + 0.5, y, max(step - 1, 0.5), height
                    )
                )
        told = ", ".join(f"{name} {count(part)}" for name, part in zip(series, parts, strict=True) if part)
        bars.append(Markup("<g><title>{}: {}</title>{}</g>").format(instant(start)[:19] + "Z", told, _joined(drawn)))
    return Markup(
        '<svg class="bars" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
    ).format(WIDTH, HEIGHT, said, _joined(bars))


def _folded(counts: Mapping[str, int], series: Sequence[str]) -> list[int]:
    parts = [counts.get(name, 0) for name in series]
    if series and series[-1] == "other":
        parts[-1] += sum(number for name, number in counts.items() if name not in series)
    return parts


def sparkline(values: Sequence[float], said: str, kind: str = "") -> Markup:
    """A small area under a line; the highest value touches the top."""
    if not values:
        return Markup('<svg class="spark" role="img" aria-label="{}"></svg>').format(said)
    highest = max(values) or 1
    step = SPARK_WIDTH / max(1, len(values) - 1)
    points = " ".join(
        f"{index * step:.1f},{SPARK_HEIGHT - 1 - value / highest * (SPARK_HEIGHT - 2):.1f}"
        for index, value in enumerate(values)
    )
    return Markup(
        '<svg class="spark {}" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<polygon points="0,{} {} {},{}"/><polyline points="{}"/></svg>'
    ).format(kind, SPARK_WIDTH, SPARK_HEIGHT, said, SPARK_HEIGHT, points, SPARK_WIDTH, SPARK_HEIGHT, points)


def _joined(parts: Sequence[Markup]) -> Markup:
    return Markup("").join(parts)
