"""A backtest as a drawing: changed decisions by group, and discovery rates of both sides."""

from stream_scorer.models.charts.svg import document, intervals
from stream_scorer.operations.backtest.candidate import BacktestReport


def drawing_of(report: BacktestReport) -> bytes:
    """The report as an SVG file."""
    changes = [(f"{group.column} {group.value}", (group.share,)) for group in report.groups if group.compared]
    rates = [
        (f"{ours.column} {ours.value}", (ours.discovery_rate, theirs.discovery_rate))
        for ours, theirs in zip(report.candidate.groups, report.published.groups, strict=True)
        if ours.joined
    ]
    both = report.candidate, report.published
    figures = [
        ("success rate", tuple(side.success_rate for side in both)),
        ("recall", tuple(side.recall for side in both)),
    ]
    names = ("candidate", "published")
    return document(
        f"{report.model} beside what was published",
        [
            intervals("On outcomes that are known", "share, with its 95 % interval", figures, names),
            intervals("Changed decisions", "share of decisions, with its 95 % interval", changes, ("changed",)),
            intervals("Discovery rates", "success rate within the group, with its 95 % interval", rates, names),
        ],
    )
