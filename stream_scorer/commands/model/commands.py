"""`stream-scorer model`: models looked at, verified, and put into production."""

import asyncio
from typing import TYPE_CHECKING

import msgspec
import typer

from stream_scorer.commands.kafka_log_level import quiet_kafka_clients
from stream_scorer.commands.model import acts
from stream_scorer.commands.model.options import (
    FromOption,
    LabelledOption,
    MinSuccessRateOption,
    SourceArgument,
    ThresholdOption,
    ToOption,
    verification_of,
)
from stream_scorer.commands.model.recalibrate import recalibrate
from stream_scorer.commands.options import BootstrapOption, JsonOption, PrefixOption, SettingsOption, settings_from

if TYPE_CHECKING:
    from stream_scorer.models.registry.model_directory import LoadedModel
    from stream_scorer.operations.rollout.model_verification import Verification
    from stream_scorer.operations.rollout.status import RolloutStatus
    from stream_scorer.runtime.rollout.model_topic import UploadedModel
    from stream_scorer.runtime.settings.settings import Settings

REFUSED = 1

model = typer.Typer(
    name="model", help="Inspect models, verify them, and put them into production.", no_args_is_help=True
)
acts.register(model)
model.command()(recalibrate)


def register(app: typer.Typer) -> None:
    app.add_typer(model)


@model.callback()
def group() -> None:
    """Inspect models, verify them, and put them into production.

    Exit status: 0 done, 1 not fine, 2 usage, 4 another operator was quicker, 75 Kafka is away.
    """


@model.command("list")
def list_(
    bootstrap: BootstrapOption = None,
    prefix: PrefixOption = None,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the models that were uploaded to Kafka, and which of them are deployed."""
    from stream_scorer.commands.json_output import print_json
    from stream_scorer.commands.model.printing import print_uploads

    quiet_kafka_clients()
    resolved = settings_from(settings, bootstrap=bootstrap, prefix=prefix)
    uploads, passed_over, now = asyncio.run(_uploads(resolved))
    if as_json:
        roles = {each.digest: each.role for each in now.models}
        said = [{**msgspec.to_builtins(each.manifest), "role": roles.get(each.manifest.digest)} for each in uploads]
        print_json({"models": said, "passed_over": passed_over})
    else:
        print_uploads(uploads, passed_over, now)


async def _uploads(resolved: "Settings") -> "tuple[list[UploadedModel], int, RolloutStatus]":
    from stream_scorer.operations.rollout.service import open_rollout

    async with open_rollout(resolved) as rollout:
        uploads, passed_over = await rollout.uploads()
        return uploads, passed_over, await rollout.status()


@model.command()
def status(
    bootstrap: BootstrapOption = None,
    prefix: PrefixOption = None,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say which models serve on which lanes, and what outcomes say of each candidate.

    Of each condition: its figure, its bounds at all looks, where they must lie, and how many outcomes are missing if
    they look like those that came. Labels exist only where a search happened: a verdict speaks of such stops.
    """
    from stream_scorer.commands.json_output import print_json
    from stream_scorer.commands.model.printing import print_status

    quiet_kafka_clients()
    resolved = settings_from(settings, bootstrap=bootstrap, prefix=prefix)

    async def look() -> "RolloutStatus":
        from stream_scorer.operations.rollout.service import open_rollout

        async with open_rollout(resolved) as rollout:
            return await rollout.status()

    found = asyncio.run(look())
    if as_json:
        print_json(found)
    else:
        print_status(found)


@model.command()
def show(
    source: SourceArgument,
    bootstrap: BootstrapOption = None,
    prefix: PrefixOption = None,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Load a model and show its name, digest, threshold, form and card. Exit status 1 where it can't be loaded."""
    from stream_scorer.commands.json_output import print_json

    quiet_kafka_clients()
    resolved = settings_from(settings, bootstrap=bootstrap, prefix=prefix)

    async def look() -> "LoadedModel":
        from stream_scorer.models.registry.model_directory import load_model
        from stream_scorer.operations.rollout.model_sources import opened_source

        async with opened_source(source, resolved) as folder:
            return load_model(folder, resolved.model.trusted_types)

    loaded = asyncio.run(look())
    if as_json:
        shown = {"model": loaded.name, "digest": loaded.digest, "form": loaded.form, "threshold": loaded.threshold}
        print_json({**shown, "card": loaded.card})
        return
    typer.echo(f"{loaded.name}: {loaded.form}, positive from {loaded.threshold:.4f} on")
    typer.echo(f"digest {loaded.digest}")
    versions = loaded.card["versions"]
    typer.echo("saved with " + ", ".join(f"{library} {version}" for library, version in versions.items()))


@model.command()
def verify(
    source: SourceArgument,
    labelled: LabelledOption = None,
    begin: FromOption = None,
    end: ToOption = None,
    min_success_rate: MinSuccessRateOption = 0.5,
    threshold: ThresholdOption = None,
    bootstrap: BootstrapOption = None,
    prefix: PrefixOption = None,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Load a model, check its digest, types and golden rows, and its success rate where stops with outcomes are given.

    No positive prediction at all is a failure. Exit status: 0 it may be deployed, 1 it may not or can't be loaded.
    """
    from stream_scorer.commands.json_output import print_json

    quiet_kafka_clients()
    resolved = settings_from(settings, bootstrap=bootstrap, prefix=prefix)

    async def verified() -> "Verification":
        from stream_scorer.models.registry.model_directory import load_model
        from stream_scorer.operations.rollout.model_sources import opened_source

        async with opened_source(source, resolved) as folder:
            return await verification_of(
                load_model(folder, resolved.model.trusted_types),
                resolved,
                labelled=labelled,
                begin=begin,
                end=end,
                min_success_rate=min_success_rate,
                threshold=threshold,
            )

    found = asyncio.run(verified())
    if as_json:
        print_json({"passed": not found.faults, **msgspec.to_builtins(found)})
    else:
        typer.echo(f"{found.model}: loads, {found.form}, digest and golden rows match")
        if found.success_rate is not None:
            typer.echo(
                f"success rate {found.success_rate:.3f}: {found.positives:,} of {found.rows:,} stops predicted positive"
            )
        for fault in found.faults:
            typer.echo(f"{found.model} may not be deployed: {fault}", err=True)
    if found.faults:
        raise typer.Exit(REFUSED)
