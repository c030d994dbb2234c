"""What the state holds for an id, and its packed bytes: 32 for a prediction, whether its outcome is known or not.

Invariant: an entry says nothing that the predictions and outcome updates do not say: it can always be made again from
them.

    0 ─ 4   bits 0-27 the observation's code, 28 prediction, 29 an outcome is known, 30 its class, 31 a tail follows
    4 ─ 6   number of the model and role, in the lane's table of models
    6 ─ 14  probability
    14 ─ 20 offset of the observation   20 ─ 26 its event time   26 ─ 32 when it was scored (both in ms since 1970)
    32 ─    tail, MessagePack: the revision when it is above 1, and the outcomes that came before their observation
"""

import struct
from typing import Final

import msgspec

from stream_scorer.core.records.record import BufferedRecord

# Goes up with every change of the layout: a store with another version is dropped and made again from the topics.
ENTRY_VERSION: Final = 1
ROW_BYTES: Final = 32

PREDICTION: Final = 1 << 28
ANSWERED: Final = 1 << 29
TRUE_CLASS: Final = 1 << 30
TAIL: Final = 1 << 31
CODE_MASK: Final = PREDICTION - 1
# No observation has this code, there are only 155,937,600: the row of an id whose outcome came first.
NO_CODE: Final = CODE_MASK

OFFSET_UNKNOWN: Final = -1
_OFFSET_UNKNOWN_PACKED: Final = (1 << 48) - 1

_ROW: Final = struct.Struct("<IHdIHIHIH")
_HEAD: Final = struct.Struct("<I")
_SCORED: Final = struct.Struct("<IH")
_SCORED_AT: Final = 26
_EMPTY_ROW: Final = _ROW.pack(NO_CODE | TAIL, 0, 0.0, 0, 0, 0, 0, 0, 0)


class ScoredObservation(msgspec.Struct, frozen=True, gc=False):
    """What is known of a scored observation. `offset` is `OFFSET_UNKNOWN` where only a joined update tells of it;
    `true_class` is None and `revision` 0 until its outcome comes."""

    code: int
    proba: float
    prediction: bool
    model: int
    offset: int
    event_ms: int
    scored_ms: int
    true_class: bool | None = None
    revision: int = 0


class BufferedOutcome(msgspec.Struct, frozen=True, array_like=True):
    """An outcome whose observation has not come; `offset` is its own in the outcomes' partition."""

    true_class: bool
    outcome_ms: int
    offset: int
    record: BufferedRecord


class Entry(msgspec.Struct, frozen=True):
    """Everything about one id. Both parts are there only where the prediction is older than the join window."""

    predicted: ScoredObservation | None
    waiting: tuple[BufferedOutcome, ...] = ()


class _Tail(msgspec.Struct, frozen=True, array_like=True):
    revision: int
    waiting: tuple[BufferedOutcome, ...]


_decode_tail: Final = msgspec.msgpack.Decoder(_Tail).decode
_encode_tail: Final = msgspec.msgpack.Encoder().encode


def pack(entry: Entry) -> bytes:
    """One entry as bytes."""
    predicted, revision = entry.predicted, 0
    row, tailed = _EMPTY_ROW, True
    if predicted is not None:
        revision = predicted.revision
        tailed = bool(entry.waiting) or revision > 1
        head = predicted.code | PREDICTION * predicted.prediction | TAIL * tailed
        if predicted.true_class is not None:
            head |= ANSWERED | TRUE_CLASS * predicted.true_class
        offset = _OFFSET_UNKNOWN_PACKED if predicted.offset == OFFSET_UNKNOWN else predicted.offset
        sixes = [
            part
            for number in (offset, predicted.event_ms, predicted.scored_ms)
            for part in (number & 0xFFFFFFFF, number >> 32)
        ]
        row = _ROW.pack(head, predicted.model, predicted.proba, *sixes)
    return row + _encode_tail(_Tail(revision, entry.waiting)) if tailed else row


def unpack(packed: bytes) -> Entry:
    """The entry that `pack` or `pack_predictions` made these bytes of."""
    head, model, proba, offset, offset_high, event, event_high, scored, scored_high = _ROW.unpack_from(packed)
    tail = _decode_tail(packed[ROW_BYTES:]) if head & TAIL else None
    waiting = tail.waiting if tail else ()
    code = head & CODE_MASK
    if code == NO_CODE:
        return Entry(None, waiting)
    answered = bool(head & ANSWERED)
    offset += offset_high << 32
    predicted = ScoredObservation(
        code=code,
        proba=proba,
        prediction=bool(head & PREDICTION),
        model=model,
        offset=OFFSET_UNKNOWN if offset == _OFFSET_UNKNOWN_PACKED else offset,
        event_ms=event + (event_high << 32),
        scored_ms=scored + (scored_high << 32),
        true_class=bool(head & TRUE_CLASS) if answered else None,
        revision=tail.revision if tail else int(answered),
    )
    return Entry(predicted, waiting)


def code_within_window(packed: bytes, window_starts_ms: int) -> int | None:
    """The code of the id's observation if it was scored within the join window, without unpacking the rest."""
    (head,) = _HEAD.unpack_from(packed)
    code: int = head & CODE_MASK
    low, high = _SCORED.unpack_from(packed, _SCORED_AT)
    return code if code != NO_CODE and low + (high << 32) >= window_starts_ms else None


def waiting_since_ms(packed: bytes) -> int | None:
    """Event time of the oldest outcome that waits here, None where none waits: what a store files the id under."""
    if not _HEAD.unpack_from(packed)[0] & TAIL:
        return None
    return min((waiting.outcome_ms for waiting in _decode_tail(packed[ROW_BYTES:]).waiting), default=None)


def is_expired(packed: bytes, window_starts_ms: int) -> bool:
    """True when nothing waits here and the prediction is older than the join window: a store may drop the entry."""
    return code_within_window(packed, window_starts_ms) is None and waiting_since_ms(packed) is None
