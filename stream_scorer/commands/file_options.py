"""Options of the commands that read a CSV file of stops."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from stream_scorer.models.stops_csv.column_mapping import ColumnMapping
    from stream_scorer.models.stops_csv.stops import FileCounts, StopsFile

ColumnsOption = Annotated[
    Path | None,
    typer.Option(
        "--columns",
        metavar="FILE",
        help="A TOML file that maps the file's columns to the contract's (see the guide for producers).",
    ),
]
EncodingOption = Annotated[
    str | None,
    typer.Option("--encoding", metavar="NAME", help="Encoding of the CSV file, such as cp1252. Default: UTF-8."),
]
AnywayOption = Annotated[
    bool,
    typer.Option(
        "--anyway", help="Send the CSV file even if its header makes every row invalid, or an id is there twice."
    ),
]


def mapping_from(columns: Path | None) -> "ColumnMapping | None":
    """The mapping that `--columns` names. Raises SettingsError."""
    if columns is None:
        return None
    from stream_scorer.models.stops_csv.column_mapping import load_mapping

    return load_mapping(columns)


@contextmanager
def checked_stops(
    csv: Path, columns: Path | None, encoding: str | None, *, anyway: bool
) -> "Iterator[tuple[StopsFile, FileCounts]]":
    """The file, read once from end to end before anything is sent, and what it holds. Raises InputFileError."""
    from stream_scorer.models.stops_csv.stops import StopsFile
    from stream_scorer.operations.sending.event_sources import check_before_sending

    with StopsFile(csv, encoding=encoding, mapping=mapping_from(columns)) as file:
        counts = check_before_sending(file, anyway=anyway)
        if anyway and (faults := file.header_faults()):
            typer.echo(f"Warning: {faults}: every row of it will be dead-lettered", err=True)
        if counts.labels_unsearched:
            typer.echo(
                f"Warning: {counts.labels_unsearched:,} of {counts.rows:,} rows have a label though nobody searched: "
                "no outcome is sent for them",
                err=True,
            )
        yield file, counts
