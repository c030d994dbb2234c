"""A CSV file, read strictly: every row has as many fields as the header, every quote is closed, every byte is text.

Invariant: a row is what the file says or the file is refused with the line at fault; nothing is skipped, replaced or
guessed. Blank lines are no rows.
"""

import csv
import io
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, NamedTuple, Self

from stream_scorer.errors import InputFileError, SettingsError
from stream_scorer.models.stops_csv.encodings import decodable, encoding_fault, first_undecodable_line

FIELD_CHARACTERS_MAX: Final = 131_072
DELIMITERS: Final = (",", ";", "\t", "|")
STANDARD_INPUT: Final = "-"
NAMES_SHOWN_MAX: Final = 20


class Row(NamedTuple):
    """One row's fields as text, and the line of the file that it begins in."""

    line: int
    cells: list[str]


class CsvFile:
    """An open CSV file; its rows can be read several times, one reading after the other. A pipe or standard input (`-`)
    is copied first."""

    def __init__(self, path: Path | str, *, encoding: str | None = None, delimiter: str = ",") -> None:
        self.name = "standard input" if str(path) == STANDARD_INPUT else str(path)
        self._encoding, self._delimiter = decodable(encoding or "utf-8"), delimiter
        self._stream = _opened(path, self.name)
        self._reading: _Lines | None = None
        try:
            if (fault := encoding_fault(self._stream, self._encoding)) is not None:
                raise InputFileError(f"{self.name} {fault}")
            self.header = self._read_header()
        except BaseException:
            self._stream.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stream.close()

    def rows(self) -> Iterator[Row]:
        """The rows below the header. Raises InputFileError at the first that breaks the rules."""
        records = self._records()
        next(records)
        width = len(self.header)
        for line, last_line, cells in records:
            if len(cells) != width:
                spans = "" if last_line == line else f" It goes on to line {last_line}: is a quote in it never closed?"
                raise self.fault(line, f"{_count(len(cells), 'field')}, but the header has {width}.{spans}")
            yield Row(line, cells)

    def fault(self, line: int, what: str) -> InputFileError:
        """The error that names this file and a line of it."""
        return InputFileError(f"{self.name}, line {line}: {what}")

    def _read_header(self) -> list[str]:
        line, _, cells = next(self._records(), (1, 1, []))
        header = [name.strip() for name in cells]
        if not any(header):
            raise InputFileError(f"{self.name} is empty: its first line must name the columns")
        if len(header) == 1:
            for other in DELIMITERS:
                if other != self._delimiter and other in header[0]:
                    raise self.fault(
                        line,
                        f"the columns are separated by {other!r}, not by {self._delimiter!r}. Export the file with "
                        f"commas, or give `delimiter = {_toml(other)}` in a file for --columns.",
                    )
        seen: dict[str, int] = {}
        for number, name in enumerate(header, 1):
            if name in seen:
                said = f"are both named {name!r}" if name else "have no name"
                raise self.fault(
                    line, f"columns {seen[name]} and {number} {said}: every column needs a name of its own."
                )
            seen[name] = number
        return header

    def _records(self) -> Iterator[tuple[int, int, list[str]]]:
        """First line, last line and fields of every record that is not blank, the header's too."""
        lines = self._reading = _Lines(self, self._stream, self._encoding)
        reader = csv.reader(lines, delimiter=self._delimiter, strict=True)
        try:
            while True:
                assert self._reading is lines, "another reader has moved the position in the file"
                begins = lines.number + 1
                try:
                    cells = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    raise self.fault(begins, _in_words(error, begins, lines.number)) from error
                if cells:
                    yield begins, lines.number, cells
        finally:
            lines.detach()


class _Lines:
    """The file's lines as text from its beginning, with their ends as they are; counts them."""

    def __init__(self, file: CsvFile, stream: BinaryIO, encoding: str) -> None:
        stream.seek(0)
        self.number = 0
        self._file, self._stream, self._encoding = file, stream, encoding
        self._text = io.TextIOWrapper(stream, encoding=encoding, errors="strict", newline="")

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        try:
            line = next(self._text)
        except UnicodeDecodeError as error:
            at, what = first_undecodable_line(self._stream, self._encoding)
            raise self._file.fault(at, what) from error
        self.number += 1
        if "\0" in line:
            raise self._file.fault(self.number, "a NUL byte, which text never has. Is this file damaged, or not CSV?")
        return line

    def detach(self) -> None:
        """Leave the stream open for the next reading, if it still is."""
        if not self._stream.closed:
            self._text.detach()


def _opened(path: Path | str, name: str) -> BinaryIO:
    try:
        if str(path) == STANDARD_INPUT:
            return _copied(sys.stdin.buffer)
        if Path(path).is_file():
            return Path(path).open("rb")
        with Path(path).open("rb") as pipe:
            return _copied(pipe)
    except OSError as error:
        raise InputFileError(
            f"{name} can't be read ({error.strerror}): name a CSV file whose first line names the columns"
        ) from error


def _copied(source: BinaryIO) -> BinaryIO:
    copy = tempfile.TemporaryFile()  # noqa: SIM115  # closed by who reads it
    shutil.copyfileobj(source, copy)
    return copy


def _in_words(error: csv.Error, begins: int, reached: int) -> str:
    said = str(error)
    if "unexpected end of data" in said:
        return f"a quote opened in this row is never closed (the file ends in line {reached})."
    if "field limit" in said:
        return (
            f"a field of more than {FIELD_CHARACTERS_MAX:,} characters (up to line {reached}). "
            "Is a quote in it never closed?"
        )
    spans = "" if reached == begins else f" (in line {reached}): is a quote in line {begins} never closed?"
    if re.search(r"expected after", said):
        return f"text directly behind a closing quote{spans or '. A quote inside a quoted field is written twice.'}"
    return f"this row is not CSV{spans or '.'}"


def checked_delimiter(given: str) -> str:
    """A delimiter that rows may have. Raises SettingsError."""
    if given not in DELIMITERS:
        raise SettingsError(f"delimiter is {given!r}: say one of {' '.join(map(_toml, DELIMITERS))}")
    return given


def shortened(names: list[str]) -> str:
    """Names for a message, cut where they are many."""
    shown = ", ".join(name or "(no name)" for name in names[:NAMES_SHOWN_MAX])
    return f"{shown}, …" if len(names) > NAMES_SHOWN_MAX else shown


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _toml(character: str) -> str:
    return '"\\t"' if character == "\t" else f'"{character}"'
