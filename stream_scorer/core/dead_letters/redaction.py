"""What of a letter may be shown to whoever looks: its shape, its faults, its id; not what it says of a person.

Invariant: what is not known to be harmless is masked, so that a letter that nobody foresaw shows nothing.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from stream_scorer.core.contract.columns import COLUMN_SET, ID_BYTES_MAX, check_id
from stream_scorer.core.contract.reasons import Code, Reason
from stream_scorer.core.contract.strict_json import parse
from stream_scorer.core.dead_letters.highlighting import MASK, READ_BYTES_MAX, spans_in_bytes
from stream_scorer.core.dead_letters.json_spans import Object, Span, object_at
from stream_scorer.core.records.dead_letter_reader import PRODUCER_HEADERS
from stream_scorer.core.records.record import TRACE_HEADERS

EVENT_NAMES: Final = frozenset({"id", "observation", "true_class"})
FIELDS: Final = EVENT_NAMES | COLUMN_SET
HARMLESS_HEADERS: Final = frozenset({*PRODUCER_HEADERS, *TRACE_HEADERS, "content-type", "ce_specversion", "ce_type"})
HARMLESS_DETAILS: Final = frozenset({"first_offset", "columns", "reasons_left_out"})

_ANYTHING: Final = re.compile(r"(.*)\Z", re.DOTALL)
_VALUE: Final = re.compile(r"(Invalid value provided for \w+: ).*(\. Allowed values are: [^:]*)\Z", re.DOTALL)
_UP_TO_COLON: Final = re.compile(r"([^:]*: ).*\Z", re.DOTALL)
# Of a message, the groups may be shown
_SHOWN: Final[Mapping[Code, re.Pattern[str]]] = {
    **dict.fromkeys((Code.INVALID_VALUE, Code.INVALID_TRUE_CLASS), _VALUE),
    **dict.fromkeys(
        (
            *(Code.MISSING_ID, Code.MISSING_OBSERVATION, Code.MISSING_TRUE_CLASS),
            *(Code.UNRECOGNIZED_COLUMNS, Code.SCORING_FAILED),
        ),
        _UP_TO_COLON,
    ),
}
_QUOTED_ID: Final = re.compile(r"(Observation ID: ['\"]).*(['\"] (?:already exists|does not exist))\Z", re.DOTALL)
# These quote the id, which is shown only where it came as the id
_WITHOUT_ID: Final[Mapping[Code, re.Pattern[str]]] = {
    **_SHOWN,
    **dict.fromkeys((Code.CONFLICT, Code.UNKNOWN_ID), _QUOTED_ID),
}


def masked_spans(value: bytes | None, mended_from: bytes | None = None) -> list[Span]:
    """The bytes of a value that are not to be shown: what an event says, but for its id; of anything else all. Of a
    value that was mended the id is shown only where it is that of the original `mended_from`: a fix can make an id of
    whatever the event says."""
    if not value:
        return []
    if len(value) > READ_BYTES_MAX or not isinstance(parse(value), dict):
        return [Span(0, len(value))]
    text = value.decode()
    id_ = shown_id(value if mended_from is None else mended_from)
    return sorted(spans_in_bytes(text, list(set(_hidden(text, object_at(text, 0), id_)))))


def shown_id(value: bytes | None) -> bytes | None:
    """The id that may be shown of a value as its producer sent it; None where it has none that is valid."""
    event = parse(value)
    found = check_id(event) if isinstance(event, dict) else None
    return found if isinstance(found, bytes) else None


def _hidden(text: str, event: Object, id_: bytes | None) -> Iterator[Span]:
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
    pattern = (_SHOWN if with_id else _WITHOUT_ID).get(reason.code, _ANYTHING)
    found = pattern.match(reason.message)
    message = MASK if found is None else MASK.join([*found.groups(), *[""] * (pattern is _UP_TO_COLON)])
    details = {name: value for name, value in (reason.details or {}).items() if name in HARMLESS_DETAILS}
    field = reason.field if reason.field is None or reason.field in FIELDS else MASK
    return msgspec.structs.replace(reason, message=message, field=field, details=details or None)


def masked_headers(headers: Sequence[tuple[str, bytes]]) -> list[tuple[str, str]]:
    """A record's own headers, with the values of those that are known to be about the transport only."""
    return [
        (name, value.decode(errors="backslashreplace") if name in HARMLESS_HEADERS else MASK) for name, value in headers
    ]


def masked_key(key: bytes | None, id_: bytes | None) -> str | None:
    """The key where it is the event's own id."""
    if key is None:
        return None
    return key.decode(errors="backslashreplace") if key == id_ and len(key) <= ID_BYTES_MAX else MASK
