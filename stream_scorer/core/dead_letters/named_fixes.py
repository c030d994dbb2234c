"""The fixes that have a name: trim spaces, match case, integers from text or from floats, and others."""

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final

from stream_scorer.core.contract.columns import COLUMNS, Column

_BY_NAME: Final[Mapping[str, Column]] = {column.name: column for column in COLUMNS}


_NAMES: Final = {name.casefold(): name for name in _BY_NAME}


# for each column of text its allowed values, by how they look whatever their case
_CASES: Final = {
    column.name: {str(allowed).casefold(): allowed for allowed in column.domain}
    for column in COLUMNS
    if column.kind is str
}


_INTEGER: Final = re.compile(r"\s*([+-]?[0-9]{1,18})\s*", re.ASCII)
_INTEGER_WITH_POINT: Final = re.compile(r"\s*([+-]?[0-9]{1,18})\.0*\s*", re.ASCII)
# beyond it a float no longer tells one whole number from the next
_EXACT_FLOAT_MAX: Final = 2**53


TRUE_CLASS: Final = "true_class"


Event = dict[str, Any]


class NamedFix(StrEnum):
    """What goes wrong most, and is plain to mend."""

    TRIM_SPACES = "trim-spaces"
    MATCH_CASE = "match-case"
    INTEGERS_FROM_TEXT = "integers-from-text"
    INTEGERS_FROM_FLOATS = "integers-from-floats"
    DROP_UNRECOGNIZED = "drop-unrecognized"


def _trim_spaces(event: Event) -> None:
    observation = event.get("observation")
    if not isinstance(observation, dict):
        return
    for name in list(observation):
        _rename(observation, name, name.strip())
    for name, value in observation.items():
        if isinstance(value, str):
            observation[name] = value.strip()


def _match_case(event: Event) -> None:
    for wanted in ("id", "observation", TRUE_CLASS):
        for name in [name for name in event if name.casefold() == wanted]:
            _rename(event, name, wanted)
    observation = event.get("observation")
    if not isinstance(observation, dict):
        return
    for name in [name for name in observation if name not in _BY_NAME]:
        _rename(observation, name, _NAMES.get(name.casefold(), name))
    for name, value in observation.items():
        if name in _CASES and isinstance(value, str):
            observation[name] = _CASES[name].get(value.casefold(), value)


def _integers_from_text(event: Event) -> None:
    _change_integers(event, _whole)


def _integers_from_floats(event: Event) -> None:
    _change_integers(event, _without_fraction)


def _change_integers(event: Event, change: Callable[[object], object]) -> None:
    """Change what stands where the contract wants whole numbers: their columns, and a class that is not a boolean."""
    observation = event.get("observation")
    if isinstance(observation, dict):
        for name, value in observation.items():
            if name in _BY_NAME and _BY_NAME[name].kind is int:
                observation[name] = change(value)
    if TRUE_CLASS in event:
        event[TRUE_CLASS] = change(event[TRUE_CLASS])


def _whole(value: object) -> object:
    found = _INTEGER.fullmatch(value) if isinstance(value, str) else None
    return value if found is None else int(found[1])


def _without_fraction(value: object) -> object:
    if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT_FLOAT_MAX:
        return int(value)
    found = _INTEGER_WITH_POINT.fullmatch(value) if isinstance(value, str) else None
    return value if found is None else int(found[1])


def _drop_unrecognized(event: Event) -> None:
    observation = event.get("observation")
    if isinstance(observation, dict):
        for name in [name for name in observation if name not in _BY_NAME]:
            del observation[name]


def _rename(fields: Event, name: str, wanted: str) -> None:
    # never onto a name that is there: which of the two was meant is not ours to say
    if name != wanted and wanted not in fields:
        fields[wanted] = fields.pop(name)


FIXES: Final[Mapping[NamedFix, Callable[[Event], None]]] = {
    NamedFix.TRIM_SPACES: _trim_spaces,
    NamedFix.MATCH_CASE: _match_case,
    NamedFix.INTEGERS_FROM_TEXT: _integers_from_text,
    NamedFix.INTEGERS_FROM_FLOATS: _integers_from_floats,
    NamedFix.DROP_UNRECOGNIZED: _drop_unrecognized,
}
