"""`stream-scorer model deploy`, `share`, `promote`, `rollback`, `withdraw`, `stop`, `auto`: one control record each.

Invariant: what will happen is said in one line before it does, and only what counts is called done.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from stream_scorer.commands.kafka_log_level import quiet_kafka_clients
from stream_scorer.commands.model.options import (
    ActOptions,
    CandidateArgument,
    DeployedArgument,
    FromOption,
    LabelledOption,
    MinSuccessRateOption,
    SourceArgument,
    ThresholdOption,
    ToOption,
    act_options,
    verification_of,
)
from stream_scorer.commands.option_groups import with_options
from stream_scorer.commands.options import environment_settings
from stream_scorer.errors import ModelError

if TYPE_CHECKING:
    from stream_scorer.operations.rollout.lane_switches import LaneRolloutStatus
    from stream_scorer.operations.rollout.planned_act import PlannedAct
    from stream_scorer.operations.rollout.service import Rollout
    from stream_scorer.runtime.settings.settings import Settings

NOT_FINE = 1

Plan = Callable[["Rollout"], Awaitable["PlannedAct"]]


class RoleChoice(StrEnum):
    """What a model is deployed as."""

    SHADOW = "shadow"
    CANARY = "canary"
    CHAMPION = "champion"


class AutoChoice(StrEnum):
    """Who decides: the judge, or people."""

    ON = "on"
    OFF = "off"


def register(model: typer.Typer) -> None:
    for command in (deploy, share, promote, rollback, withdraw, stop, auto):
        model.command()(command)


@with_options(settings=environment_settings, options=act_options)
def deploy(
    *,
    source: SourceArgument,
    role: Annotated[
        RoleChoice,
        typer.Option(
            "--as",
            help="shadow: scored only; canary: its predictions are published for a share of the ids; "
            "champion: for all.",
        ),
    ],
    share_percent: Annotated[
        float, typer.Option("--share", metavar="PERCENT", min=0, max=100, help="The canary's share of the ids.")
    ] = 5.0,
    auto: Annotated[
        bool,
        typer.Option(
            "--auto",
            help="Promote it once every condition is shown, withdraw it once a harm is, or that no gain is in sight.",
        ),
    ] = False,
    threshold: ThresholdOption = None,
    labelled: LabelledOption = None,
    begin: FromOption = None,
    end: ToOption = None,
    min_success_rate: MinSuccessRateOption = 0.5,
    options: ActOptions,
    settings: "Settings",
) -> None:
    """Verify a model here, upload it, and deploy it as shadow, canary or champion.

    The first model of an environment is its champion. A canary keeps its ids while its share grows.
    """
    quiet_kafka_clients()

    async def deployed() -> None:
        from stream_scorer.models.artifacts.files import FILES, read_files
        from stream_scorer.models.registry.model_directory import load_model
        from stream_scorer.operations.rollout.model_sources import opened_source
        from stream_scorer.operations.rollout.model_store import NewModel
        from stream_scorer.operations.rollout.service import open_rollout, served

        async with opened_source(source, settings) as folder:
            loaded = load_model(folder, settings.model.trusted_types)
            found = await verification_of(
                loaded,
                settings,
                labelled=labelled,
                begin=begin,
                end=end,
                min_success_rate=min_success_rate,
                threshold=threshold,
            )
            if found.faults:
                raise ModelError(f"{found.model} may not be deployed: {'; '.join(found.faults)}")
            files, digest = read_files(folder)
            contents = {name: files[name] for name in FILES}
        name, _, _ = loaded.name.rpartition("@")
        model = served(name, digest, found.threshold)
        async with open_rollout(settings, who=options.who) as rollout:
            planned = await rollout.plan_deploy(model, role.value, share=share_percent / 100, auto=auto)
            confirm(planned, options.yes)
            await rollout.upload(NewModel(name, digest, loaded.threshold, loaded.form, contents), _chunk_shown)
            await _done(rollout, planned, options)

    asyncio.run(deployed())


@with_options(settings=environment_settings, options=act_options)
def share(
    *,
    percent: Annotated[float, typer.Argument(metavar="PERCENT", min=0, max=100, help="Of the ids, 0 to 100.")],
    options: ActOptions,
    settings: "Settings",
) -> None:
    """Give the canary another share of the ids. Ids that it has it keeps while the share grows."""
    _act(settings, lambda rollout: rollout.plan_share(percent / 100), options)


@with_options(settings=environment_settings, options=act_options)
def promote(
    *,
    model: CandidateArgument = None,
    force: Annotated[
        bool, typer.Option("--force", help="Even where a lane has not loaded it: it stands still until it has.")
    ] = False,
    options: ActOptions,
    settings: "Settings",
) -> None:
    """Make a candidate the champion; the one before stays loaded. Refused until every lane has loaded it."""
    _act(settings, lambda rollout: rollout.plan_promote(model, force=force), options)


@with_options(settings=environment_settings, options=act_options)
def rollback(
    *,
    options: ActOptions,
    settings: "Settings",
) -> None:
    """Make the champion before the champion again: one record, nothing to load."""
    _act(settings, lambda rollout: rollout.plan_rollback(), options)


@with_options(settings=environment_settings, options=act_options)
def withdraw(
    *,
    model: CandidateArgument = None,
    options: ActOptions,
    settings: "Settings",
) -> None:
    """Take a candidate out; a canary's ids go back to the champion."""
    _act(settings, lambda rollout: rollout.plan_withdraw(model), options)


