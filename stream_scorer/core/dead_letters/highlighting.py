"""Faults marked in place, in the very bytes that a producer sent.

Invariant: the pieces put together are the bytes, whatever they are; a mark of nothing stands where something is
missing.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from stream_scorer.core.contract.columns import COLUMN_SET
from stream_scorer.core.contract.reasons import Code, Reason
from stream_scorer.core.contract.strict_json import parse
from stream_scorer.core.dead_letters.json_spans import Member, Object, Span, object_at

_BYTE: Final = re.compile(r"\(byte (\d{1,12})\)\Z")
MASK: Final = "•••"


class Highlight(msgspec.Struct, frozen=True, order=True):
    """Bytes from `begin` to before `end` are at fault, by that reason; none of them where something is missing."""

    begin: int
    end: int
    reason: int


class Segment(msgspec.Struct, frozen=True):
    """A run of bytes with the same marks, as text: bytes that are not UTF-8 as `\\xNN`. Of a masked one only that it is
    there."""

    text: str
    reasons: tuple[int, ...] = ()
    masked: bool = False


def highlights(value: bytes | None, reasons: Sequence[Reason]) -> tuple[Highlight, ...]:
    """Where in the value its reasons are, in the order of the bytes."""
    if not value:
        return tuple(Highlight(0, 0, number) for number in range(len(reasons)))
    event = parse(value)
    if not isinstance(event, dict):
        return tuple(_whole_or_byte(value, number, reason) for number, reason in enumerate(reasons))
    text = value.decode()
    found = object_at(text, 0)
    spans = [(number, span) for number, reason in enumerate(reasons) for span in _spans(reason, text, found)]
    return tuple(sorted(Highlight(*in_bytes(text, span), number) for number, span in spans))


def _whole_or_byte(value: bytes, number: int, reason: Reason) -> Highlight:
    said = _BYTE.search(reason.message) if reason.code is Code.NOT_JSON else None
    if said is None:
        return Highlight(0, len(value), number)
    at = min(int(said[1]), len(value))
    return Highlight(at, min(at + 1, len(value)), number)


def _spans(reason: Reason, text: str, event: Object) -> Iterator[Span]:
    """Where a reason is in an event, in characters."""
    observation = observation_of(text, event)
    code, field = reason.code, reason.field
    if code in (Code.MISSING_ID, Code.MISSING_OBSERVATION, Code.MISSING_TRUE_CLASS):
        yield Span(event.end - 1, event.end - 1)
    elif code is Code.MISSING_COLUMNS and observation is not None:
        yield Span(observation.end - 1, observation.end - 1)
    elif code is Code.UNRECOGNIZED_COLUMNS and observation is not None:
        for member in observation.members:
            if member.name not in COLUMN_SET:
                yield Span(member.name_at.begin, member.value_at.end)
    elif code in (Code.SCORING_FAILED, Code.INVALID_OUTPUT):
        yield from _value(event.last("observation"), event)
    else:
        named = observation.last(field) if observation is not None and field in COLUMN_SET else event.last(field or "")
        yield from _value(named, event)
        if code is Code.CONFLICT and observation is not None:
            columns = (reason.details or {}).get("columns")
            for column in columns if isinstance(columns, list) else ():
                yield from _value(observation.last(str(column)), None)


def _value(member: Member | None, otherwise: Object | None) -> Iterator[Span]:
    if member is not None:
        yield member.value_at
    elif otherwise is not None:
        yield Span(0, otherwise.end)


def observation_of(text: str, event: Object) -> Object | None:
    """The observation within an event, where it is an object."""
    member = event.last("observation")
    return object_at(text, member.value_at.begin) if member is not None and isinstance(member.value, dict) else None


def in_bytes(text: str, span: Span) -> Span:
    """A span of characters as one of the bytes of their UTF-8."""
    begin = len(text[: span.begin].encode())
    return Span(begin, begin + len(text[span.begin : span.end].encode()))


def segments(value: bytes | None, found: Sequence[Highlight], masked: Sequence[Span] = ()) -> list[Segment]:
    """The value cut where marks or masks begin and end."""
    value = value or b""
    edges = {0, len(value)}
    for begin, end in [*((mark.begin, mark.end) for mark in found), *masked]:
        edges |= {begin, end}
    ordered = sorted(edge for edge in edges if 0 <= edge <= len(value))
    cut: list[Segment] = []
    for number, begin in enumerate(ordered):
        here = tuple(sorted({mark.reason for mark in found if mark.begin == mark.end == begin}))
        if here:
            cut.append(Segment("", here))
        if number + 1 == len(ordered):
            break
        end = ordered[number + 1]
        reasons = tuple(sorted({mark.reason for mark in found if mark.begin <= begin and end <= mark.end}))
        hidden = any(span.begin <= begin and end <= span.end for span in masked)
        cut.append(Segment(MASK if hidden else value[begin:end].decode(errors="backslashreplace"), reasons, hidden))
    return cut
