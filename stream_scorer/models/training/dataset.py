"""Labelled observations from a CSV file.

Invariant: a row that breaks the contract is left out and counted, never mended and never passed over in silence; a file
that breaks the rules of its form is refused (`models/stops_csv`).
"""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.contract.columns import COLUMN_NAMES, COLUMNS, Column
from stream_scorer.errors import InputFileError
from stream_scorer.models.dataframes import Codes, codes_from
from stream_scorer.models.stops_csv.cells import Cell
from stream_scorer.models.stops_csv.column_mapping import LABEL, ColumnMapping
from stream_scorer.models.stops_csv.csv_file import shortened
from stream_scorer.models.stops_csv.stops import StopsFile

__all__ = ["LABEL", "CleaningReport", "LabelledRows", "read_rows"]

NOT_ALLOWED: Final = -1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class CleaningReport(msgspec.Struct, frozen=True):
    """What became of a file's rows. `invalid_by_column` counts each column that is at fault, so it may add up to more
    than `invalid`. `unlabelled`: no label, or one though nobody searched (`unsearched` of them)."""

    read: int
    duplicates: int
    invalid: int
    invalid_by_column: dict[str, int]
    unlabelled: int
    unsearched: int
    kept: int


class LabelledRows(NamedTuple):
    """Labelled observations; arrays of shape (n,). `times`: in order of time, None when no time column was named."""

    codes: Codes
    classes: NDArray[np.bool_]
    times: NDArray[np.int64] | None
    cleaning: CleaningReport


def read_rows(
    path: Path, time_column: str | None = None, *, encoding: str | None = None, mapping: ColumnMapping | None = None
) -> LabelledRows:
    """The file's distinct, valid, labelled rows. Raises InputFileError for a file that can't be read, lacks columns, or
    has a label that is neither true nor false."""
    with StopsFile(path, encoding=encoding, mapping=mapping, contract_only=True) as file:
        missing = file.missing_columns(LABEL)
        if time_column is not None and time_column not in file.header:
            missing.append(time_column)
        if missing:
            raise InputFileError(
                f"{path} lacks the columns {shortened(missing)}: give a CSV file whose first line names them, or say "
                f"with --columns what they are called (there: {shortened(file.header)})"
            )
        return _rows_of(file, time_column)


def _rows_of(file: StopsFile, time_column: str | None) -> LabelledRows:
    places = [_places(column) for column in COLUMNS]
    time_at = None if time_column is None else file.header.index(time_column)
    seen: set[tuple[str, ...]] = set()
    invalid_by_column: Counter[str] = Counter()
    read = duplicates = invalid = unlabelled = unsearched = 0
    kept: list[list[int]] = []
    labels: list[bool] = []
    times: list[int] = []
    for row in file.rows():
        read += 1
        stop = file.stop_of(row)
        if (cells := tuple(row.cells)) in seen:
            duplicates += 1
            continue
        seen.add(cells)
        values = stop.observation
        indices = [places_.get(values[name], NOT_ALLOWED) for name, places_ in places]
        faults = [name for name, index in zip(COLUMN_NAMES, indices, strict=True) if index == NOT_ALLOWED]
        if time_at is not None:
            time = _time_of(row.cells[time_at])
            if time is None:
                faults.append(file.header[time_at])
        if faults:
            invalid += 1
            invalid_by_column.update(faults)
        elif stop.outcome is None:
            unlabelled += 1
            unsearched += stop.label is not None
        else:
            kept.append(indices)
            labels.append(stop.outcome)
            if time_at is not None and time is not None:
                times.append(time)
    cleaning = CleaningReport(
        read=read,
        duplicates=duplicates,
        invalid=invalid,
        invalid_by_column={name: n for name in (*COLUMN_NAMES, time_column or "") if (n := invalid_by_column[name])},
        unlabelled=unlabelled,
        unsearched=unsearched,
        kept=len(kept),
    )
    indices_kept = np.array(kept, dtype=np.intp).reshape(len(kept), len(COLUMNS)).T
    return LabelledRows(
        codes_from(indices_kept),
        np.array(labels, dtype=np.bool_),
        None if time_at is None else np.array(times, dtype=np.int64),
        cleaning,
    )


def _places(column: Column) -> tuple[str, dict[Cell, int]]:
    """A column's name, and for each value of its domain the place. A whole number written as 35.0 is that number here:
    an empty cell elsewhere turns a column of whole numbers into such."""
    return column.name, {value: place for place, value in enumerate(column.domain)}


def _time_of(text: str) -> int | None:
    """A time in ISO 8601 as microseconds since 1970, in UTC where it names no zone; None where it is no time."""
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    span = (time if time.tzinfo else time.replace(tzinfo=UTC)) - _EPOCH
    return (span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds
