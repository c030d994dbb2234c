"""What a backtest found, as tables for people."""

from typing import Any

from rich.console import Console
from rich.table import Table

from stream_scorer.core.quality.confidence_intervals import Interval
from stream_scorer.operations.backtest.as_served import AsServedReport
from stream_scorer.operations.backtest.candidate import BacktestReport

LABELS = "outcomes exist only where a search happened: nothing here says what a search would have found elsewhere"


def print_backtest(report: BacktestReport) -> None:
    """Print it to standard output."""
    console = Console(soft_wrap=True)
    of_all = f"{report.positives / report.observations:.1%}" if report.observations else "none"
    console.print(
        f"{report.model} ({report.form}, positive from {report.threshold:.4f} on): {report.observations:,} observations"
        f", {of_all} positive; {report.compared:,} of them were published by {', '.join(report.published_by) or '-'}",
        highlight=False,
    )
    if report.unreadable:
        console.print(f"{report.unreadable:,} records break the contract, and were not scored", highlight=False)
    console.print(
        f"{report.changed:,} decisions change, {_share(report.changed_share)}: {report.became_positive:,} become "
        f"positive, {report.became_negative:,} negative",
        highlight=False,
    )
    console.print(_groups(report), highlight=False)
    console.print(_figures(report), highlight=False)
    for side, said in (("candidate", report.candidate), ("published", report.published)):
        for gap in said.gaps:
            console.print(
                f"largest gap by {gap.column}, {side}: {_share(gap.gap)}, between {gap.highest} and {gap.lowest}",
                highlight=False,
            )
    if report.candidate.rows:
        console.print(LABELS, highlight=False)
    console.print(f"{report.records_read:,} records read in {report.seconds:.1f} s", highlight=False)


def print_as_served(report: AsServedReport) -> None:
    """Print it to standard output."""
    console = Console(soft_wrap=True)
    rows: list[tuple[str, int]] = [
        ("published predictions", report.predictions),
        ("  the same again", report.same),
        ("  of another observation than lies there", report.other_observation),
        ("  of another model than served there", report.other_model),
        ("  decided otherwise", report.other_decision),
        ("  with another probability", report.other_proba),
        *((f"  of {name}, which was not given", count) for name, count in sorted(report.unloaded.items())),
    ]
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, count in rows:
        table.add_row(name, f"{count:,}")
    console.print(table, highlight=False)
    for place in report.places:
        console.print(f"  {place}", highlight=False)
    if report.not_retained:
        console.print(
            f"{report.not_retained:,} were scored by the number that they carry: their observation is no longer there",
            highlight=False,
        )
    if report.other_versions:
        console.print(
            f"{report.other_versions:,} were scored with other versions of the libraries than are installed here: of "
            "these, decisions were compared and probabilities were not",
            highlight=False,
        )
    told = f"by {report.switches:,} switches of models" if report.switches else "by the model that each one names"
    verdict = "every prediction comes out as it was published" if report.is_same else "NOT every prediction comes out"
    console.print(
        f"{verdict}, {told} ({report.records_read:,} records read in {report.seconds:.1f} s)", highlight=False
    )


def _groups(report: BacktestReport) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("group", "", "compared", "changed", "share", "discovery rate", "published"):
        table.add_column(heading, justify="left" if heading in ("group", "") else "right", no_wrap=True)
    sides: Any = zip(report.groups, report.candidate.groups, report.published.groups, strict=True)
    for change, ours, theirs in sides:
        if change.compared:
            counts = f"{change.compared:,}", f"{change.changed:,}", _share(change.share)
            table.add_row(
                change.column, change.value, *counts, *map(_share, (ours.discovery_rate, theirs.discovery_rate))
            )
    return table


def _figures(report: BacktestReport) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("on known outcomes", "candidate", "published"):
        table.add_column(heading, justify="left" if heading == "on known outcomes" else "right", no_wrap=True)
    both = report.candidate, report.published
    table.add_row("outcomes", *(f"{side.rows:,}" for side in both))
    table.add_row("predicted positive", *(f"{side.predicted_positive:,}" for side in both))
    table.add_row("success rate", *(_share(side.success_rate) for side in both))
    table.add_row("recall", *(_share(side.recall) for side in both))
    table.add_row("Brier score", *(_number(side.brier) for side in both))
    table.add_row("AUC", *(_number(side.auc) for side in both))
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _share(interval: Interval | None) -> str:
    """`41.2% (38.0 to 44.5)`, `-` where it is not known."""
    if interval is None:
        return "-"
    return f"{interval.value:.1%} ({interval.low * 100:.1f} to {interval.high * 100:.1f})"
