"""What one record says of one id, in a line: for a person who asks what became of it.

Invariant: no column of an observation, no message and no payload is told, because these are about people; codes,
fields, figures and places are.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from stream_scorer.core.contract.batch_decoding import ValidEvent
from stream_scorer.core.contract.observation_events import validate_observation
from stream_scorer.core.contract.outcome_events import validate_outcome
from stream_scorer.core.contract.strict_json import parse
from stream_scorer.core.records.dead_letter_headers import ERRORS, FAILED_AT, REPLAYS, SOURCE, STAGE
from stream_scorer.core.records.dead_letter_reader import REPLAYED_FROM
from stream_scorer.core.records.decode import Name, TimestampMs, TimeText, decode_or_none
from stream_scorer.core.records.input_reference import decode_source
from stream_scorer.core.records.outcome_update import Revision, Seconds
from stream_scorer.core.records.partitioner import partition_of
from stream_scorer.core.records.prediction import Probability
from stream_scorer.core.records.record import MOVED_FROM, ConsumedRecord, Source, last_header, rfc3339


class RecordKind(StrEnum):
    """What kind of record it is, in the order in which one id's records of one moment come about."""

    OBSERVATION = "observation"
    OUTCOME = "outcome"
    PREDICTION = "prediction"
    SHADOW_PREDICTION = "shadow prediction"
    DEAD_LETTER = "dead letter"
    OUTCOME_UPDATE = "outcome update"


class TimelineEntry(msgspec.Struct, frozen=True):
    """One record that knows of the id. `time` is the record's own; `details` depend on `what`."""

    time: str
    topic: str
    partition: int
    offset: int
    what: RecordKind
    details: dict[str, Any]


class _Identified(msgspec.Struct):
    id: str | int


_decode_id: Final = msgspec.json.Decoder(_Identified).decode

NOT_OURS: Final = "it is not as stream-scorer writes it"


class _FaultSaid(msgspec.Struct):
    code: Name
    field: str | None = None


class _LetterSource(Source, frozen=True, omit_defaults=True):
    topic: Name = ""
    timestamp: TimestampMs = -1


_decode_faults: Final = msgspec.json.Decoder(list[_FaultSaid]).decode
_decode_letter_source: Final = msgspec.json.Decoder(_LetterSource).decode


class _PredictionDetails(msgspec.Struct):
    """The details of a prediction, in this order; if it lacks a field, the others."""

    prediction: bool | UnsetType = UNSET
    proba: Probability | UnsetType = UNSET
    threshold: Probability | UnsetType = UNSET
    model: Name | UnsetType = UNSET
    role: Name | UnsetType = UNSET
    source: Source | UnsetType = UNSET
    scored_at: TimeText | UnsetType = UNSET


class _ShadowPredictionDetails(_PredictionDetails):
    lane: Name | UnsetType = UNSET


class _UpdateDetails(msgspec.Struct):
    """The details of an outcome update, in this order; if it lacks a field, the others."""

    status: Name | UnsetType = UNSET
    revision: Revision | UnsetType = UNSET
    true_class: bool | UnsetType = UNSET
    prediction: bool | UnsetType = UNSET
    proba: Probability | UnsetType = UNSET
    correct: bool | UnsetType = UNSET
    model: Name | UnsetType = UNSET
    role: Name | UnsetType = UNSET
    source: Source | UnsetType = UNSET
    outcome_at: TimeText | UnsetType = UNSET
    scored_at: TimeText | UnsetType = UNSET
    delay_s: Seconds | UnsetType = UNSET
    verdicts: dict[Name, bool] | UnsetType = UNSET


def id_matcher(id_: bytes) -> Callable[[Sequence[ConsumedRecord]], list[ConsumedRecord]]:
    """A function that finds, among records, those that know of the id: by their key, or by the id that their value has.

    A search for bytes passes over nearly all of them without decoding one. An id may be written with escapes, so a
    value with a backslash is looked at too.
    """
    as_json = msgspec.json.encode(id_.decode())

    def spot(records: Sequence[ConsumedRecord]) -> list[ConsumedRecord]:
        near = [
            record
            for record in records
            if record.key == id_ or (record.value is not None and (id_ in record.value or b"\\" in record.value))
        ]
        return [record for record in near if record.key == id_ or _is_about(record.value or b"", id_, as_json)]

    return spot


