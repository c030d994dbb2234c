"""Where events that are sent come from: rows of a CSV file, lines of JSON, the generator; read lazily and sent as
they are, broken or not.
"""

import csv
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

import msgspec

from stream_scorer.core.contract.columns import COLUMN_NAMES
from stream_scorer.core.records.decode import decode_or_none
from stream_scorer.errors import SettingsError

ID_COLUMN = "id"
OUTCOME_COLUMN = "ContrabandIndicator"
WHOLE_NUMBER_COLUMNS = frozenset({"SubjectAge", "hour"})
FLAG_COLUMNS = frozenset({"ResidentIndicator"})
FLAGS = {"true": True, "false": False}


class SourceEvent(NamedTuple):
    """An event to send. `id` is None where a line has none that can be read; `true_class` where no outcome is known."""

    id: str | None
    value: bytes
    true_class: bool | None = None
    is_broken: bool = False

    @property
    def key(self) -> bytes | None:
        return None if self.id is None else self.id.encode()


class _Identified(msgspec.Struct):
    id: str | int


_decode_id = msgspec.json.Decoder(_Identified).decode
_encode = msgspec.json.Encoder().encode


def outcome_event(event_id: str, true_class: object) -> bytes:
    return _encode({"id": event_id, "true_class": true_class})


def csv_events(path: Path, id_prefix: str) -> Iterator[SourceEvent]:
    """Every row below the header, as an observation event with its outcome; a row without an id gets `id_prefix` and
    its row number.

    Cells keep what the file says: a flag or a whole number where the text is one, null where the cell is empty, else
    the text, so that what breaks the contract is found broken. Raises SettingsError when the header names none of the
    ten columns.
    """
    header = check_csv(path)
    with _opened(path) as lines:
        rows = csv.DictReader(lines)
        rows.fieldnames = header
        next(rows, None)
        for number, row in enumerate(rows, start=1):
            yield _event_of_row(row, f"{id_prefix}{number:09d}")


def check_csv(path: Path) -> list[str]:
    """The names in its first line. SettingsError when it can't be read or names none of the ten columns."""
    with _opened(path) as lines:
        header = [name.strip() for name in next(csv.reader(lines), [])]
    if not set(header) & set(COLUMN_NAMES):
        raise SettingsError(
            f"{path} has none of the columns in its first line: "
            f"it must name {', '.join(COLUMN_NAMES)}, separated by commas"
        )
    return header


def csv_header_faults(path: Path) -> str | None:
    """What in the header makes every row break the contract, in words; None when nothing does."""
    header = set(check_csv(path))
    missing = [name for name in COLUMN_NAMES if name not in header]
    others = sorted(header - set(COLUMN_NAMES) - {ID_COLUMN, OUTCOME_COLUMN})
    faults = [f"lacks {', '.join(missing)}"] * bool(missing) + [f"has other columns ({', '.join(others)})"] * bool(
        others
    )
    return (
        f"the header of {path} " + " and ".join(faults) + ": every row of it will be dead-lettered" if faults else None
    )


def count_rows(path: Path) -> int:
    with _opened(path) as lines:
        return max(sum(1 for row in csv.reader(lines) if row) - 1, 0)


def lines_of(name: str) -> Iterator[bytes]:
    """The lines of a file, or of standard input for `-`. SettingsError when it can't be read."""
    if name == "-":
        yield from sys.stdin.buffer
        return
    try:
        file = Path(name).open("rb")  # noqa: SIM115  # closed below, without catching what is raised while lines are used
    except OSError as error:
        raise SettingsError(
            f"{name} can't be read ({error.strerror}): name a file of JSON lines, or - for standard input"
        ) from error
    with file:
        yield from file


def json_line_events(lines: Iterable[bytes]) -> Iterator[SourceEvent]:
    """Every line, byte for byte; its id is the key if it has one that can be read."""
    for line in lines:
        value = line.removesuffix(b"\n").removesuffix(b"\r")
        identified = decode_or_none(_decode_id, value)
        if identified is None:
            yield SourceEvent(None, value, is_broken=True)
        else:
            yield SourceEvent(str(identified.id), value)


def generated_events(count: int, *, seed: int, broken_share: float, id_prefix: str) -> Iterator[SourceEvent]:
    """`count` realistic events of the seeded generator; a broken one has no outcome."""
    from stream_scorer.models.synthetic.generator import Generator

    for event in Generator(seed).events(count, broken_share=broken_share, id_prefix=id_prefix):
        is_broken = event.broken is not None
        yield SourceEvent(event.id, event.value, None if is_broken else event.true_class, is_broken)


def _opened(path: Path) -> IO[str]:
    try:
        return path.open(newline="", encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise SettingsError(
            f"{path} can't be read ({error.strerror}): name a CSV file with a header of the ten columns"
        ) from error


def _event_of_row(row: dict[str | None, str | list[str] | None], own_id: str) -> SourceEvent:
    given = row.pop(ID_COLUMN, None)
    event_id = given if isinstance(given, str) and given else own_id
    outcome = row.pop(OUTCOME_COLUMN, None)
    true_class = FLAGS.get(outcome.strip().lower()) if isinstance(outcome, str) else None
    # a row that is too short lacks its last columns; one that is too long has cells without a name
    observation = {name or "(no name)": _cell(name, text) for name, text in row.items() if text is not None}
    return SourceEvent(event_id, _encode({"id": event_id, "observation": observation}), true_class)


def _cell(column: str | None, text: str | list[str]) -> object:
    if text == "":
        return None
    if isinstance(text, str) and column in FLAG_COLUMNS:
        return FLAGS.get(text.lower(), text)
    if (
        isinstance(text, str)
        and column in WHOLE_NUMBER_COLUMNS
        and text.removeprefix("-").isdecimal()
        and text.isascii()
    ):
        return int(text) if len(text) < 19 else text
    return text
