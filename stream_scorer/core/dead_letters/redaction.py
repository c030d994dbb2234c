"""What of a letter may be shown to whoever looks: its shape, its faults, its id; not what it says of a person.

Invariant: what is not known to be harmless is masked, so that a letter that nobody foresaw shows nothing; and whatever
is shown of two letters that differ only in masked bytes is the same. Every page, command, report and message to a
producer asks this module.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from stream_scorer.core.contract.columns import COLUMN_SET, check_id
from stream_scorer.core.contract.quarantined_batch import BatchSummary
from stream_scorer.core.contract.reasons import Code, Reason
from stream_scorer.core.contract.strict_json import parse
from stream_scorer.core.dead_letters.highlighting import MASK, READ_BYTES_MAX, Segment, spans_in_bytes
from stream_scorer.core.dead_letters.json_spans import ByteSpan, Object, object_at
from stream_scorer.core.records.dead_letter_reader import PRODUCER_HEADERS
from stream_scorer.core.records.record import TRACE_HEADERS

EVENT_NAMES: Final = frozenset({"id", "observation", "true_class"})
FIELDS: Final = EVENT_NAMES | COLUMN_SET
HARMLESS_HEADERS: Final = frozenset({*PRODUCER_HEADERS, *TRACE_HEADERS, "content-type", "ce_specversion", "ce_type"})
# Not the columns in which a conflict differs: they compare two values that are masked
HARMLESS_DETAILS: Final = frozenset({"first_offset", "reasons_left_out"})

# Of a message, the groups may be shown and what stands between them may not: each is the whole sentence that
# `core/contract/reasons.py` writes, so that a stranger's sentence under one of our codes shows nothing. A size and the
# position of a byte depend on what is masked, so they are masked too.
_NAME: Final = "|".join(sorted(FIELDS))
_VALUE: Final = re.compile(rf"(Invalid value provided for (?:{_NAME}): ).*(\. Allowed values are: [^:]*)\Z", re.DOTALL)
_MISSING_FIELD: Final = re.compile(rf"(Field `(?:{_NAME})` missing from request: ).*(\Z)", re.DOTALL)
_QUOTED_ID: Final = re.compile(r"(Observation ID: ['\"]).*(['\"] (?:already exists|does not exist))\Z", re.DOTALL)
_WHOLE_QUOTED_ID: Final = re.compile(r"(Observation ID: ['\"].*['\"] (?:already exists|does not exist))\Z", re.DOTALL)
_SHOWN: Final[Mapping[Code, re.Pattern[str]]] = {
    Code.NOT_JSON: re.compile(r"(Event is not valid JSON: ).*(\Z)", re.DOTALL),
    Code.TOO_LARGE: re.compile(r"(Event of )\d+( bytes is larger than \d+)\Z"),
    # the codec is the transport's; a decoder's words may quote what is in the batch
    Code.BATCH_TOO_LARGE: re.compile(
        r"(Batch of )\d+( bytes \([a-z0-9]{1,20}\) unfolds to more than \d+ bytes, \d+ records or \d+ headers)\Z"
    ),
    Code.BATCH_UNREADABLE: re.compile(r"(Batch of )\d+( bytes \([a-z0-9]{1,20}\) can't be read: ).*(\Z)", re.DOTALL),
    Code.NOT_AN_OBJECT: re.compile(r"(Event is not a JSON object)\Z"),
    Code.MISSING_ID: _MISSING_FIELD,
    Code.INVALID_ID: re.compile(r"(Field `id` is not a non-empty string of at most \d+ bytes)\Z"),
    Code.MISSING_OBSERVATION: _MISSING_FIELD,
    Code.OBSERVATION_NOT_AN_OBJECT: re.compile(r"(Field `observation` is not a JSON object)\Z"),
    Code.MISSING_COLUMNS: re.compile(rf"(Missing columns: \{{(?:'(?:{_NAME})'(?:, )?)+\}})\Z"),
    Code.UNRECOGNIZED_COLUMNS: re.compile(r"(Unrecognized columns provided: ).*(\Z)", re.DOTALL),
    Code.INVALID_VALUE: _VALUE,
    Code.NOT_AN_INTEGER: re.compile(rf"(Field `(?:{_NAME})` is not an integer)\Z"),
    Code.OUT_OF_RANGE: re.compile(rf"(Field `(?:{_NAME})` is not between \d+ and \d+)\Z"),
    Code.CONFLICT: _WHOLE_QUOTED_ID,
    Code.SCORING_FAILED: re.compile(r"(Model could not score this observation: ).*(\Z)", re.DOTALL),
    Code.INVALID_OUTPUT: re.compile(r"(Model returned ).*( as the probability)\Z", re.DOTALL),
    Code.MISSING_TRUE_CLASS: _MISSING_FIELD,
    Code.INVALID_TRUE_CLASS: _VALUE,
    Code.UNKNOWN_ID: _WHOLE_QUOTED_ID,
}
# These quote the id, which is shown only where it came as the id
_WITHOUT_ID: Final[Mapping[Code, re.Pattern[str]]] = {
    **_SHOWN,
    **dict.fromkeys((Code.CONFLICT, Code.UNKNOWN_ID), _QUOTED_ID),
}
# A trace, a content type and the names that CloudEvents knows, where they look like it
_HEADER_VALUES: Final[Mapping[str, re.Pattern[bytes]]] = {
    "content-type": re.compile(rb"[\w.+-]{1,60}/[\w.+-]{1,60}(?:; *charset=[\w-]{1,20})?"),
    "ce_specversion": re.compile(rb"\d(?:\.\d)?"),
}


def masked_spans(value: bytes | None, mended_from: bytes | None = None) -> list[ByteSpan]:
    """The bytes of a value that are not to be shown: what an event says, but for its id; of anything else all. Of a
    value that was mended the id is shown only where it is that of the original `mended_from`: a fix can make an id of
    whatever the event says."""
    if not value:
        return []
    if len(value) > READ_BYTES_MAX or not isinstance(parse(value), dict):
        return [ByteSpan(0, len(value))]
    text = value.decode()
    id_ = shown_id(value if mended_from is None else mended_from)
    return sorted(spans_in_bytes(text, list(set(_hidden(text, object_at(text, 0), id_)))))


def shown_id(value: bytes | None) -> bytes | None:
    """The id that may be shown of a value as its producer sent it; None where it has none that is valid."""
    event = parse(value)
    found = check_id(event) if isinstance(event, dict) else None
    return found if isinstance(found, bytes) else None


def _hidden(text: str, event: Object, id_: bytes | None) -> Iterator[ByteSpan]:
    for member in event.members:
        if member.name not in EVENT_NAMES:
            yield member.name_at
        if member.name == "id" and id_ is not None and check_id({"id": member.value}) == id_:
            continue
        if member.name == "observation" and isinstance(member.value, dict):
            for column in object_at(text, member.value_at.begin).members:
                if column.name not in COLUMN_SET:
                    yield column.name_at
                yield column.value_at
            continue
        yield member.value_at


def masked_reason(reason: Reason, *, with_id: bool = True) -> Reason:
    """The reason without what it quotes of the event; its id too only `with_id`, which a mended one may not show."""
    found = (_SHOWN if with_id else _WITHOUT_ID)[reason.code].match(reason.message)
    message = MASK if found is None else MASK.join(found.groups())
    details = {name: value for name, value in (reason.details or {}).items() if _is_harmless(name, value)}
    return msgspec.structs.replace(reason, message=message, field=masked_field(reason.field), details=details or None)


def _is_harmless(name: str, value: object) -> bool:
    return name in HARMLESS_DETAILS and type(value) is int


def masked_field(field: str | None) -> str | None:
    """The field where the contract knows it; a stranger's letter may name anything."""
    return field if field is None or field in FIELDS else MASK


