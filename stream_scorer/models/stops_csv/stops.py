"""The stops of a CSV file: columns by the contract's names, labels read, ids distinct, outcomes only where somebody
searched.

Invariant: sending, checking and training read a file through this module and no other, so a row means the same to all.
"""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from stream_scorer.core.contract.columns import COLUMN_NAMES, COLUMN_SET
from stream_scorer.errors import InputFileError
from stream_scorer.models.stops_csv.cells import Cell, cell_from_text, flag_of
from stream_scorer.models.stops_csv.column_mapping import (
    ID,
    LABEL,
    SEARCHED,
    SEARCHED_COLUMN,
    ColumnMapping,
    ColumnSource,
    NotATime,
)
from stream_scorer.models.stops_csv.csv_file import CsvFile, Row, shortened

NO_NAME = "(no name)"
# the authority to search that says: none
AUTHORIZATION, NOT_SEARCHED = "SearchAuthorizationCode", "N"


class Stop(NamedTuple):
    """One row. `id` is None in a file without ids; `label` says what a search found, None where that is not known;
    `searched` whether there was a search that could find something."""

    line: int
    id: str | None
    observation: dict[str, Cell]
    label: bool | None
    searched: bool

    @property
    def outcome(self) -> bool | None:
        """What a search found, None where nobody searched or nobody knows."""
        return self.label if self.searched else None


class FileCounts(NamedTuple):
    """What a whole file holds. `labels_unsearched`: rows with a label though nobody searched."""

    rows: int
    labels: int
    labels_unsearched: int


class StopsFile:
    """An open CSV file of stops. Raises InputFileError for what can't be read by its rules. `contract_only` leaves
    columns out that the contract does not know; else they are part of the observation, as a mapping is not there to say
    otherwise."""

    def __init__(
        self,
        path: Path | str,
        *,
        encoding: str | None = None,
        mapping: ColumnMapping | None = None,
        contract_only: bool = False,
    ) -> None:
        given = mapping or ColumnMapping("", {})
        self._mapping = mapping
        self._file = CsvFile(path, encoding=encoding or given.encoding, delimiter=given.delimiter)
        self.name, self.header = self._file.name, self._file.header
        self._empty, self._contract_only = given.empty, contract_only or mapping is not None
        try:
            self._sources = self._resolved(given)
        except BaseException:
            self._file.__exit__(None, None, None)
            raise
        self.columns = [name for name in self._sources if name not in (ID, LABEL, SEARCHED)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.__exit__(kind, error, traceback)

    def _resolved(self, mapping: ColumnMapping) -> dict[str, tuple[ColumnSource, list[int]]]:
        """For each column that an event or a model needs: its source and the places of its cells."""
        places = {name: place for place, name in enumerate(self.header)}
        sources = dict(mapping.sources)
        absent = sorted({name for source in sources.values() for name in source.columns} - places.keys())
        if absent:
            raise InputFileError(
                f"{self.name} lacks the columns {shortened(absent)}, which {mapping.name} names "
                f"(there: {shortened(self.header)})"
            )
        for name in (ID, *COLUMN_NAMES, LABEL):
            if name in places:
                sources.setdefault(name, ColumnSource((name,)))
        if SEARCHED_COLUMN in places:
            sources.setdefault(SEARCHED, ColumnSource((SEARCHED_COLUMN,)))
        if not self._contract_only:
            for name in self.header:
                if name not in sources and name != SEARCHED_COLUMN:
                    sources[name] = ColumnSource((name,))
        ordered = [*(name for name in COLUMN_NAMES if name in sources), *(sources.keys() - COLUMN_SET)]
        return {name: (sources[name], [places[column] for column in sources[name].columns]) for name in ordered}

    def missing_columns(self, *more: str) -> list[str]:
        """Which of the ten columns, and of these, the file has not."""
        return [name for name in (*COLUMN_NAMES, *more) if name not in self._sources]

    def header_faults(self) -> str | None:
        """What in the header makes every row break the contract, in words; None when nothing does."""
        missing = self.missing_columns()
        others = [name for name in self.columns if name not in COLUMN_SET]
        faults = [f"lacks {shortened(missing)}"] * bool(missing)
        faults += [f"has other columns ({shortened(sorted(others))})"] * bool(others)
        return f"the header of {self.name} {' and '.join(faults)}" if faults else None

    def check(self, *, distinct_ids: bool = True) -> FileCounts:
        """Read all of it once. Raises InputFileError at the first row that can't be read, has no id in a file with
        ids, or, with `distinct_ids`, has an id that stood before."""
        rows = labels = unsearched = 0
        seen: dict[int, int] = {}
        for stop in self.stops():
            rows += 1
            labels += stop.label is not None
            unsearched += stop.label is not None and not stop.searched
            if (
                distinct_ids
                and stop.id is not None
                and (first := seen.setdefault(hash(stop.id), stop.line)) != stop.line
            ):
                raise self._file.fault(
                    stop.line,
                    f"the id {stop.id!r} stands in line {first} already: every stop needs an id of its own.",
                )
        return FileCounts(rows, labels, unsearched)

    def stops(self) -> Iterator[Stop]:
        """Every row as a stop."""
        for row in self.rows():
            yield self.stop_of(row)

    def rows(self) -> Iterator[Row]:
        """Every row as it stands in the file."""
        return self._file.rows()

    def stop_of(self, row: Row) -> Stop:
        """One row as a stop."""
        observation = {name or NO_NAME: cell_from_text(name, self._text(name, row)) for name in self.columns}
        label = self._flag(LABEL, row)
        searched = self._flag(SEARCHED, row) if SEARCHED in self._sources else None
        if searched is None:
            searched = observation.get(AUTHORIZATION) != NOT_SEARCHED
        return Stop(row.line, self._id(row), observation, label, searched)

    def fault(self, line: int, what: str) -> InputFileError:
        """The error that names this file and a line of it."""
        return self._file.fault(line, what)

    def _id(self, row: Row) -> str | None:
        if ID not in self._sources:
            return None
        text = self._text(ID, row)
        if not text:
            raise self.fault(row.line, "no id. Fill it in, or leave the column out: then every row gets an id.")
        return text

    def _flag(self, name: str, row: Row) -> bool | None:
        if name not in self._sources:
            return None
        text = self._text(name, row)
        if not text.strip():
            return None
        flag = flag_of(text)
        if flag is None:
            columns = " ".join(self._sources[name][0].columns)
            raise self.fault(
                row.line,
                f"{columns} is {text!r}: write true or false, 1 or 0, yes or no; leave it empty where it is not known.",
            )
        return flag

    def _text(self, name: str, row: Row) -> str:
        source, places = self._sources[name]
        cells = [row.cells[place] for place in places]
        for cell in cells:
            if "\n" in cell or "\r" in cell:
                raise self.fault(
                    row.line, f"{shortened(list(source.columns))} holds a line break: is a quote never closed?"
                )
        text = source.text_of(cells)
        if isinstance(text, NotATime):
            raise self.fault(
                row.line,
                f"{text.text!r} in {shortened(list(source.columns))} is not a time in {text.wanted}: "
                f"give its format in {self._mapping.name if self._mapping else 'the mapping'}, "
                'such as format = "%m/%d/%Y %H:%M".',
            )
        return "" if text in self._empty else text
