"""Dead letters on a terminal.

Invariant: what a producer wrote reaches the terminal only as printable characters.
"""

import json
import sys
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stream_scorer.commands.terminal_text import printable
from stream_scorer.operations.dead_letters.replay.dry_run import CheckResult
from stream_scorer.operations.dead_letters.replay.replay import Skip

if TYPE_CHECKING:
    from stream_scorer.core.dead_letters.highlighting import Segment

SHOWN_CHARACTERS_MAX = 20_000
EXAMPLES_MAX = 10
PIPE_CHARACTERS = 250

SKIPPED = {
    Skip.ALREADY_REPLAYED: "replayed before",
    Skip.DISCARDED: "discarded before",
    Skip.PARKED: "parked: replayed as often as is allowed; see `dead-letters history`, and say --parked to try again",
    Skip.STILL_FAILS: "would fail again: fix them, or say --failing-too",
    Skip.WOULD_CONFLICT: "would conflict with an observation that was scored: discard them, or say --failing-too",
    Skip.ALREADY_SCORED: "the same observation was scored already: nothing to do",
    Skip.CANNOT_MEND: "this fix can't be applied to them",
    Skip.TRUNCATED: "too large to have been kept whole: ask the producer to send them again",
    Skip.OTHER_TOPIC: "came from a topic that is not an input of this environment",
    Skip.UNREADABLE: "not written by stream-scorer",
    Skip.GONE: "deleted by the topic's retention",
}


def console() -> Console:
    # into a pipe or a file a line is as long as it is
    width = None if sys.stdout.isatty() else PIPE_CHARACTERS
    return Console(soft_wrap=True, markup=False, highlight=False, width=width)


def table(*headings: str, right: int | None = None) -> Table:
    made = Table(box=None, pad_edge=False)
    for number, heading in enumerate(headings):
        made.add_column(heading, justify="right" if number == right else "left", overflow="fold")
    return made


def print_groups(groups: Any) -> None:
    if not groups:
        typer.echo("no dead letters")
        return
    made = table("code", "field", "dead letters", "first", "last", "example", "producers", right=2)
    for one in groups:
        parked = f" ({one.parked:,} parked)" if one.parked else ""
        producers = ", ".join(f"{printable(name)} {count:,}" for name, count in one.producers)
        names = printable(one.code), printable(one.field or "")
        made.add_row(*names, f"{one.count:,}{parked}", one.first_at, one.last_at, str(one.example), producers)
    console().print(made)


def print_letters(letters: Any) -> None:
    if not letters:
        typer.echo("no dead letters")
        return
    made = table("letter", "failed at", "stage", "faults", "state", "read at", "producer")
    for one in letters:
        faults = ", ".join(f"{code} ({field})" if field else code for code, field in one.faults)
        state = f"{one.state} ({one.replays} replays)" if one.replays else str(one.state)
        origin = str(one.origin) if one.origin else ""
        made.add_row(
            str(one.place), one.failed_at, one.stage, printable(faults), state, origin, printable(one.producer)
        )
    console().print(made)


def print_producers(producers: Any) -> None:
    if not producers:
        typer.echo("no dead letters")
        return
    made = table("producer", "dead letters", "first", "last", "example", "faults", right=1)
    for one in producers:
        faults = ", ".join(
            f"{code} ({field}) {n:,}" if field else f"{code} {n:,}" for code, field, n in one.by_fault[:3]
        )
        name = printable(one.producer) or "(unnamed)"
        made.add_row(name, f"{one.count:,}", one.first_at, one.last_at, str(one.example), printable(faults))
    console().print(made)