@with_options(settings=environment_settings, options=act_options)
def stop(
    *,
    model: DeployedArgument,
    options: ActOptions,
    settings: "Settings",
) -> None:
    """Unload a shadow, the canary, or the champion before."""
    _act(settings, lambda rollout: rollout.plan_stop(model), options)


@with_options(settings=environment_settings, options=act_options)
def auto(
    *,
    decides: Annotated[
        AutoChoice, typer.Argument(metavar="on|off", help="Whether the judge promotes and withdraws by itself.")
    ],
    options: ActOptions,
    settings: "Settings",
) -> None:
    """Let the judge promote and withdraw candidates by itself, or let people decide. A promotion switches it off."""
    _act(settings, lambda rollout: rollout.plan_auto(on=decides is AutoChoice.ON), options)


def _act(settings: "Settings", plan: Plan, options: ActOptions) -> None:
    async def acted() -> None:
        from stream_scorer.operations.rollout.service import open_rollout

        async with open_rollout(settings, who=options.who) as rollout:
            planned = await plan(rollout)
            confirm(planned, options.yes)
            await _done(rollout, planned, options)

    quiet_kafka_clients()
    asyncio.run(acted())


def confirm(planned: "PlannedAct", yes: bool) -> None:
    """Say what will happen; on a terminal, ask."""
    typer.echo(f"{planned.words}.", err=True)
    if not yes and sys.stdin.isatty():
        typer.confirm("Go on?", abort=True, err=True)


async def _done(rollout: "Rollout", planned: "PlannedAct", options: ActOptions) -> None:
    act = await rollout.commit(planned, options.why)
    lanes = await rollout.wait(act, options.timeout_s, _lanes_shown()) if options.wait else []
    if options.as_json:
        import msgspec

        from stream_scorer.commands.json_output import print_json

        print_json({"offset": act.offset, "control": act.control, "lanes": msgspec.to_builtins(lanes)})
    else:
        typer.echo(f"done: control record {act.offset} counts")
    faults = lane_faults(lanes)
    for fault in faults:
        typer.echo(fault, err=True)
    if faults:
        raise typer.Exit(NOT_FINE)


def lane_faults(lanes: "list[LaneRolloutStatus]") -> list[str]:
    """What keeps lanes from serving, one line each."""
    said = []
    for lane in lanes:
        if lane.state == "refused":
            said.append(f"lane {lane.partition} refused {lane.model or 'a model'}: {lane.reason or 'no reason given'}")
        elif lane.state != "serving":
            said.append(f"lane {lane.partition} does not serve it yet ({lane.state}); it switches with its next batch")
    return said


def _lanes_shown() -> "Callable[[list[LaneRolloutStatus]], None]":
    said = ""

    def show(lanes: "list[LaneRolloutStatus]") -> None:
        nonlocal said
        states = [lane.state for lane in lanes]
        now = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        if now != said:
            said = now
            typer.echo(f"lanes: {now}", err=True)

    return show


def _chunk_shown(done: int, total: int) -> None:
    if sys.stderr.isatty():
        typer.echo(f"\ruploading: {done} of {total} chunks", err=True, nl=done == total)
