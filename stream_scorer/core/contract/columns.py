"""What a stop observation is, as one table.

Invariant: decoder, messages, JSON Schema and 28-bit number all come from it.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias, get_args, get_origin, get_type_hints

import msgspec

from stream_scorer.core.contract import reasons
from stream_scorer.core.contract.reasons import Code, Reason

ID_BYTES_MAX = 200
EVENT_BYTES_MAX = 64 * 1024
DEPTH_MAX = 64
INTEGER_DIGITS_MAX = 4_300

Value: TypeAlias = str | bool | int


# gc=False: an observation refers to nothing but values, so the cyclic collector need not look at millions of them.
class Observation(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """The table: a line a column. Its order is that of the reasons, of the values in messages, of the 28-bit number."""

    SubjectRaceCode: Literal["W", "B", "A", "I"]
    SubjectSexCode: Literal["M", "F"]
    SubjectEthnicityCode: Literal["H", "M", "N"]
    StatuteReason: Literal[
        "Stop Sign",
        "Other",
        "Speed Related",
        "Cell Phone",
        "Traffic Control Signal",
        "Defective Lights",
        "Moving Violation",
        "Registration",
        "Display of Plates",
        "Equipment Violation",
        "Window Tint",
        "Suspended License",
        "Seatbelt",
        "Other/Error",
        "STC Violation",
        "Administrative Offense",
        "Unlicensed Operation",
    ]
    InterventionReasonCode: Literal["V", "E", "I"]
    ResidentIndicator: bool
    SearchAuthorizationCode: Literal["O", "I", "C", "N"]
    SubjectAge: Annotated[int, msgspec.Meta(ge=10, le=100)]
    hour: Annotated[int, msgspec.Meta(ge=0, le=24)]
    day_of_week: Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


class Column(msgspec.Struct, frozen=True):
    """A line of the table: `domain` is every allowed value in the table's order, `kind` the type that they all have."""

    name: str
    kind: type[str] | type[bool] | type[int]
    domain: tuple[Value, ...]
    allowed: frozenset[Value]

    def check(self, value: object) -> Reason | None:
        """What is wrong with a value that JSON gave for this column; None when it is allowed."""
        # The type comes first: for Python 1 == True == 1.0, and a list can't be looked up.
        if type(value) is self.kind and value in self.allowed:
            return None
        if self.kind is not int:
            return reasons.invalid_value(self.name, value, self.domain)
        if type(value) is not int:
            return reasons.not_an_integer(self.name)
        return reasons.out_of_range(self.name, int(self.domain[0]), int(self.domain[-1]))

    def json_schema(self) -> dict[str, object]:
        """The column as JSON Schema (draft 2020-12), which knows 20.0 as an integer where this contract does not."""
        if self.kind is str:
            return {"type": "string", "enum": list(self.domain)}
        if self.kind is bool:
            return {"type": "boolean"}
        return {"type": "integer", "minimum": self.domain[0], "maximum": self.domain[-1]}


def line_of_table(name: str, annotation: object) -> Column:
    """The line of the table that a field of `Observation` stands for."""
    if annotation is bool:
        return Column(name, bool, (True, False), frozenset((True, False)))
    if get_origin(annotation) is Literal:
        domain: tuple[Value, ...] = get_args(annotation)
        return Column(name, str, domain, frozenset(domain))
    _, bounds = get_args(annotation)
    domain = tuple(range(bounds.ge, bounds.le + 1))
    return Column(name, int, domain, frozenset(domain))


COLUMNS: tuple[Column, ...] = tuple(
    line_of_table(name, annotation) for name, annotation in get_type_hints(Observation, include_extras=True).items()
)
COLUMN_NAMES: tuple[str, ...] = tuple(line.name for line in COLUMNS)
COLUMN_SET = frozenset(COLUMN_NAMES)


def check_id(event: Mapping[str, object]) -> bytes | tuple[Reason, ...]:
    """An event's id as the bytes that key its records: text in UTF-8, a whole number as its decimal text."""
    if "id" not in event:
        return (reasons.missing_field(Code.MISSING_ID, "id", event),)
    given = event["id"]
    encoded = str(given).encode() if type(given) in (str, int) else b""
    return encoded if 0 < len(encoded) <= ID_BYTES_MAX else (reasons.invalid_id(ID_BYTES_MAX),)


def check_observation(event: Mapping[str, object]) -> dict[str, Value] | tuple[Reason, ...]:
    """The ten columns of an event's observation, or every fault that it has."""
    if "observation" not in event:
        return (reasons.missing_field(Code.MISSING_OBSERVATION, "observation", event),)
    fields = event["observation"]
    if not isinstance(fields, dict):
        return (reasons.observation_not_an_object(),)
    found = []
    if missing := COLUMN_SET - fields.keys():
        found.append(reasons.missing_columns(missing))
    if len(fields) > len(COLUMN_SET) - len(missing):
        found.append(reasons.unrecognized_columns(fields.keys() - COLUMN_SET))
    for line in COLUMNS:
        if line.name in fields and (fault := line.check(fields[line.name])) is not None:
            found.append(fault)
    return reasons.in_order(found) if found else fields
