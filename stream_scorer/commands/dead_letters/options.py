"""Options of the `dead-letters` commands: the filter, the fix, and who acts for what reason."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from stream_scorer.commands.option_groups import with_options
from stream_scorer.commands.time_options import milliseconds_of
from stream_scorer.core.contract.reasons import Code, Stage
from stream_scorer.core.dead_letters.named_fixes import NamedFix
from stream_scorer.errors import SettingsError, system_words

if TYPE_CHECKING:
    from stream_scorer.core.dead_letters.repair import Fix
    from stream_scorer.core.records.dead_letter_reader import Position
    from stream_scorer.operations.dead_letters.query.filters import Filter

UNREADABLE = "unreadable"

PlaceArgument = Annotated[str, typer.Argument(metavar="PLACE", help="A dead letter: PARTITION@OFFSET.")]
PlacesArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[PLACE]…", help="Dead letters: PARTITION@OFFSET. Default: all that match the filters."),
]
AllOption = Annotated[
    bool, typer.Option("--all", help="All open ones; needed where no position and no filter is given.")
]
CodeOption = Annotated[str | None, typer.Option(metavar="CODE", help=f"A reason's code, or {UNREADABLE}.")]
FieldOption = Annotated[str | None, typer.Option(metavar="FIELD", help="The field that a reason names.")]
StageOption = Annotated[Stage | None, typer.Option(help="The stage at which they failed.")]
FromOption = Annotated[
    str | None, typer.Option("--from", metavar="TIME", help="Failed at this time (RFC 3339) or later.")
]
ToOption = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Failed before this time.")]
PartitionOption = Annotated[int | None, typer.Option(metavar="N", min=0, help="On this partition.")]
IdOption = Annotated[str | None, typer.Option("--id", metavar="ID", help="About this id.")]
ProducerOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="From this producer, as its header `client-id` or `ce_source` says.")
]
TextOption = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="A reason's message, as shown (masked), contains this. Slower: it reads the dead letters.",
    ),
]
RevealTextOption = Annotated[
    bool,
    typer.Option("--reveal", help="With --text: search masked text too. The ledger records who searched, and when."),
]
StateOption = Annotated[
    list[str] | None,
    typer.Option(metavar="STATE", help="open, parked, replayed, discarded, all; repeatable. Default: open and parked."),
]
PatchOption = Annotated[
    str | None, typer.Option(metavar="JSON|@FILE", help="Fix by a JSON Patch (RFC 6902) of the event.")
]
FixOption = Annotated[
    list[str] | None,
    typer.Option(
        "--fix",
        metavar="NAME",
        help=f"Fix by name: {', '.join(NamedFix)}. Repeatable.",
    ),
]
SetOption = Annotated[list[str] | None, typer.Option("--set", metavar="COLUMN=VALUE", help="Fix by setting a column.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do it. Without --yes, nothing is written.")]
WhyOption = Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, for the ledger.")]
AsOption = Annotated[
    str | None,
    typer.Option("--as", metavar="NAME", help="Who acts, for the ledger. Default: operator.name, or your user name."),
]


def filter_options(
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
) -> "Filter":
    """Option group: a filter of open and parked dead letters. Raises SettingsError."""
    from stream_scorer.operations.dead_letters.query.filters import Filter

    if code is not None and code not in [*Code, UNREADABLE]:
        raise SettingsError(f"--code {code}: no such code. Codes are {', '.join([*Code, UNREADABLE])}")
    return Filter(
        code=code,
        field=field,
        stage=stage,
        since_ms=None if begin is None else milliseconds_of("--from", begin),
        until_ms=None if end is None else milliseconds_of("--to", end),
        partition=partition,
        id=id_,
        producer=producer,
        text=text,
        revealed=reveal and text is not None,
    )


@with_options(found=filter_options)
def filter_by_state(found: "Filter", state: StateOption = None) -> "Filter":
    """Option group: a filter of dead letters in the states that --state names. Raises SettingsError."""
    from stream_scorer.operations.dead_letters.query.filters import EVERY_STATE, WAITING, State

    unknown = [name for name in state or () if name not in [*State, "all"]]
    if unknown:
        raise SettingsError(f"--state {unknown[0]}: say {', '.join(State)} or all")
    named = EVERY_STATE if "all" in (state or ()) else frozenset(map(State, state or ()))
    return msgspec.structs.replace(found, states=named or WAITING)


@with_options(found=filter_by_state)
def filter_with_places(found: "Filter", places: PlacesArgument = None) -> "Filter":
    """Option group: positions, a filter by state, or both. Raises SettingsError."""
    return _at(places, found)


@with_options(found=filter_options)
def filter_to_change(found: "Filter", places: PlacesArgument = None, every: AllOption = False) -> "Filter":
    """Option group: the dead letters that a command is to change; all of them only with --all. Raises SettingsError."""
    from stream_scorer.operations.dead_letters.query.filters import Filter

    found = _at(places, found)
    if not every and found == Filter():
        raise SettingsError("name dead letters, give a filter such as --code, or say --all")
    return found


def _at(places: Sequence[str] | None, found: "Filter") -> "Filter":
    return msgspec.structs.replace(found, places=tuple(map(place_from, places))) if places else found


def place_option(place: PlaceArgument) -> "Position":
    """Option group: one dead letter's position. Raises SettingsError."""
    return place_from(place)


def place_from(text: str) -> "Position":
    """The position that PARTITION@OFFSET means. Raises SettingsError."""
    from stream_scorer.core.records.dead_letter_reader import Position

    place = Position.parse(text)
    if place is None:
        raise SettingsError(
            f"{text}: not a dead letter's position. Give PARTITION@OFFSET, as `dead-letters list` shows them"
        )
    return place


def fix_options(patch: PatchOption = None, fix: FixOption = None, sets: SetOption = None) -> "Fix":
    """Option group: how to fix a record before it is checked or published. Raises SettingsError."""
    from stream_scorer.core.dead_letters.repair import FixError, parse_fix

    if patch is not None and patch.startswith("@"):
        try:
            patch = Path(patch[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"--patch: {patch[1:]} can't be read: {system_words(error)}") from error
    parsed = parse_fix(patch, fix or (), sets or ())
    if isinstance(parsed, FixError):
        raise SettingsError(parsed.why)
    return parsed
