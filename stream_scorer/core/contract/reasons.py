"""Why a record could not go on.

Invariant: every code and every message stand here, and nowhere else in other words.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

VALUE_CHARACTERS_MAX = 200
EVENT_CHARACTERS_MAX = 2_000
NAMES_MAX = 20
SCORING_FAILED = "Model could not score this observation: "


class Code(StrEnum):
    """The closed set of faults, in the order of reports; the only part of a reason that a metric label may carry."""

    NOT_JSON = "not_json"
    TOO_LARGE = "too_large"
    BATCH_TOO_LARGE = "batch_too_large"
    BATCH_UNREADABLE = "batch_unreadable"
    NOT_AN_OBJECT = "not_an_object"
    MISSING_ID = "missing_id"
    INVALID_ID = "invalid_id"
    MISSING_OBSERVATION = "missing_observation"
    OBSERVATION_NOT_AN_OBJECT = "observation_not_an_object"
    MISSING_COLUMNS = "missing_columns"
    UNRECOGNIZED_COLUMNS = "unrecognized_columns"
    INVALID_VALUE = "invalid_value"
    NOT_AN_INTEGER = "not_an_integer"
    OUT_OF_RANGE = "out_of_range"
    CONFLICT = "conflict"
    SCORING_FAILED = "scoring_failed"
    INVALID_OUTPUT = "invalid_output"
    MISSING_TRUE_CLASS = "missing_true_class"
    INVALID_TRUE_CLASS = "invalid_true_class"
    UNKNOWN_ID = "unknown_id"


class Stage(StrEnum):
    """Where on its way a record stopped."""

    DECODE = "decode"
    CONTRACT = "contract"
    CONFLICT = "conflict"
    SCORE = "score"
    OUTPUT = "output"
    OUTCOME = "outcome"


class Reason(msgspec.Struct, frozen=True, omit_defaults=True):
    """One fault of one record. `field` is the part of the event that is at fault, None when it is the whole."""

    code: Code
    field: str | None
    message: str
    details: dict[str, object] | None = None


RANKS = {code: rank for rank, code in enumerate(Code)}


def in_order(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    """The reasons in the order of the codes; within a code they keep the order in which they came."""
    return tuple(sorted(reasons, key=lambda reason: RANKS[reason.code]))


def cut(text: str, characters_max: int) -> str:
    """The text, or its first `characters_max` characters and `…`."""
    return text if len(text) <= characters_max else text[:characters_max] + "…"


def name_set(names: Iterable[str]) -> str:
    """The names sorted and printed like a Python set: at most 20, and each cut like a value."""
    ordered = sorted(names)
    printed = [repr(cut(name, VALUE_CHARACTERS_MAX)) for name in ordered[:NAMES_MAX]]
    return "{" + ", ".join(printed + ["…"] * (len(ordered) > NAMES_MAX)) + "}"


# What the bytes are


def not_json(fault: str, byte: int) -> Reason:
    return Reason(Code.NOT_JSON, None, f"Event is not valid JSON: {fault} (byte {byte})")


def too_large(size_bytes: int, limit_bytes: int) -> Reason:
    return Reason(Code.TOO_LARGE, None, f"Event of {size_bytes} bytes is larger than {limit_bytes}")


def batch_too_large(size_bytes: int, codec: str, unfolded_bytes_max: int, records_max: int, headers_max: int) -> Reason:
    """A whole record batch, `size_bytes` as it was fetched."""
    return Reason(
        Code.BATCH_TOO_LARGE,
        None,
        f"Batch of {size_bytes} bytes ({codec}) unfolds to more than {unfolded_bytes_max} bytes, "
        f"{records_max} records or {headers_max} headers",
    )


def batch_unreadable(size_bytes: int, codec: str, fault: str) -> Reason:
    """A whole record batch whose bytes are intact and hold no records; `fault` is the decoder's, cut like a value."""
    return Reason(
        Code.BATCH_UNREADABLE,
        None,
        f"Batch of {size_bytes} bytes ({codec}) can't be read: {cut(fault, VALUE_CHARACTERS_MAX)}",
    )


def not_an_object() -> Reason:
    return Reason(Code.NOT_AN_OBJECT, None, "Event is not a JSON object")


# What the event says


def missing_field(code: Code, field: str, event: Mapping[str, object]) -> Reason:
    return Reason(code, field, f"Field `{field}` missing from request: {cut(str(event), EVENT_CHARACTERS_MAX)}")


def invalid_id(bytes_max: int) -> Reason:
    return Reason(Code.INVALID_ID, "id", f"Field `id` is not a non-empty string of at most {bytes_max} bytes")


def observation_not_an_object() -> Reason:
    return Reason(Code.OBSERVATION_NOT_AN_OBJECT, "observation", "Field `observation` is not a JSON object")


def missing_columns(names: Iterable[str]) -> Reason:
    return Reason(Code.MISSING_COLUMNS, "observation", f"Missing columns: {name_set(names)}")


def unrecognized_columns(names: Iterable[str]) -> Reason:
    return Reason(Code.UNRECOGNIZED_COLUMNS, "observation", f"Unrecognized columns provided: {name_set(names)}")


def invalid_value(field: str, value: object, allowed: Iterable[object], code: Code = Code.INVALID_VALUE) -> Reason:
    printed = cut(str(value), VALUE_CHARACTERS_MAX)
    choices = ",".join(f"'{choice}'" for choice in allowed)
    return Reason(code, field, f"Invalid value provided for {field}: {printed}. Allowed values are: {choices}")


def not_an_integer(field: str) -> Reason:
    return Reason(Code.NOT_AN_INTEGER, field, f"Field `{field}` is not an integer")


def out_of_range(field: str, lowest: int, highest: int) -> Reason:
    return Reason(Code.OUT_OF_RANGE, field, f"Field `{field}` is not between {lowest} and {highest}")


# What the world around the event says


def conflict(observation_id: str, first_offset: int, columns: Iterable[str]) -> Reason:
    """The id was seen before, at `first_offset`; `columns` are those that differ (none if every repeat is refused)."""
    message = f"Observation ID: '{observation_id}' already exists"
    return Reason(Code.CONFLICT, "id", message, {"first_offset": first_offset, "columns": list(columns)})


def scoring_failed(error: BaseException | str) -> Reason:
    """What the model raised, printed as `ValueError: …` and cut like a value, because it may quote the event."""
    printed = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
    return Reason(Code.SCORING_FAILED, None, SCORING_FAILED + cut(printed, VALUE_CHARACTERS_MAX))


def invalid_output(value: object) -> Reason:
    return Reason(
        Code.INVALID_OUTPUT, None, f"Model returned {cut(str(value), VALUE_CHARACTERS_MAX)} as the probability"
    )


def unknown_id(observation_id: str) -> Reason:
    return Reason(Code.UNKNOWN_ID, "id", f'Observation ID: "{observation_id}" does not exist')
