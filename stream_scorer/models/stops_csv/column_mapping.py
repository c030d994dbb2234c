"""From a raw export's columns to the contract's: the file that `--columns` names.

    encoding = "cp1252"                # optional, as --encoding
    delimiter = ";"                    # optional
    empty = ["NA", "NULL"]             # optional: texts that stand for "not known"

    [columns]
    id = "StopId"                      # a column under another name
    hour = { from = "InterventionDateTime", take = "hour" }
    day_of_week = { from = ["Date", "Time"], take = "day_of_week", format = "%m/%d/%Y %H:%M" }
    SubjectSexCode = { from = "sex", values = { male = "M", female = "F" } }
    searched = "VehicleSearchedIndicator"   # where it says no, there is no outcome

What is not named comes from the column of its own name; all other columns of the file are left out.
"""

import tomllib
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from stream_scorer.core.contract.columns import COLUMN_NAMES
from stream_scorer.errors import SettingsError
from stream_scorer.models.stops_csv.csv_file import checked_delimiter
from stream_scorer.models.stops_csv.encodings import decodable

ID: Final = "id"
LABEL: Final = "ContrabandIndicator"
SEARCHED: Final = "searched"
# what a raw export of this kind calls it
SEARCHED_COLUMN: Final = "VehicleSearchedIndicator"
TARGETS: Final = (ID, *COLUMN_NAMES, LABEL, SEARCHED)
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_PARTS_OF_A_TIME: Final[Mapping[str, Callable[[datetime], str]]] = {
    "hour": lambda time: str(time.hour),
    "day_of_week": lambda time: _DAYS[time.weekday()],
}
_KEYS: Final = {"encoding", "delimiter", "empty", "columns"}
_SOURCE_KEYS: Final = {"from", "take", "format", "values"}


class NotATime(NamedTuple):
    """A text that was to be a time, and what it should look like."""

    text: str
    wanted: str


class ColumnSource(NamedTuple):
    """Where a column's text comes from: one column, or several joined by a space; as it is, or a part of a time;
    by a table of values where there is one."""

    columns: tuple[str, ...]
    take: str | None = None
    format: str | None = None
    values: Mapping[str, str] = {}

    def text_of(self, cells: list[str]) -> str | NotATime:
        """The text that these cells of `columns` give."""
        text = " ".join(cells) if len(cells) > 1 else cells[0]
        if self.take is not None and text.strip():
            time = self._time(text.strip())
            if time is None:
                return NotATime(text, "ISO 8601" if self.format is None else self.format)
            text = _PARTS_OF_A_TIME[self.take](time)
        return self.values.get(text, text)

    def _time(self, text: str) -> datetime | None:
        try:
            return datetime.fromisoformat(text) if self.format is None else datetime.strptime(text, self.format)
        except ValueError:
            return None


class ColumnMapping(NamedTuple):
    """What a mapping file says."""

    name: str
    sources: Mapping[str, ColumnSource]
    encoding: str | None = None
    delimiter: str = ","
    empty: frozenset[str] = frozenset()


def load_mapping(path: Path) -> ColumnMapping:
    """The mapping that a file holds. Raises SettingsError with every fault of it."""
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} can't be read ({error.strerror}): name a mapping of columns in TOML") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not TOML in UTF-8 ({error}): see the guide for producers") from error
    faults: list[str] = [f"{key}: no such key, there are {', '.join(sorted(_KEYS))}" for key in said.keys() - _KEYS]
    columns = said.get("columns", {})
    if not isinstance(columns, dict):
        faults.append("columns: write a table, [columns]")
        columns = {}
    sources = {}
    for target, given in columns.items():
        made = _source(given) if target in TARGETS else f"no such column, there are {', '.join(TARGETS)}"
        if isinstance(made, str):
            faults.append(f"columns.{target}: {made}")
        else:
            sources[target] = made
    empty = said.get("empty", [])
    if not isinstance(empty, list) or not all(isinstance(text, str) for text in empty):
        faults.append('empty: write a list of texts, such as ["NA"]')
        empty = []
    for key in ("encoding", "delimiter"):
        if key in said and not isinstance(said[key], str):
            faults.append(f"{key}: write a text")
    if not faults:
        for check, key in ((decodable, "encoding"), (checked_delimiter, "delimiter")):
            try:
                if key in said:
                    check(said[key])
            except SettingsError as error:
                faults.append(str(error))
    if faults:
        raise SettingsError(f"{path} can't be used:\n  - " + "\n  - ".join(faults))
    return ColumnMapping(str(path), sources, said.get("encoding"), said.get("delimiter", ","), frozenset(empty))


def _source(given: Any) -> ColumnSource | str:
    """The source, or what is wrong with it."""
    if isinstance(given, str):
        return ColumnSource((given,))
    if not isinstance(given, dict) or "from" not in given:
        return 'name a column of the file, as "NAME" or { from = "NAME", … }'
    if unknown := given.keys() - _SOURCE_KEYS:
        return f"no such key: {', '.join(sorted(unknown))}. There are {', '.join(sorted(_SOURCE_KEYS))}"
    columns = [given["from"]] if isinstance(given["from"], str) else given["from"]
    if not isinstance(columns, list) or not columns or not all(isinstance(name, str) for name in columns):
        return "from: name a column, or a list of columns"
    take, format_, values = given.get("take"), given.get("format"), given.get("values", {})
    if take is not None and take not in _PARTS_OF_A_TIME:
        return f"take: say one of {', '.join(_PARTS_OF_A_TIME)}"
    if format_ is not None and (take is None or not isinstance(format_, str)):
        return 'format: a text such as "%m/%d/%Y %H:%M", beside take'
    if not isinstance(values, dict):
        return 'values: a table such as { male = "M" }'
    texts = {key: _text(value) for key, value in values.items()}
    return ColumnSource(tuple(columns), take, format_, texts)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
