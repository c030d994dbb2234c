"""`stream-scorer model recalibrate`: probabilities put right on outcomes that the topics retain."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream_scorer.commands.kafka_log_level import quiet_kafka_clients
from stream_scorer.commands.options import BootstrapOption, JsonOption, PrefixOption, SettingsOption, settings_from
from stream_scorer.commands.time_options import at_of

if TYPE_CHECKING:
    from stream_scorer.core.quality.confidence_intervals import Interval
    from stream_scorer.operations.backtest.retained_rows import Range
    from stream_scorer.operations.rollout.recalibration import RecalibrationReport
    from stream_scorer.runtime.settings.settings import Settings


def recalibrate(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="A model directory.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="The model directory to write; must not exist yet.")
    ],
    begin: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME|OFFSET", help="First observation: RFC 3339, or an offset. Default: all."),
    ] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="TIME|OFFSET", help="End of the range, exclusive.")] = None,
    name: Annotated[str | None, typer.Option(help="The new model's name; else the same as before.")] = None,
    bootstrap: BootstrapOption = None,
    prefix: PrefixOption = None,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fit a slope and a shift of the log-odds to outcomes that the topics retain, and write them into a new model.

    The order of observations and, by a threshold that moves along, every decision stay; an additive model stays
    additive. Exit status 1 where too few outcomes are known.
    """
    quiet_kafka_clients()
    resolved = settings_from(settings, bootstrap=bootstrap, prefix=prefix)

    from stream_scorer.operations.backtest.retained_rows import Range

    asked = Range(at_of("--from", begin), at_of("--to", end))
    report = asyncio.run(_recalibrate(resolved, source, out, asked, name, quiet=as_json))
    fitted = report.fitted
    if as_json:
        line = {field: _plain(value) for field, value in fitted._asdict().items()}
        said = {"model": report.model, "folder": report.folder, "form": report.form, "threshold": report.threshold}
        typer.echo(json.dumps({**said, "before": report.before, **line}))
        return
    typer.echo(f"{fitted.rows:,} outcomes are known, {fitted.positives:,} with contraband")
    typer.echo(f"slope {_interval(fitted.slope)}, shift {_interval(fitted.shift)}; 1 and 0 would change nothing")
    typer.echo(f"Brier score {fitted.brier_before:.4f}, put right {fitted.brier_after:.4f} on outcomes not fitted to")
    typer.echo(f"saved {report.model} to {report.folder}: {report.form}, positive from {report.threshold:.4f} on")


async def _recalibrate(
    resolved: "Settings", source: Path, out: Path, asked: "Range", name: str | None, *, quiet: bool
) -> "RecalibrationReport":
    from stream_scorer.commands.progress import reading_progress
    from stream_scorer.operations.rollout.recalibration import recalibrate_on_topics
    from stream_scorer.runtime.cluster.topic_admin import TopicNames
    from stream_scorer.runtime.kafka.client import client_options

    with reading_progress(quiet=quiet) as on_read:
        return await recalibrate_on_topics(
            client_options(resolved.kafka),
            TopicNames(resolved.topics.prefix),
            source,
            out,
            asked,
            name=name,
            trusted_types=resolved.model.trusted_types,
            event_bytes_max=resolved.worker.event_bytes_max,
            framed=resolved.worker.schema_registry_frames,
            on_read=on_read,
        )


def _plain(value: object) -> object:
    return value._asdict() if hasattr(value, "_asdict") else value


def _interval(interval: "Interval") -> str:
    return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"
