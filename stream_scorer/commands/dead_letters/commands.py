"""`stream-scorer dead-letters`: find records that could not go on, look at them, mend, replay or discard them, and see
what became of them.
"""

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from stream_scorer.commands.dead_letters import producers
from stream_scorer.commands.dead_letters.options import (
    AllOption,
    AsOption,
    CodeOption,
    FieldOption,
    FixOption,
    FromOption,
    IdOption,
    PartitionOption,
    PatchOption,
    PlaceArgument,
    PlacesArgument,
    ProducerOption,
    RevealTextOption,
    SetOption,
    StageOption,
    StateOption,
    TextOption,
    ToOption,
    WhyOption,
    YesOption,
    filter_from,
    fix_from,
    place_from,
)
from stream_scorer.commands.kafka_log_level import quiet_kafka_clients
from stream_scorer.commands.options import BootstrapOption, JsonOption, PrefixOption, SettingsOption, settings_from
from stream_scorer.errors import SettingsError

if TYPE_CHECKING:
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
    """How a list is told."""

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
def list_(
    by: Annotated[
        By, typer.Option(help="Group by code and field, or by producer; or list single dead letters.")
    ] = By.GROUPS,
    limit: Annotated[
        int, typer.Option(min=1, max=100_000, help="With --by dead-letters: how many to list, newest first.")
    ] = 50,
    before: Annotated[
        str | None, typer.Option(metavar="PLACE", help="With --by dead-letters: continue after this one.")
    ] = None,
    code: CodeOption = None,
    field: FieldOption = None,
    stage: StageOption = None,
    begin: FromOption = None,
    end: ToOption = None,
    partition: PartitionOption = None,
    id_: IdOption = None,
    producer: ProducerOption = None,
    text: TextOption = None,
    reveal: RevealTextOption = False,
    state: StateOption = None,
    who: AsOption = None,
    bootstrap: BootstrapOption = None,
    prefix: PrefixOption = None,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Count dead letters by code and field, with first, last and an example. Only open ones, unless --state is given.

    No personal data is shown. A dead letter with several reasons is in several groups.
    """
    from stream_scorer.commands.dead_letters.printing import print_groups, print_json, print_letters, print_producers

    resolved = settings_from(settings, bootstrap=bootstrap, prefix=prefix)
    wanted = filter_from((), code, field, stage, begin, end, partition, id_, producer, text, state, reveal=reveal)
    behind = None if before is None else place_from(before)

    async def look(office: "DeadLetterService", on_read: "OnRead") -> object:
        if by is By.DEAD_LETTERS:
            return await office.find(wanted, limit, behind, on_read)
        return await (office.groups if by is By.GROUPS else office.producers)(wanted, on_read)

    found = _run(resolved, look, who=who, quiet=as_json)
    if as_json:
        print_json(found)
    else:
        {By.GROUPS: print_groups, By.DEAD_LETTERS: print_letters, By.PRODUCERS: print_producers}[by](found)


@letters.command()
def show(
    place: PlaceArgument,
    reveal: Annotated[
        bool, typer.Option("--reveal", help="Show personal data too. The ledger records who viewed it, and when.")
    ] = False,
    why: WhyOption = "",
    who: AsOption = None,
    bootstrap: BootstrapOption = None,
    prefix: PrefixOption = None,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a dead letter: its bytes with the faults highlighted, its headers, its source, its state.

    Personal data is masked (•••) unless --reveal is given, which the ledger records.
    """
    from stream_scorer.commands.dead_letters.printing import print_json, print_shown

    resolved, wanted = settings_from(settings, bootstrap=bootstrap, prefix=prefix), place_from(place)

    async def look(office: "DeadLetterService", _: "OnRead") -> object:
        return await (office.reveal(wanted, why) if reveal else office.show(wanted))

    found = _run(resolved, look, who=who, quiet=as_json)
    (print_json if as_json else print_shown)(found)


@letters.command()
def check(
    places: PlacesArgument = None,
    code: CodeOption = None,
    field: FieldOption = None,
    stage: StageOption = None,
    begin: FromOption = None,
    end: ToOption = None,
    partition: PartitionOption = None,
    id_: IdOption = None,
    producer: ProducerOption = None,
    text: TextOption = None,
    reveal: RevealTextOption = False,
    state: StateOption = None,
    patch: PatchOption = None,
    fix: FixOption = None,
    sets: SetOption = None,
    why: WhyOption = "",
    who: AsOption = None,
    bootstrap: BootstrapOption = None,
    prefix: PrefixOption = None,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Validate dead letters against the current contract, unchanged or with a fix: passes, still fails, would conflict.

    Publishes nothing. The result depends on masked data, so the ledger records who asked, and when. Exit status 1 if
    one would not pass.
    """
    from stream_scorer.commands.dead_letters.printing import print_check, print_json
    from stream_scorer.operations.dead_letters.replay.dry_run import Verdict

    resolved = settings_from(settings, bootstrap=bootstrap, prefix=prefix)
    wanted = filter_from(places, code, field, stage, begin, end, partition, id_, producer, text, state, reveal=reveal)
    mended = fix_from(patch, fix, sets)
    report = _run(resolved, lambda office, on_read: office.check(wanted, mended, on_read, why), who=who, quiet=as_json)
    (print_json if as_json else print_check)(report)
    if set(report.verdicts) - {Verdict.PASSES, Verdict.ALREADY_SCORED}:
        raise typer.Exit(NOT_FINE)


@letters.command()
def replay(
    places: PlacesArgument = None,
    every: AllOption = False,
    code: CodeOption = None,
    field: FieldOption = None,
    stage: StageOption = None,
    begin: FromOption = None,
    end: ToOption = None,
    partition: PartitionOption = None,
    id_: IdOption = None,
    producer: ProducerOption = None,
    text: TextOption = None,
    reveal: RevealTextOption = False,
    patch: PatchOption = None,
    fix: FixOption = None,
    sets: SetOption = None,
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
    bootstrap: BootstrapOption = None,
    prefix: PrefixOption = None,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish dead letters' records to their topic again, unchanged or with a fix; each once, even if you repeat it.

    Without --yes it is a dry run, and the ledger records who asked. If it was interrupted, run it again for the
    rest. A record that was replayed operator.replays_max times (3) and failed each time is parked. Exit status 1 if
    it skipped a dead letter that would not pass.
    """
    from stream_scorer.commands.dead_letters.printing import print_json, print_replay
    from stream_scorer.operations.dead_letters.replay.replay import Skip

    resolved = settings_from(settings, bootstrap=bootstrap, prefix=prefix)
    wanted = filter_from(
        places, code, field, stage, begin, end, partition, id_, producer, text, None, every=every, reveal=reveal
    )
    mended = fix_from(patch, fix, sets)

    async def act(office: "DeadLetterService", on_read: "OnRead") -> object:
        return await office.replay(
            wanted,
            mended,
            yes=yes,
            rate=rate,
            parked=parked,
            failing_too=failing_too,
            why=why,
            on_read=on_read,
            on_progress=on_read,
        )

    report = _run(resolved, act, who=who, quiet=as_json)
    (print_json if as_json else print_replay)(report)
    harmless = {Skip.ALREADY_REPLAYED, Skip.DISCARDED, Skip.PARKED, Skip.ALREADY_SCORED}
    if set(report.skipped) - harmless:  # type: ignore[attr-defined]
        raise typer.Exit(NOT_FINE)


@letters.command()
def discard(
    note: Annotated[str, typer.Option(help="Why they need no more attention; recorded in the ledger.")],
    places: PlacesArgument = None,
    every: AllOption = False,
    code: CodeOption = None,
    field: FieldOption = None,
    stage: StageOption = None,
    begin: FromOption = None,
    end: ToOption = None,
    partition: PartitionOption = None,
    id_: IdOption = None,
    producer: ProducerOption = None,
    text: TextOption = None,
    reveal: RevealTextOption = False,
    yes: YesOption = False,
    who: AsOption = None,
    bootstrap: BootstrapOption = None,
    prefix: PrefixOption = None,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Note that dead letters need no more attention. Without --yes, only count them."""
    from stream_scorer.commands.dead_letters.printing import print_discard, print_json

    resolved = settings_from(settings, bootstrap=bootstrap, prefix=prefix)
    wanted = filter_from(
        places, code, field, stage, begin, end, partition, id_, producer, text, None, every=every, reveal=reveal
    )
    if not note.strip():
        raise SettingsError("--note is required: say why the dead letters are discarded")
    report = _run(
        resolved, lambda office, on_read: office.discard(wanted, note, yes=yes, on_read=on_read), who=who, quiet=as_json
    )
    (print_json if as_json else print_discard)(report)


@letters.command()
def history(
    place: PlaceArgument,
    bootstrap: BootstrapOption = None,
    prefix: PrefixOption = None,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a dead letter's history: its failures, what operators did, and the result of each replay."""
    from stream_scorer.commands.dead_letters.printing import print_history, print_json

    resolved, wanted = settings_from(settings, bootstrap=bootstrap, prefix=prefix), place_from(place)
    found = _run(resolved, lambda office, _: office.history(wanted), quiet=as_json)
    (print_json if as_json else print_history)(found)


def _run(
    resolved: "Settings",
    ask: "Callable[[DeadLetterService, OnRead], Awaitable[T]]",
    *,
    who: str | None = None,
    quiet: bool,
) -> T:
    """Ask the office of an environment, once its index is up to date."""
    from stream_scorer.commands.progress import reading_progress
    from stream_scorer.operations.dead_letters.service import open_service

    async def asked() -> T:
        async with open_service(resolved, who=who) as office:
            with reading_progress(quiet=quiet) as on_read:
                await office.refresh(on_read)
            with reading_progress(quiet=quiet) as on_read:
                return await ask(office, on_read)

    quiet_kafka_clients()
    return asyncio.run(asked())