def masked_headers(headers: Sequence[tuple[str, bytes]]) -> list[tuple[str, str]]:
    """A record's own headers: names and values of those that are known to be about the transport only. A name is its
    producer's text as much as a value is."""
    return [
        (name, value.decode(errors="backslashreplace") if _is_transport(name, value) else MASK)
        if name in HARMLESS_HEADERS
        else (MASK, MASK)
        for name, value in headers
    ]


def _is_transport(name: str, value: bytes) -> bool:
    expected = _HEADER_VALUES.get(name)
    return expected is None or expected.fullmatch(value) is not None


def masked_batch(batch: BatchSummary) -> BatchSummary:
    """What may be shown of a batch that was quarantined: not its size and its digest, by which a guess at what it holds
    could be tried."""
    return msgspec.structs.replace(batch, bytes=0, sha256="")


def masked_key(key: bytes | None, id_: bytes | None) -> str | None:
    """The key where it is the event's own id."""
    if key is None:
        return None
    return key.decode(errors="backslashreplace") if key == id_ and is_id(key) else MASK


def is_id(text: bytes | None) -> bool:
    """Whether these bytes may be an id, so that they are shown as one and can be asked for."""
    if not text:
        return False
    try:
        return check_id({"id": text.decode()}) == text
    except UnicodeDecodeError:
        return False


def masked_size_bytes(pieces: Sequence[Segment]) -> int:
    """How long a masked value is as it is shown: its own length depends on what is masked."""
    return sum(len(piece.text.encode()) for piece in pieces)
