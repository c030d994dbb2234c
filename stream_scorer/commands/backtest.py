"""`stream-scorer backtest`: a model held against a retained range of observations and what was published of them."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream_scorer.commands.kafka_log_level import quiet_kafka_clients
from stream_scorer.commands.options import BootstrapOption, JsonOption, PrefixOption, SettingsOption, settings_from
from stream_scorer.commands.time_options import at_of
from stream_scorer.errors import SettingsError

if TYPE_CHECKING:
    from stream_scorer.models.registry.model_directory import LoadedModel
    from stream_scorer.operations.backtest.as_served import AsServedReport
    from stream_scorer.operations.backtest.candidate import AcceptanceLimits, BacktestReport
    from stream_scorer.operations.backtest.retained_rows import Range
    from stream_scorer.runtime.settings.settings import Settings

NOT_PASSED = 1


def register(app: typer.Typer) -> None:
    app.command()(backtest)


def backtest(
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="SOURCE",
            help="A model directory, uploaded:/NAME, or another source; with --as-served one for each that served. "
            "Default: the settings' model.",
        ),
    ] = None,
    begin: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="TIME|OFFSET", help="First observation: RFC 3339, or an offset of each partition."
        ),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME|OFFSET", help="End of the range, exclusive. Default: all.")
    ] = None,
    as_served: Annotated[
        bool, typer.Option("--as-served", help="Compare every published prediction with what the model says now.")
    ] = False,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Another threshold than the model's own.")
    ] = None,
    max_changed_share: Annotated[
        float | None, typer.Option(min=0, max=1, help="Fail where a larger share of decisions changes.")
    ] = None,
    min_success_rate: Annotated[
        float | None, typer.Option(min=0, max=1, help="Fail where positive predictions are right less often.")
    ] = None,
    min_recall: Annotated[float | None, typer.Option(min=0, max=1, help="Fail where less is found.")] = None,
    max_gap: Annotated[
        float | None, typer.Option(min=0, max=1, help="Fail where discovery rates of two groups lie further apart.")
    ] = None,
    group_positives_min: Annotated[
        int,
        typer.Option(
            "--group-positives",
            metavar="N",
            min=1,
            help="Leave groups with fewer positive predictions with an outcome out of the gaps.",
        ),
    ] = 100,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Write a drawing, as SVG.")] = None,
    bootstrap: BootstrapOption = None,
    prefix: PrefixOption = None,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score a retained range of observations with a model: changed decisions, by group, and quality where outcomes are
    known.

    Reads the topics and writes nothing to them. Exit status 1 where a limit that was given does not hold, or can't be
    judged; with --as-served where a prediction comes out otherwise than it was published.
    """
    quiet_kafka_clients()
    resolved = settings_from(settings, bootstrap=bootstrap, prefix=prefix)

    from stream_scorer.operations.backtest.candidate import AcceptanceLimits
    from stream_scorer.operations.backtest.retained_rows import Range

    asked = Range(at_of("--from", begin), at_of("--to", end))
    limits = AcceptanceLimits(max_changed_share, min_success_rate, min_recall, max_gap)
    if as_served and (limits != AcceptanceLimits() or plot is not None or threshold is not None):
        raise SettingsError("--as-served compares with what was published, and takes no limit, threshold or plot")
    if not as_served and len(models or ()) > 1:
        raise SettingsError("give one --model to backtest; several only with --as-served")
    sources = models or [_served_here(resolved)]
    loaded = asyncio.run(_loaded(resolved, sources))
    if as_served:
        served = asyncio.run(_as_served(resolved, loaded, asked, quiet=as_json))
        _print_served(served, as_json=as_json)
        passed = served.is_same
    else:
        (candidate,) = loaded
        report = asyncio.run(
            _backtest(resolved, candidate, asked, threshold, limits, group_positives_min, quiet=as_json)
        )
        if plot is not None:
            _draw(report, plot)
        _print(report, as_json=as_json)
        passed = not report.faults
    if not passed:
        raise typer.Exit(NOT_PASSED)


async def _loaded(resolved: "Settings", sources: list[str]) -> "list[LoadedModel]":
    from stream_scorer.models.registry.model_directory import load_model
    from stream_scorer.operations.rollout.model_sources import opened_source

    loaded = []
    for source in sources:
        async with opened_source(source, resolved) as folder:
            loaded.append(load_model(folder, resolved.model.trusted_types))
    return loaded


def _served_here(resolved: "Settings") -> str:
    """The model that a worker with these settings serves."""
    from stream_scorer.models.registry.default_model import ensure_default_model

    return resolved.model.folder or str(ensure_default_model())


async def _backtest(
    resolved: "Settings",
    model: "LoadedModel",
    asked: "Range",
    threshold: float | None,
    limits: "AcceptanceLimits",
    group_positives_min: int,
    *,
    quiet: bool,
) -> "BacktestReport":
    from stream_scorer.commands.progress import reading_progress
    from stream_scorer.operations.backtest.candidate import backtest as backtest_topics
    from stream_scorer.runtime.cluster.topic_admin import TopicNames
    from stream_scorer.runtime.kafka.client import client_options

    with reading_progress(quiet=quiet) as on_read:
        return await backtest_topics(
            client_options(resolved.kafka),
            TopicNames(resolved.topics.prefix),
            model,
            asked,
            threshold=threshold,
            limits=limits,
            group_positives_min=group_positives_min,
            event_bytes_max=resolved.worker.event_bytes_max,
            framed=resolved.worker.schema_registry_frames,
            on_read=on_read,
            kafka=resolved.kafka,
        )


async def _as_served(
    resolved: "Settings", models: "list[LoadedModel]", asked: "Range", *, quiet: bool
) -> "AsServedReport":
    from stream_scorer.commands.progress import reading_progress
    from stream_scorer.operations.backtest.as_served import as_served
    from stream_scorer.runtime.cluster.topic_admin import TopicNames
    from stream_scorer.runtime.kafka.client import client_options

    with reading_progress(quiet=quiet) as on_read:
        return await as_served(
            client_options(resolved.kafka),
            TopicNames(resolved.topics.prefix),
            models,
            asked,
            event_bytes_max=resolved.worker.event_bytes_max,
            framed=resolved.worker.schema_registry_frames,
            on_read=on_read,
            kafka=resolved.kafka,
        )


def _draw(report: "BacktestReport", path: Path) -> None:
    from stream_scorer.operations.backtest.drawing import drawing_of

    try:
        path.write_bytes(drawing_of(report))
    except OSError as error:
        raise SettingsError(f"--plot {path} can't be written ({error.strerror}): give another file") from error


def _print(report: "BacktestReport", *, as_json: bool) -> None:
    import msgspec

    from stream_scorer.commands.backtest_report import print_backtest

    if as_json:
        typer.echo(json.dumps({"passed": not report.faults, **_plain(msgspec.structs.asdict(report))}))
    else:
        print_backtest(report)
    for fault in report.faults:
        typer.echo(f"{report.model} does not pass: {fault}", err=True)


def _print_served(report: "AsServedReport", *, as_json: bool) -> None:
    import msgspec

    from stream_scorer.commands.backtest_report import print_as_served

    if as_json:
        typer.echo(json.dumps({"passed": report.is_same, **msgspec.to_builtins(report)}))
    else:
        print_as_served(report)


def _plain(value: Any) -> Any:
    """Named tuples as objects, for JSON."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if hasattr(value, "_asdict"):
        return _plain(value._asdict())
    return [_plain(part) for part in value] if isinstance(value, tuple | list) else value
