"""`stream-scorer monitoring`: the configuration of Prometheus and Grafana, from the settings."""

from pathlib import Path
from typing import Annotated

import typer

from stream_scorer.commands.options import SettingsOption, settings_from

monitoring = typer.Typer(
    name="monitoring", help="Rules, alerts and dashboards, made from the settings.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    app.add_typer(monitoring)


@monitoring.command()
def describe(
    settings: SettingsOption = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The output directory.", file_okay=False)] = Path(
        "deploy"
    ),
    runbook: Annotated[
        str | None, typer.Option("--runbook", metavar="URL", help="The URL at which docs/runbook.md is published.")
    ] = None,
) -> None:
    """Write Prometheus recording and alerting rules, with thresholds from the settings, and Grafana dashboards."""
    from stream_scorer.operations.monitoring.files import monitoring_files
    from stream_scorer.operations.monitoring.rules import RUNBOOK

    for name, text in monitoring_files(settings_from(settings, for_use=False), runbook or RUNBOOK).items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        typer.echo(f"wrote {path}")
