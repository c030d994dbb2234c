"""`stream-scorer smoke`: whether a deployed environment scores, by one known event."""

import asyncio
import json
from typing import TYPE_CHECKING, Annotated

import typer

from stream_scorer.commands.kafka_log_level import quiet_kafka_clients
from stream_scorer.commands.option_groups import with_options
from stream_scorer.commands.options import JsonOption, environment_settings

if TYPE_CHECKING:
    from stream_scorer.operations.checks.smoke_test import SmokeResult
    from stream_scorer.runtime.settings.settings import Settings

FAILED = 1


def register(app: typer.Typer) -> None:
    app.command()(smoke)


@with_options(settings=environment_settings)
def smoke(
    *,
    timeout_s: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=0.1, help="Seconds to wait for the prediction.")
    ] = 30.0,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", metavar="NAME[@DIGEST]", help="The model that must have made the prediction. Default: any."
        ),
    ] = None,
    settings: "Settings",
    as_json: JsonOption = False,
) -> None:
    """Send one known event and wait for its prediction: for use after each deployment.

    Sends no outcome, so it affects no quality figure. Exit status: 0 the prediction came and is correct, 1 it did not
    come or is wrong, 75 Kafka is not available.
    """
    quiet_kafka_clients()

    from stream_scorer.operations.checks.smoke_test import smoke as smoke_environment

    seen = asyncio.run(smoke_environment(settings, timeout_s=timeout_s, model=model))
    if as_json:
        import msgspec

        typer.echo(json.dumps({"passed": seen.passed, **msgspec.to_builtins(seen)}))
    else:
        _print(seen)
    if not seen.passed:
        raise typer.Exit(FAILED)


def _print(seen: "SmokeResult") -> None:
    if seen.passed and seen.prediction is not None:
        said = seen.prediction
        typer.echo(f"{seen.id}: predicted by {said.model} with {said.proba:.4f} after {seen.seconds:.2f} s: it works")
        return
    for fault in seen.faults:
        typer.echo(f"{seen.id}: {fault}", err=True)
    typer.echo(f"see where it went with: stream-scorer trace {seen.id}", err=True)
