"""`stream-scorer dead-letters`: list, show, check, replay and discard dead letters, and show their history."""

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from stream_scorer.commands.dead_letters import producers
from stream_scorer.commands.dead_letters.options import (
    AsOption,
    WhyOption,
    YesOption,
    filter_by_state,
    filter_to_change,
    filter_with_places,
    fix_options,
    place_from,
    place_option,
)
from stream_scorer.commands.kafka_log_level import quiet_kafka_clients
from stream_scorer.commands.option_groups import with_options
from stream_scorer.commands.options import JsonOption, environment_settings
from stream_scorer.errors import SettingsError

if TYPE_CHECKING:
    from stream_scorer.core.dead_letters.repair import Fix
    from stream_scorer.core.records.dead_letter_reader import Position
    from stream_scorer.operations.dead_letters.query.filters import Filter
    from stream_scorer.operations.dead_letters.service import DeadLetterService
    from stream_scorer.operations.reading.topic_reader import OnRead
    from stream_scorer.runtime.settings.settings import Settings

NOT_FINE = 1
T = TypeVar("T")

letters = typer.Typer(
    name="dead-letters",
    help="Inspect, fix, replay or discard records that failed.",
    no_args_is_help=True,
)
producers.register(letters)


class By(StrEnum):
    """What a row of the list stands for."""

    GROUPS = "groups"
    DEAD_LETTERS = "dead-letters"
    PRODUCERS = "producers"


def register(app: typer.Typer) -> None:
    app.add_typer(letters)


@letters.callback()
def group() -> None:
    """Inspect, fix, replay or discard records that failed.

    A dead letter is named PARTITION@OFFSET, by its position in the dead-letter topic.
    """


@letters.command("list")
@with_options(settings=environment_settings, wanted=filter_by_state)
def list_(
    *,
    by: Annotated[
        By, typer.Option(help="Group by code and field, or by producer; or list single dead letters.")
    ] = By.GROUPS,
    limit: Annotated[
        int, typer.Option(min=1, max=100_000, help="With --by dead-letters: how many to list, newest first.")
    ] = 50,
    before: Annotated[
        str | None, typer.Option(metavar="PLACE", help="With --by dead-letters: continue after this one.")
    ] = None,
    wanted: "Filter",
    who: AsOption = None,
    settings: "Settings",
    as_json: JsonOption = False,
) -> None:
    """Count dead letters by code and field, with first, last and an example. Only open ones, unless --state is given.

    No personal data is shown. A dead letter with several reasons is in several groups.
    """
    from stream_scorer.commands.dead_letters.printing import print_groups, print_letters, print_producers
    from stream_scorer.commands.json_output import print_json

    behind = None if before is None else place_from(before)

    async def look(service: "DeadLetterService", on_read: "OnRead") -> object:
        if by is By.DEAD_LETTERS:
            return await service.find(wanted, limit, behind, on_read)
        return await (service.groups if by is By.GROUPS else service.producers)(wanted, on_read)

    found = _run(settings, look, who=who, quiet=as_json)
    if as_json:
        print_json(found)
    else:
        {By.GROUPS: print_groups, By.DEAD_LETTERS: print_letters, By.PRODUCERS: print_producers}[by](found)


@letters.command()
@with_options(settings=environment_settings, place=place_option)
def show(
    *,
    place: "Position",
    reveal: Annotated[
        bool, typer.Option("--reveal", help="Show personal data too. The ledger records who viewed it, and when.")
    ] = False,
    why: WhyOption = "",
    who: AsOption = None,
    settings: "Settings",
    as_json: JsonOption = False,
) -> None:
    """Show a dead letter: its bytes with the faults highlighted, its headers, its source, its state.

    Personal data is masked (•••) unless --reveal is given, which the ledger records.
    """
    from stream_scorer.commands.dead_letters.printing import print_shown
    from stream_scorer.commands.json_output import print_json

    async def look(service: "DeadLetterService", _: "OnRead") -> object:
        return await (service.reveal(place, why) if reveal else service.show(place))

    found = _run(settings, look, who=who, quiet=as_json)
    (print_json if as_json else print_shown)(found)


