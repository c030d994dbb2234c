"""`stream-scorer validate`: the contract for producers, offline."""

import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import msgspec
import typer

from stream_scorer.commands.file_options import ColumnsOption, EncodingOption, mapping_from
from stream_scorer.commands.terminal_text import printable
from stream_scorer.core.contract.columns import EVENT_BYTES_MAX
from stream_scorer.errors import SettingsError

if TYPE_CHECKING:
    from stream_scorer.operations.checks.file_validation import Contract, LineVerdict, ValidationSummary

# About two seconds of work; below that a progress bar only flickers.
PROGRESS_BYTES_MIN = 128 * 1024 * 1024


def register(app: typer.Typer) -> None:
    app.command()(validate)


def validate(
    file: Annotated[
        str, typer.Argument(metavar="FILE|-", help="Events as JSON lines, or rows with --csv; - for standard input.")
    ],
    csv: Annotated[
        bool,
        typer.Option("--csv", help="The file is CSV: check its rows as the events that `produce --csv` would send."),
    ] = False,
    columns: ColumnsOption = None,
    encoding: EncodingOption = None,
    outcomes: Annotated[bool, typer.Option("--outcomes", help="The events are outcomes, not observations.")] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print one JSON object per line of the file: line, ok, errors (code, field, message)."
        ),
    ] = False,
    show: Annotated[int, typer.Option(min=0, help="How many invalid lines to print in full.")] = 10,
    event_bytes_max: Annotated[
        int, typer.Option(min=1, help="The largest observation event, in bytes.")
    ] = EVENT_BYTES_MAX,
) -> None:
    """Check events against the contract, without Kafka: every fault of every line, and which fix would repair it.

    Exit status: 0 all lines are valid, 1 some are not, 2 the file can't be read.
    """
    from stream_scorer.operations.checks import file_validation

    contract = file_validation.outcomes() if outcomes else file_validation.observations(event_bytes_max)
    summary = file_validation.ValidationSummary(shown_max=show)
    encoder = msgspec.json.Encoder()
    with ExitStack() as stack:
        if csv:
            if outcomes:
                raise SettingsError("--outcomes is for JSON lines: rows of a CSV file are checked as observations")
            checked = csv_verdicts(stack, file, columns, encoding, contract)
        elif columns or encoding:
            raise SettingsError("--columns and --encoding are for --csv")
        else:
            checked = line_verdicts(stack, file, contract, visible=not (as_json and sys.stdout.isatty()))
        for verdicts in checked:
            summary.add(verdicts)
            if as_json:
                sys.stdout.buffer.write(encoder.encode_lines(verdicts))
                sys.stdout.buffer.flush()
    if not as_json:
        print_summary(summary)
    raise typer.Exit(1 if summary.broken else 0)


def line_verdicts(stack: ExitStack, file: str, contract: "Contract", *, visible: bool) -> "Iterator[list[LineVerdict]]":
    """The verdicts on a file of JSON lines, with a bar where there is much of it."""
    from stream_scorer.operations.checks import file_validation

    stream = stack.enter_context(opened(file))
    advance = stack.enter_context(progress_over(stream, visible=visible))
    for verdicts in file_validation.validate(stream, contract):
        yield verdicts
        advance()


def csv_verdicts(
    stack: ExitStack, file: str, columns: Path | None, encoding: str | None, contract: "Contract"
) -> "Iterator[list[LineVerdict]]":
    """The verdicts on a CSV file that can be read from end to end. Raises InputFileError."""
    from stream_scorer.models.stops_csv.stops import StopsFile
    from stream_scorer.operations.checks import file_validation

    stops = stack.enter_context(StopsFile(file, encoding=encoding, mapping=mapping_from(columns)))
    if (faults := stops.header_faults()) is not None:
        typer.echo(f"Warning: {faults}: no row is valid. Map the columns with --columns.", err=True)
    stops.check()
    return file_validation.validate_rows(stops, contract)


@contextmanager
def opened(file: str) -> Iterator[BufferedReader]:
    """The file's bytes, or standard input's. Raises SettingsError."""
    if file == "-":
        if sys.stdin.isatty():
            typer.echo("Reading events from the keyboard, one a line; Ctrl-D ends them.", err=True)
        yield cast(BufferedReader, sys.stdin.buffer)
        return
    try:
        stream = Path(file).open("rb")  # noqa: SIM115  # closed below: only a fault in opening is told here
    except OSError as error:
        advice = "name a file of JSON lines, or - for standard input"
        raise SettingsError(f"{file} can't be read ({error.strerror}): {advice}") from error
    with stream:
        yield stream


@contextmanager
def progress_over(stream: BufferedReader, *, visible: bool) -> Iterator[Callable[[], None]]:
    """A function that moves the bar to where the stream stands; there is a bar for people and large files only."""
    size_bytes = regular_size_bytes(stream) if visible and sys.stderr.isatty() else 0
    if size_bytes < PROGRESS_BYTES_MIN:
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("Checking"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=size_bytes)
        yield lambda: bar.update(task, completed=stream.tell())


def regular_size_bytes(stream: BufferedReader) -> int:
    """The size of a regular file; 0 for pipes and the like."""
    status = os.fstat(stream.fileno())
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def print_summary(summary: "ValidationSummary") -> None:
    """How many are broken, by code and field, and the first of them in full."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    fine = summary.lines - summary.broken
    if not summary.broken:
        console.print(f"All {summary.lines:,} lines are valid." if fine else "There are no lines to check.")
        return
    console.print(f"{fine:,} of {summary.lines:,} lines are valid, {summary.broken:,} are not.\n")
    table = Table("code", "field", box=None, pad_edge=False, header_style="bold")
    table.add_column("faults", justify="right")
    table.add_column("first line", justify="right")
    for (code, field), group in sorted(summary.groups.items(), key=lambda item: -item[1].count):
        table.add_row(code, field or "-", f"{group.count:,}", f"{group.first_line:,}")
    console.print(table)
    for verdict in summary.first:
        console.print(f"\nline {verdict.line:,}", style="bold")
        for reason in verdict.errors:
            console.print(Text(f"  {reason.code}: {printable(reason.message)}"), soft_wrap=True)
    for fixes, count in summary.mendable.most_common():
        said = " ".join(f"--fix {fix}" for fix in fixes)
        console.print(f"\n{said} would fix {count:,} of them.", soft_wrap=True)
    if unseen := summary.broken - len(summary.first):
        console.print(f"\n… and {unseen:,} more: --show {summary.broken} prints them all, --json for scripts.")
