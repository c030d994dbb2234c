"""Faults marked in place, in the very bytes that a producer sent.

Invariant: time grows with the size of the value and with nothing else, whatever stands in it; the pieces put together
are the bytes, whatever they are; a mark of nothing stands where something is missing.
"""

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from stream_scorer.core.contract.columns import COLUMN_SET
from stream_scorer.core.contract.reasons import Code, Reason
from stream_scorer.core.contract.strict_json import parse
from stream_scorer.core.dead_letters.json_spans import ByteSpan, JsonMember, Object, object_at

_BYTE: Final = re.compile(r"\(byte (\d{1,12})\)\Z")
MASK: Final = "•••"
# Nobody reads more; a letter may have a mark for each of 100,000 columns
MARKS_MAX: Final = 500
# A larger value is not read for a look: its reasons stand on the whole, and all of it is masked
READ_BYTES_MAX: Final = 256 * 1024
PIECES_MAX: Final = 2_000


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
    """Where in the value its reasons are, in the order of the bytes; the first `MARKS_MAX` of them."""
    if not value:
        return tuple(Highlight(0, 0, number) for number in range(len(reasons)))[:MARKS_MAX]
    event = parse(value) if len(value) <= READ_BYTES_MAX else None
    if not isinstance(event, dict):
        first = reasons[:MARKS_MAX]
        return tuple(_whole_or_byte(value, number, reason) for number, reason in enumerate(first))
    text = value.decode()
    found = object_at(text, 0)
    observation = observation_of(text, found)
    spans = ((number, span) for number, reason in enumerate(reasons) for span in _spans(reason, found, observation))
    shown = list(itertools.islice(spans, MARKS_MAX))
    placed = spans_in_bytes(text, [span for _, span in shown])
    return tuple(sorted(Highlight(*span, number) for span, (number, _) in zip(placed, shown, strict=True)))


def _whole_or_byte(value: bytes, number: int, reason: Reason) -> Highlight:
    said = _BYTE.search(reason.message) if reason.code is Code.NOT_JSON else None
    if said is None:
        return Highlight(0, len(value), number)
    at = min(int(said[1]), len(value))
    return Highlight(at, min(at + 1, len(value)), number)


def _spans(reason: Reason, event: Object, observation: Object | None) -> Iterator[ByteSpan]:
    """Where a reason is in an event, in characters."""
    code, field = reason.code, reason.field
    if code in (Code.MISSING_ID, Code.MISSING_OBSERVATION, Code.MISSING_TRUE_CLASS):
        yield ByteSpan(event.end - 1, event.end - 1)
    elif code is Code.MISSING_COLUMNS and observation is not None:
        yield ByteSpan(observation.end - 1, observation.end - 1)
    elif code is Code.UNRECOGNIZED_COLUMNS and observation is not None:
        for member in observation.members:
            if member.name not in COLUMN_SET:
                yield ByteSpan(member.name_at.begin, member.value_at.end)
    elif code in (Code.SCORING_FAILED, Code.INVALID_OUTPUT):
        yield from _value(event.last("observation"), event)
    else:
        named = observation.last(field) if observation is not None and field in COLUMN_SET else event.last(field or "")
        yield from _value(named, event)
        if code is Code.CONFLICT and observation is not None:
            columns = (reason.details or {}).get("columns")
            for column in columns if isinstance(columns, list) else ():
                yield from _value(observation.last(str(column)), None)


def _value(member: JsonMember | None, otherwise: Object | None) -> Iterator[ByteSpan]:
    if member is not None:
        yield member.value_at
    elif otherwise is not None:
        yield ByteSpan(0, otherwise.end)


def observation_of(text: str, event: Object) -> Object | None:
    """The observation within an event, where it is an object."""
    member = event.last("observation")
    return object_at(text, member.value_at.begin) if member is not None and isinstance(member.value, dict) else None


def spans_in_bytes(text: str, spans: Sequence[ByteSpan]) -> list[ByteSpan]:
    """Spans of characters, in any order, as spans of the bytes of their UTF-8; the text is encoded once."""
    if text.isascii():
        return list(spans)
    places: dict[int, int] = {}
    character = byte = 0
    for edge in sorted({edge for span in spans for edge in span}):
        byte += len(text[character:edge].encode())
        character = edge
        places[edge] = byte
    return [ByteSpan(places[span.begin], places[span.end]) for span in spans]


def segments(value: bytes | None, found: Sequence[Highlight], masked: Sequence[ByteSpan] = ()) -> list[Segment]:
    """The value cut where marks or masks begin and end. What is left behind `PIECES_MAX` cuts is one last piece, masked
    where anything in it is."""
    value = value or b""
    starting, ending = _edges(found, len(value))
    hiding: Counter[int] = Counter()
    for begin, end in masked:
        hiding[begin] += 1
        hiding[end] -= 1
    ordered = sorted({0, len(value), *starting, *ending, *(edge for edge in hiding if 0 <= edge <= len(value))})
    cut: list[Segment] = []
    active: set[int] = set()
    hidden = 0
    for begin, end in itertools.pairwise([*ordered, len(value)]):
        active -= ending.get(begin, set())
        if here := tuple(sorted(mark for mark in starting.get(begin, ()) if mark in ending.get(begin, set()))):
            cut.append(Segment("", tuple(sorted({found[mark].reason for mark in here}))))
        active |= starting.get(begin, set()) - ending.get(begin, set())
        hidden += hiding[begin]
        if begin == end:
            break
        if len(cut) >= PIECES_MAX:
            cut.append(_rest(value, begin, found, masked))
            break
        reasons = tuple(sorted({found[mark].reason for mark in active}))
        shown = MASK if hidden > 0 else value[begin:end].decode(errors="backslashreplace")
        cut.append(Segment(shown, reasons, hidden > 0))
    return cut


def _edges(found: Sequence[Highlight], size: int) -> tuple[dict[int, set[int]], dict[int, set[int]]]:
    """The numbers of the marks that begin, and of those that end, at each byte."""
    starting: defaultdict[int, set[int]] = defaultdict(set)
    ending: defaultdict[int, set[int]] = defaultdict(set)
    for number, mark in enumerate(found):
        if 0 <= mark.begin <= mark.end <= size:
            starting[mark.begin].add(number)
            ending[mark.end].add(number)
    return starting, ending


def _rest(value: bytes, begin: int, found: Sequence[Highlight], masked: Sequence[ByteSpan]) -> Segment:
    reasons = tuple(sorted({mark.reason for mark in found if mark.end > begin}))
    hidden = any(span.end > begin for span in masked)
    return Segment(MASK if hidden else value[begin:].decode(errors="backslashreplace"), reasons, hidden)