def _is_about(value: bytes, id_: bytes, as_json: bytes) -> bool:
    identified = decode_or_none(_decode_id, value)
    if identified is not None:
        return str(identified.id).encode() == id_
    event = parse(value)
    if isinstance(event, dict) and isinstance(event.get("id"), str | int):
        return str(event["id"]).encode(errors="replace") == id_
    # what can't be read may still have been meant to carry the id
    return as_json in value


def sighting(what: RecordKind, topic: str, partition: int, record: ConsumedRecord, partitions: int) -> TimelineEntry:
    """What the record says of its id, without what it says of people."""
    details = DETAILS[what](record)
    if what in (RecordKind.OBSERVATION, RecordKind.OUTCOME) and (id_ := details.pop("id", None)) is not None:
        home = partition_of(id_, partitions)
        if home != partition:
            details["belongs_on_partition"] = home
    return TimelineEntry(rfc3339(max(record.timestamp, 0)), topic, partition, record.offset, what, details)


def chronological(sightings: Sequence[TimelineEntry]) -> list[TimelineEntry]:
    """By time; of one time, inputs before what came of them."""
    ranks = {what: rank for rank, what in enumerate(RecordKind)}
    return sorted(sightings, key=lambda seen: (seen.time, ranks[seen.what], seen.partition, seen.offset))


def _input_details(record: ConsumedRecord, found: ValidEvent[Any] | tuple[Any, ...]) -> dict[str, Any]:
    details: dict[str, Any]
    if isinstance(found, ValidEvent):
        details = {"contract": "kept", "id": found.id}
    else:
        details = {"contract": "broken", "faults": [_fault(reason.code, reason.field) for reason in found]}
    said = {"moved_from": MOVED_FROM, "replayed_from": REPLAYED_FROM}
    found_headers = {name: last_header(record.headers, header) for name, header in said.items()}
    return details | {name: _said(decode_source, value) for name, value in found_headers.items() if value is not None}


def _observation_details(record: ConsumedRecord) -> dict[str, Any]:
    return _input_details(record, validate_observation(record.value, len(record.value or b"")))


def _outcome_details(record: ConsumedRecord) -> dict[str, Any]:
    found = validate_outcome(record.value)
    said = {"true_class": found.content} if isinstance(found, ValidEvent) else {}
    return said | _input_details(record, found)


def _value_details(fields: type[msgspec.Struct]) -> Callable[[ConsumedRecord], dict[str, Any]]:
    decode = msgspec.json.Decoder(fields).decode

    def details(record: ConsumedRecord) -> dict[str, Any]:
        said = decode_or_none(decode, record.value)
        return {"unreadable": NOT_OURS} if said is None else msgspec.to_builtins(said)

    return details


def _dead_letter_details(record: ConsumedRecord) -> dict[str, Any]:
    headers = {name: last_header(record.headers, name) or b"" for name in (ERRORS, STAGE, SOURCE, FAILED_AT, REPLAYS)}
    reasons = decode_or_none(_decode_faults, headers[ERRORS])
    return {
        "stage": headers[STAGE].decode(errors="replace"),
        "faults": NOT_OURS if reasons is None else [_fault(reason.code, reason.field) for reason in reasons],
        "source": _said(_decode_letter_source, headers[SOURCE]),
        "failed_at": headers[FAILED_AT].decode(errors="replace"),
        "replays": headers[REPLAYS].decode(errors="replace"),
    }


def _fault(code: object, field: object) -> str:
    return f"{code} ({field})" if field else f"{code}"


def _said(decode: Callable[[bytes], msgspec.Struct], header: bytes) -> Any:
    """What a header of ours says; where it is not as we write it, its own text."""
    said = decode_or_none(decode, header)
    return header.decode(errors="replace") if said is None else msgspec.to_builtins(said)


DETAILS: Final[Mapping[RecordKind, Callable[[ConsumedRecord], dict[str, Any]]]] = {
    RecordKind.OBSERVATION: _observation_details,
    RecordKind.OUTCOME: _outcome_details,
    RecordKind.PREDICTION: _value_details(_PredictionDetails),
    RecordKind.SHADOW_PREDICTION: _value_details(_ShadowPredictionDetails),
    RecordKind.DEAD_LETTER: _dead_letter_details,
    RecordKind.OUTCOME_UPDATE: _value_details(_UpdateDetails),
}
