"""What the text of a cell means: one table of flags, one form of numbers, for every command that reads a file."""

import re
from collections.abc import Mapping
from typing import Final

from stream_scorer.core.contract.columns import COLUMNS

Cell = str | bool | int | float | None

TRUE_TEXTS: Final = ("true", "t", "yes", "y", "1", "1.0")
FALSE_TEXTS: Final = ("false", "f", "no", "n", "0", "0.0")
FLAGS: Final[Mapping[str, bool]] = {**dict.fromkeys(TRUE_TEXTS, True), **dict.fromkeys(FALSE_TEXTS, False)}
_KINDS: Final = {column.name: column.kind for column in COLUMNS}
# as JSON writes them; beyond 18 digits a number is somebody's mistake and stays text
_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})", re.ASCII)
_DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})\.[0-9]{1,18}", re.ASCII)


def flag_of(text: str) -> bool | None:
    """What a flag or a label says, whatever its case; None for text that is neither."""
    return FLAGS.get(text.strip().casefold())


def cell_from_text(column: str, text: str) -> Cell:
    """A cell as an event's value: a flag or a number where the column holds such and the text is one (`49.0` stays the
    number 49.0, as the file says), None where it is empty, else the text, for the contract to find fault with."""
    if not text:
        return None
    kind = _KINDS.get(column)
    if kind is bool:
        flag = flag_of(text)
        return text if flag is None else flag
    if kind is int:
        if _INTEGER.fullmatch(text):
            return int(text)
        if _DECIMAL.fullmatch(text):
            return float(text)
    return text
