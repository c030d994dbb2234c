"""The ways in which real producers break the contract, each with the code that it must get.

Invariant: one fault an event, so the code is certain.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from stream_scorer.core.contract.reasons import Code

Event = dict[str, Any]


def with_columns(**columns: object) -> Callable[[Event], bytes]:
    """Breaks an event by giving its observation other columns."""
    return lambda event: msgspec.json.encode({**event, "observation": {**event["observation"], **columns}})


def without_column(name: str) -> Callable[[Event], bytes]:
    return lambda event: msgspec.json.encode(
        {**event, "observation": {column: value for column, value in event["observation"].items() if column != name}}
    )


def without_field(name: str) -> Callable[[Event], bytes]:
    return lambda event: msgspec.json.encode({field: value for field, value in event.items() if field != name})


def with_field(name: str, value: object) -> Callable[[Event], bytes]:
    return lambda event: msgspec.json.encode({**event, name: value})


def statute_in_lower_case(event: Event) -> bytes:
    return with_columns(StatuteReason=event["observation"]["StatuteReason"].lower())(event)


def age_as_text(event: Event) -> bytes:
    return with_columns(SubjectAge=str(event["observation"]["SubjectAge"]))(event)


def residency_as_number(event: Event) -> bytes:
    return with_columns(ResidentIndicator=int(event["observation"]["ResidentIndicator"]))(event)


def cut_short(event: Event) -> bytes:
    return msgspec.json.encode(event)[:-2]


def as_form(event: Event) -> bytes:
    return f"id={event['id']}&{'&'.join(event['observation'])}".encode()


def in_a_list(event: Event) -> bytes:
    return msgspec.json.encode([event])


def observation_in_text(event: Event) -> bytes:
    return with_field("observation", msgspec.json.encode(event["observation"]).decode())(event)


# All equally likely.
FAULTS: tuple[tuple[Code, Callable[[Event], bytes]], ...] = (
    (Code.NOT_JSON, cut_short),
    (Code.NOT_JSON, as_form),
    (Code.NOT_AN_OBJECT, in_a_list),
    (Code.MISSING_ID, without_field("id")),
    (Code.INVALID_ID, with_field("id", "")),
    (Code.MISSING_OBSERVATION, without_field("observation")),
    (Code.OBSERVATION_NOT_AN_OBJECT, observation_in_text),
    (Code.MISSING_COLUMNS, without_column("hour")),
    (Code.MISSING_COLUMNS, without_column("SubjectEthnicityCode")),
    (Code.UNRECOGNIZED_COLUMNS, with_columns(OfficerBadge="4711")),
    (Code.INVALID_VALUE, statute_in_lower_case),
    (Code.INVALID_VALUE, residency_as_number),
    (Code.INVALID_VALUE, with_columns(SubjectRaceCode=None)),
    (Code.NOT_AN_INTEGER, age_as_text),
    (Code.NOT_AN_INTEGER, with_columns(hour=None)),
    (Code.OUT_OF_RANGE, with_columns(SubjectAge=0)),
    (Code.OUT_OF_RANGE, with_columns(hour=25)),
)
