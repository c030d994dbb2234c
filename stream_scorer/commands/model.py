"""`stream-scorer model`: looking at models and verifying them before they are deployed."""

import json
from pathlib import Path
from typing import Annotated

import typer

from stream_scorer.commands.options import JsonOption, SettingsOption, settings_from

REFUSED = 1

SourceArgument = Annotated[Path, typer.Argument(metavar="SOURCE", help="A model directory.")]

model = typer.Typer(
    name="model", help="Inspect models, and verify them before they are deployed.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    app.add_typer(model)


@model.callback()
def group() -> None:
    """Inspect models, and verify them before they are deployed."""


@model.command()
def show(source: SourceArgument, settings: SettingsOption = None, as_json: JsonOption = False) -> None:
    """Load a model and show its name, digest, threshold, form and card. Exit status 1 where it can't be loaded."""
    trusted_types = settings_from(settings).model.trusted_types

    from stream_scorer.operations.rollout.model_verification import open_model

    loaded = open_model(source, trusted_types)
    if as_json:
        shown = {"model": loaded.name, "digest": loaded.digest, "form": loaded.form, "threshold": loaded.threshold}
        typer.echo(json.dumps({**shown, "card": loaded.card}))
        return
    typer.echo(f"{loaded.name}: {loaded.form}, positive from {loaded.threshold:.4f} on")
    typer.echo(f"digest {loaded.digest}")
    versions = loaded.card["versions"]
    typer.echo("saved with " + ", ".join(f"{library} {version}" for library, version in versions.items()))


@model.command()
def verify(
    source: SourceArgument,
    labelled: Annotated[
        Path | None,
        typer.Option("--labelled", metavar="CSV", help="A CSV file of stops with outcomes, to test the model on."),
    ] = None,
    min_success_rate: Annotated[
        float,
        typer.Option(
            "--min-success-rate",
            min=0,
            max=1,
            help="The least success rate: the share of positive predictions that are right.",
        ),
    ] = 0.5,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Load a model, check its digest, types and golden rows, and its success rate where labelled stops are given.

    No positive prediction at all is a failure. Exit status: 0 it may be deployed, 1 it may not or can't be loaded.
    """
    import msgspec

    trusted_types = settings_from(settings).model.trusted_types

    from stream_scorer.operations.rollout.model_verification import verify_model

    found = verify_model(source, labelled, min_success_rate, trusted_types)
    if as_json:
        typer.echo(json.dumps({"passed": not found.faults, **msgspec.to_builtins(found)}))
    else:
        typer.echo(f"{found.model}: loads, {found.form}, digest and golden rows match")
        if found.success_rate is not None:
            typer.echo(
                f"success rate {found.success_rate:.3f}: {found.positives:,} of {found.rows:,} rows predicted positive"
            )
        for fault in found.faults:
            typer.echo(f"{found.model} may not be deployed: {fault}", err=True)
    if found.faults:
        raise typer.Exit(REFUSED)