def print_shown(shown: Any) -> None:
    out = console()
    replays = f", replayed {shown.replays} times" if shown.replays else ""
    out.print(f"dead letter {shown.place}: {shown.state}{replays}")
    if shown.stage:
        out.print(f"failed at {shown.failed_at} in stage {shown.stage} (version {printable(shown.version)})")
        out.print(f"source {printable(shown.origin)}, timestamp {shown.time}")
    if shown.why_not_replayable:
        out.print(f"can't be replayed: {printable(shown.why_not_replayable)}")
    for number, reason in enumerate(shown.reasons, 1):
        field = f" ({printable(reason.field)})" if reason.field else ""
        details = f"  {printable(json.dumps(reason.details))}" if reason.details else ""
        out.print(
            Text.assemble((f"[{number}] ", "bold red"), f"{reason.code}{field}: {printable(reason.message)}{details}")
        )
    out.print(Text("key: " + ("(none)" if shown.key is None else printable(shown.key))))
    for name, value in shown.headers:
        out.print(Text(f"header {printable(name)}: {printable(value)}"))
    cut = "" if shown.truncation is None else f", of {shown.truncation.bytes:,} (sha256 {shown.truncation.sha256})"
    if shown.batch is not None:
        batch = shown.batch
        out.print(
            f"a whole batch ({batch.codec}): {batch.records:,} records at offsets {batch.first_offset} to "
            f"{batch.last_offset}"
        )
        cut = f", of {batch.bytes:,} (sha256 {batch.sha256})"  # printed with what was revealed only
    size = "masked" if shown.masked else f"{shown.size_bytes:,} bytes{cut}"
    only = ", only the first bytes were kept" if shown.truncated and shown.masked else ""
    out.print(Text(f"value, {size}{only}:"))
    out.print(marked(shown.pieces))
    if shown.masked:
        out.print("Personal data is masked; --reveal shows it and records your name in the ledger.")


def marked(pieces: "list[Segment]") -> Text:
    """The value, with each fault's number where it is."""
    text = Text()
    for piece in pieces:
        numbers = "".join(f"[{number + 1}]" for number in piece.reasons)
        if numbers:
            text.append(printable(piece.text), "reverse red").append(numbers, "bold red")
        else:
            text.append(printable(piece.text), "dim" if piece.masked else "")
        if len(text) > SHOWN_CHARACTERS_MAX:
            text.truncate(SHOWN_CHARACTERS_MAX)
            return text.append("…")
    return text


def print_check(report: Any) -> None:
    out = console()
    out.print(
        f"{report.count:,} dead letters"
        + (f", {report.changed:,} of them changed by the fix" if report.changed else "")
    )
    for verdict, count in report.verdicts.items():
        out.print(f"  {count:>9,} {verdict.replace('_', ' ')}")
    told = [one for one in report.letters if one.verdict is not CheckResult.PASSES][:EXAMPLES_MAX]
    for one in told:
        # messages quote what a record says of a person: codes and fields do not
        faults = ", ".join(f"{reason.code} ({reason.field})" if reason.field else reason.code for reason in one.reasons)
        out.print(f"  {one.place} {one.verdict.replace('_', ' ')}: {printable(faults or one.why)}")


def print_replay(report: Any) -> None:
    out = console()
    verb = "would be replayed" if report.dry_run else "replayed"
    changed = f", {report.changed:,} of them changed by the fix" if report.changed else ""
    out.print(f"{report.replayed:,} dead letters {verb}{changed} ({report.seconds:.1f} s)")
    for skip, count in report.skipped.items():
        out.print(f"  {count:>9,} skipped: {SKIPPED[skip]}")
    if report.dry_run and report.replayed:
        out.print("Nothing was written. Add --yes to do it.")


def print_discard(report: Any) -> None:
    before = f"; {report.already_decided:,} were replayed or discarded before" if report.already_decided else ""
    if report.dry_run:
        typer.echo(
            f"{report.discarded:,} dead letters would be discarded{before}.\nNothing was written. Add --yes to do it."
        )
    else:
        typer.echo(f"{report.discarded:,} dead letters discarded{before}")


def print_history(history: Any) -> None:
    made = table("time", "what", "who", "record", "details")
    for event in history.events:
        details = "  ".join(f"{name}: {_value(value)}" for name, value in event.details.items())
        made.add_row(event.at, event.what, printable(event.who), printable(event.where), printable(details))
    console().print(made)


def _value(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