@letters.command()
@with_options(settings=environment_settings, wanted=filter_with_places, fix=fix_options)
def check(
    *,
    wanted: "Filter",
    fix: "Fix",
    why: WhyOption = "",
    who: AsOption = None,
    settings: "Settings",
    as_json: JsonOption = False,
) -> None:
    """Validate dead letters against the current contract, unchanged or with a fix: passes, still fails, would conflict.

    Publishes nothing. The result depends on masked data, so the ledger records who asked, and when. Exit status 1 if
    one would not pass.
    """
    from stream_scorer.commands.dead_letters.printing import print_check
    from stream_scorer.commands.json_output import print_json
    from stream_scorer.operations.dead_letters.replay.dry_run import CheckResult

    report = _run(settings, lambda service, on_read: service.check(wanted, fix, on_read, why), who=who, quiet=as_json)
    (print_json if as_json else print_check)(report)
    if set(report.verdicts) - {CheckResult.PASSES, CheckResult.ALREADY_SCORED}:
        raise typer.Exit(NOT_FINE)


@letters.command()
@with_options(settings=environment_settings, wanted=filter_to_change, fix=fix_options)
def replay(
    *,
    wanted: "Filter",
    fix: "Fix",
    yes: YesOption = False,
    rate: Annotated[
        float | None, typer.Option(min=0.01, metavar="N", help="Dead letters per second. Default: no limit.")
    ] = None,
    parked: Annotated[
        bool, typer.Option("--parked", help="Only parked ones: those that reached the limit of replays.")
    ] = False,
    failing_too: Annotated[
        bool, typer.Option("--failing-too", help="Also replay dead letters that would fail again or conflict.")
    ] = False,
    why: WhyOption = "",
    who: AsOption = None,
    settings: "Settings",
    as_json: JsonOption = False,
) -> None:
    """Publish dead letters' records to their topic again, unchanged or with a fix; each once, even if you repeat it.

    Without --yes it is a dry run, and the ledger records who asked. If it was interrupted, run it again for the
    rest. A record that was replayed operator.replays_max times (3) and failed each time is parked. Exit status 1 if
    it skipped a dead letter that would not pass.
    """
    from stream_scorer.commands.dead_letters.printing import print_replay
    from stream_scorer.commands.json_output import print_json
    from stream_scorer.operations.dead_letters.replay.replay import Skip

    async def act(service: "DeadLetterService", on_read: "OnRead") -> object:
        return await service.replay(
            wanted,
            fix,
            yes=yes,
            rate=rate,
            parked=parked,
            failing_too=failing_too,
            why=why,
            on_read=on_read,
            on_progress=on_read,
        )

    report = _run(settings, act, who=who, quiet=as_json)
    (print_json if as_json else print_replay)(report)
    harmless = {Skip.ALREADY_REPLAYED, Skip.DISCARDED, Skip.PARKED, Skip.ALREADY_SCORED}
    if set(report.skipped) - harmless:  # type: ignore[attr-defined]
        raise typer.Exit(NOT_FINE)


@letters.command()
@with_options(settings=environment_settings, wanted=filter_to_change)
def discard(
    *,
    note: Annotated[str, typer.Option(help="Why they need no more attention; recorded in the ledger.")],
    wanted: "Filter",
    yes: YesOption = False,
    who: AsOption = None,
    settings: "Settings",
    as_json: JsonOption = False,
) -> None:
    """Note that dead letters need no more attention. Without --yes, only count them."""
    from stream_scorer.commands.dead_letters.printing import print_discard
    from stream_scorer.commands.json_output import print_json

    if not note.strip():
        raise SettingsError("--note is required: say why the dead letters are discarded")
    report = _run(
        settings,
        lambda service, on_read: service.discard(wanted, note, yes=yes, on_read=on_read),
        who=who,
        quiet=as_json,
    )
    (print_json if as_json else print_discard)(report)


@letters.command()
@with_options(settings=environment_settings, place=place_option)
def history(
    *,
    place: "Position",
    settings: "Settings",
    as_json: JsonOption = False,
) -> None:
    """Show a dead letter's history: its failures, what operators did, and the result of each replay."""
    from stream_scorer.commands.dead_letters.printing import print_history
    from stream_scorer.commands.json_output import print_json

    found = _run(settings, lambda service, _: service.history(place), quiet=as_json)
    (print_json if as_json else print_history)(found)


def _run(
    settings: "Settings",
    ask: "Callable[[DeadLetterService, OnRead], Awaitable[T]]",
    *,
    who: str | None = None,
    quiet: bool,
) -> T:
    """The result of `ask`, once the dead-letter index of the environment is up to date."""
    from stream_scorer.commands.progress import reading_progress
    from stream_scorer.operations.dead_letters.service import open_service

    async def asked() -> T:
        async with open_service(settings, who=who) as service:
            with reading_progress(quiet=quiet) as on_read:
                await service.refresh(on_read)
            with reading_progress(quiet=quiet) as on_read:
                return await ask(service, on_read)

    quiet_kafka_clients()
    return asyncio.run(asked())
