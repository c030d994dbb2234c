"""`stream-scorer quality`: success rate, recall and fairness of a window's predictions, from the topics alone."""

import asyncio
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream_scorer.commands.kafka_log_level import quiet_kafka_clients
from stream_scorer.commands.option_groups import with_options
from stream_scorer.commands.options import JsonOption, environment_settings
from stream_scorer.commands.time_options import milliseconds_of

if TYPE_CHECKING:
    from rich.console import Console

    from stream_scorer.core.quality.confidence_intervals import Interval
    from stream_scorer.core.quality.figures import GroupFigures, QualityMetrics
    from stream_scorer.operations.reports.quality import QualityReport, Window
    from stream_scorer.runtime.settings.settings import Settings


def register(app: typer.Typer) -> None:
    app.command()(quality)


@with_options(settings=environment_settings)
def quality(
    *,
    begin: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Start, RFC 3339. Default: the oldest retained record.")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="End, RFC 3339, exclusive. Default: now.")
    ] = None,
    group_positives_min: Annotated[
        int,
        typer.Option(
            "--group-positives",
            metavar="N",
            min=1,
            help="Gaps leave out groups with fewer positive predictions that have an outcome.",
        ),
    ] = 100,
    settings: "Settings",
    as_json: JsonOption = False,
) -> None:
    """Report the quality of a window's predictions: success rate, recall, Brier score, discovery rates by group.

    Reads the topics and nothing else. A corrected outcome counts once, with the last revision in the window. Shares
    come with their 95 % interval.
    """
    from stream_scorer.operations.reports.quality import Window

    quiet_kafka_clients()
    window = Window(_time_ms("--from", begin), _time_ms("--to", end))
    report = asyncio.run(_quality(settings, window, group_positives_min, quiet=as_json))
    if as_json:
        typer.echo(json.dumps(_plain(report)))
    else:
        _print(report)


async def _quality(settings: "Settings", window: "Window", group_positives_min: int, *, quiet: bool) -> "QualityReport":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from stream_scorer.operations.reports.quality import quality as quality_of_topics
    from stream_scorer.runtime.cluster.topic_admin import TopicNames
    from stream_scorer.runtime.kafka.client import client_options

    columns = TextColumn("reading"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet) as progress:
        task = progress.add_task("reading", total=None)
        return await quality_of_topics(
            client_options(settings.kafka),
            TopicNames(settings.topics.prefix),
            window,
            group_positives_min=group_positives_min,
            on_read=lambda read, offsets: progress.update(task, completed=read, total=max(read, offsets)),
        )


def _time_ms(option: str, given: str | None) -> int | None:
    """A time in milliseconds since 1970. Raises SettingsError for what is none."""
    return None if given is None else milliseconds_of(option, given)


def _plain(report: "QualityReport") -> dict[str, Any]:
    """The report as objects for JSON; the figures of all models together stand at its top."""
    from stream_scorer.core.quality.figures import figures_by_name
    from stream_scorer.core.records.timestamps import rfc3339

    window, findings = report.window, report.findings
    models = [{"model": each.model, "role": each.role, **figures_by_name(each.figures)} for each in findings.models]
    return {
        "from": rfc3339(window.begins_ms) if window.begins_ms is not None else None,
        "to": rfc3339(window.ends_ms) if window.ends_ms is not None else None,
        **figures_by_name(findings.all),
        "corrections": findings.corrections,
        "models": models,
        "unreadable": findings.unreadable,
        "records_read": report.records_read,
        "seconds": round(report.seconds, 3),
    }


def _print(report: "QualityReport") -> None:
    from rich.console import Console

    console, findings = Console(width=max(110, Console().width)), report.findings  # else names are cut
    if len(findings.models) == 1:
        (only,) = findings.models
        _print_figures(console, f"{only.model} ({only.role})", only.figures)
    else:
        _print_figures(console, "all models", findings.all)
        for each in findings.models:
            _print_figures(console, f"{each.model} ({each.role})", each.figures)
    if findings.corrections:
        typer.echo(f"{findings.corrections:,} outcomes were corrected; each counts once, with its latest class")
    if findings.unreadable:
        typer.echo(
            f"{findings.unreadable:,} records in our topics were not written by stream-scorer and were skipped",
            err=True,
        )
    typer.echo(f"{report.records_read:,} records read in {report.seconds:.1f} s")


def _print_figures(console: "Console", title: str, figures: "QualityMetrics") -> None:
    from rich.table import Table
    from rich.text import Text

    console.print(Text(title, "bold"))
    table = Table(box=None, pad_edge=False, show_header=False)
    rows = (
        ("predictions", f"{figures.predictions:,}"),
        ("with an outcome by now", _share(figures.coverage)),
        ("joined outcomes", f"{figures.joined:,}"),
        ("predicted positive", f"{figures.predicted_positive:,}"),
        ("success rate", _share(figures.success_rate)),
        ("recall", _share(figures.recall)),
        ("Brier score", "-" if figures.brier is None else f"{figures.brier:.4f}"),
    )
    for name, text in rows:
        table.add_row("  " + name, text)
    console.print(table, highlight=False)
    if figures.joined or figures.predictions:
        console.print(_groups(figures.groups), highlight=False)
    for gap in figures.gaps:
        between = f"{gap.highest} and {gap.lowest}"
        typer.echo(f"  largest gap by {gap.column}: {_points(gap.gap)}, between {between}")
    typer.echo()


def _groups(groups: "tuple[GroupFigures, ...]") -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("  group", "", "predictions", "with outcome", "positive", "discovery rate"):
        table.add_column(heading, justify="left" if heading in ("  group", "") else "right", no_wrap=True)
    for group in groups:
        coverage = "-" if group.coverage is None else f"{group.coverage.value:.1%}"
        counts = f"{group.predictions:,}", coverage, f"{group.predicted_positive:,}"
        table.add_row("  " + group.column, group.value, *counts, _share(group.discovery_rate))
    return table


def _points(interval: "Interval") -> str:
    """`3.8 points (0.3 to 7.4)`: a difference of shares."""
    return f"{interval.value * 100:.1f} points ({interval.low * 100:.1f} to {interval.high * 100:.1f})"


def _share(interval: "Interval | None") -> str:
    """`41.2% (38.0 to 44.5)`, `-` where it is not known."""
    if interval is None:
        return "-"
    return f"{interval.value:.1%} ({interval.low * 100:.1f} to {interval.high * 100:.1f})"
