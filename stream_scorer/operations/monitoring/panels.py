"""Panels of a dashboard as data, and how Grafana writes them down.

Invariant: a panel says what it shows, in which unit, and where to read on; equal panels give equal JSON.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Literal, NamedTuple

SOURCE: Final = {"type": "prometheus", "uid": "prometheus"}
COLUMNS_MAX: Final = 24
GOOD, BAD = "green", "red"

Kind = Literal["timeseries", "stat", "bargauge", "table", "barchart"]
# Grafana's names: a share from 0 to 1, seconds, bytes, a rate of records
Unit = Literal["percentunit", "s", "bytes", "short", "ops", "none"]


class Query(NamedTuple):
    """One expression, and how its series are called. `instant`: as of now, not over the span."""

    expr: str
    legend: str
    instant: bool = False


class Panel(NamedTuple):
    """One picture. `limit`: from where on it is red; `low_is_bad`: below instead. `least`, `most`: where its axis
    begins and ends; None: as its figures lie. `links`: title and address, one at least."""

    title: str
    description: str
    queries: tuple[Query, ...]
    kind: Kind = "timeseries"
    unit: Unit = "short"
    width: int = 8
    height: int = 8
    limit: float | None = None
    low_is_bad: bool = False
    stacked: bool = False
    most: float | None = None
    least: float | None = 0
    links: tuple[tuple[str, str], ...] = ()


class PanelRow(NamedTuple):
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


def runbook(alert: str) -> tuple[str, str]:
    """A link to the alert's section of the runbook."""
    return f"Runbook: {alert}", f"${{runbook}}#{alert.lower()}"


RUNBOOK_WHOLE: Final = "Runbook", "${runbook}"


def page(title: str, path: str) -> tuple[str, str]:
    """A link to a page of the console."""
    return title, f"${{page}}{path}"


def laid_out(rows: Sequence[PanelRow]) -> list[dict[str, Any]]:
    """The panels with their places, left to right and row after row, and with numbers of their own."""
    placed: list[dict[str, Any]] = []
    top = 0
    for row in rows:
        grid = {"x": 0, "y": top, "w": COLUMNS_MAX, "h": 1}
        placed.append({"type": "row", "title": row.title, "collapsed": False, "gridPos": grid, "panels": []})
        top += 1
        left = height = 0
        for panel in row.panels:
            if left + panel.width > COLUMNS_MAX:
                top, left, height = top + height, 0, 0
            placed.append(picture(panel) | {"gridPos": {"x": left, "y": top, "w": panel.width, "h": panel.height}})
            left, height = left + panel.width, max(height, panel.height)
        top += height
    return [{"id": number, **one} for number, one in enumerate(placed, start=1)]


def picture(panel: Panel) -> dict[str, Any]:
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": SOURCE,
        "targets": list(targets(panel)),
        "fieldConfig": {"defaults": defaults(panel), "overrides": []},
        "options": options(panel),
        "links": [{"title": title, "url": address, "targetBlank": True} for title, address in panel.links],
    }


def targets(panel: Panel) -> Iterator[dict[str, Any]]:
    for place, query in enumerate(panel.queries):
        instant = query.instant or panel.kind != "timeseries"
        yield {
            "refId": chr(ord("A") + place),
            "datasource": SOURCE,
            "expr": query.expr,
            "legendFormat": query.legend,
            "instant": instant,
            "range": not instant,
            "format": "table" if panel.kind == "table" else "time_series",
        }


def defaults(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": BAD if panel.low_is_bad else GOOD, "value": None}]
    if panel.limit is not None:
        steps.append({"color": GOOD if panel.low_is_bad else BAD, "value": panel.limit})
    said: dict[str, Any] = {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.least is not None:
        said["min"] = panel.least
    if panel.most is not None:
        said["max"] = panel.most
    if panel.kind == "timeseries":
        said["custom"] = {
            "lineWidth": 1,
            "fillOpacity": 25 if panel.stacked else 0,
            "showPoints": "never",
            "spanNulls": True,
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "off" if panel.limit is None else "line"},
        }
    elif panel.kind in ("stat", "bargauge"):
        said["color"] = {"mode": "thresholds"}
    return said


def options(panel: Panel) -> dict[str, Any]:
    reduced = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    by_kind: dict[Kind, dict[str, Any]] = {
        "timeseries": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "stat": {"reduceOptions": reduced, "colorMode": "value", "graphMode": "none", "textMode": "auto"},
        "bargauge": {"reduceOptions": reduced, "orientation": "horizontal", "displayMode": "basic"},
        "barchart": {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True}},
        "table": {"showHeader": True, "footer": {"show": False}},
    }
    return by_kind[panel.kind]


class Variable(NamedTuple):
    """What a reader of a dashboard can choose. With a `query` its values are asked of Prometheus."""

    name: str
    label: str
    query: str = ""
    choices: tuple[str, ...] = ()
    text: str = ""


JOB: Final = Variable("job", "Environment", query="label_values(stream_scorer_build_info, job)")
PAGE: Final = Variable("page", "Console", text="http://localhost:8000")


class Annotation(NamedTuple):
    """What happened, as a line through every picture."""

    name: str
    expr: str
    text: str
    color: str


def annotated(annotations: Iterable[Annotation]) -> list[dict[str, Any]]:
    return [
        {
            "name": one.name,
            "datasource": SOURCE,
            "enable": True,
            "expr": one.expr,
            "step": "60s",
            "titleFormat": one.name,
            "textFormat": one.text,
            "iconColor": one.color,
        }
        for one in annotations
    ]


def chosen(variables: Iterable[Variable]) -> list[dict[str, Any]]:
    return [variable_of(one) for one in variables]


def variable_of(one: Variable) -> dict[str, Any]:
    said: dict[str, Any] = {"name": one.name, "label": one.label}
    if one.query:
        query = {"query": one.query, "refId": one.name}
        whole = {"selected": True, "text": ["All"], "value": ["$__all"]}
        return said | {
            "type": "query",
            "datasource": SOURCE,
            "query": query,
            "refresh": 2,
            "includeAll": True,
            "multi": True,
            "allValue": ".+",
            "current": whole,
        }
    if one.choices:
        current = {"selected": True, "text": one.choices[0], "value": one.choices[0]}
        listed = [{"selected": choice == one.choices[0], "text": choice, "value": choice} for choice in one.choices]
        return said | {"type": "custom", "query": ",".join(one.choices), "options": listed, "current": current}
    text = {"selected": True, "text": one.text, "value": one.text}
    return said | {"type": "textbox", "query": one.text, "current": text, "options": [text]}
