"""One letter for a person: its bytes with the faults marked, its headers, its source; masked until it is revealed.

Invariant: what is revealed was written into the ledger first.
"""

import msgspec

from stream_scorer.core.contract.quarantined_batch import BatchSummary
from stream_scorer.core.contract.reasons import Reason
from stream_scorer.core.dead_letters.highlighting import Segment, highlights, segments
from stream_scorer.core.dead_letters.redaction import (
    masked_batch,
    masked_headers,
    masked_key,
    masked_reason,
    masked_size_bytes,
    masked_spans,
)
from stream_scorer.core.records.dead_letter_reader import DeadLetter, Position, UnreadableDeadLetter
from stream_scorer.core.records.record import Truncation, rfc3339
from stream_scorer.operations.dead_letters.context import Context
from stream_scorer.operations.dead_letters.index.index import Chunk
from stream_scorer.operations.dead_letters.query.filters import STATES, State


class DeadLetterView(msgspec.Struct, frozen=True, kw_only=True):
    """A letter as it is shown. Of masked pieces, reasons, headers and keys only that they are there; a masked
    value's size is that of what is shown, and of one that was cut off (`truncated`) or stands for a `batch` there is
    neither size nor checksum."""

    place: Position
    state: State
    replays: int
    masked: bool
    stage: str
    failed_at: str
    version: str
    origin: str
    time: str
    producer: str | None
    key: str | None
    headers: list[tuple[str, str]]
    reasons: list[Reason]
    pieces: list[Segment]
    size_bytes: int
    truncated: bool
    truncation: Truncation | None
    batch: BatchSummary | None
    why_not_replayable: str | None


def view_of(access: Context, letter: DeadLetter | UnreadableDeadLetter, *, revealed: bool) -> DeadLetterView:
    """What is shown of a letter."""
    state, replays = standing(access, letter.place)
    reasons = letter.reasons if isinstance(letter, DeadLetter) else ()
    if not revealed:
        reasons = tuple(masked_reason(reason) for reason in reasons)
    hidden = [] if revealed else masked_spans(letter.value)
    # marks come of the reasons that are shown: where a fault is within masked bytes is not told
    pieces = segments(letter.value, highlights(letter.value, reasons), hidden)
    truncation = letter.truncation if isinstance(letter, DeadLetter) else None
    batch = letter.batch if isinstance(letter, DeadLetter) else None
    headers = [(name, value.decode(errors="backslashreplace")) for name, value in letter.headers]
    key = None if letter.key is None else letter.key.decode(errors="backslashreplace")
    id_ = letter.id if isinstance(letter, DeadLetter) else None
    return DeadLetterView(
        place=letter.place,
        state=state,
        replays=replays,
        masked=not revealed,
        stage=letter.stage.value if isinstance(letter, DeadLetter) else "",
        failed_at=rfc3339(letter.failed_ms) if isinstance(letter, DeadLetter) else "",
        version=letter.version if isinstance(letter, DeadLetter) else "",
        origin=str(letter.origin) if isinstance(letter, DeadLetter) else "",
        time=rfc3339(max(letter.timestamp_ms, 0)),
        producer=letter.producer if isinstance(letter, DeadLetter) else None,
        key=key if revealed else masked_key(letter.key, id_),
        headers=headers if revealed else masked_headers(letter.headers),
        reasons=list(reasons),
        pieces=pieces,
        size_bytes=len(letter.value or b"") if revealed else masked_size_bytes(pieces),
        truncated=truncation is not None,
        truncation=truncation if revealed else None,
        batch=batch if revealed or batch is None else masked_batch(batch),
        why_not_replayable=why_not_replayable(access, letter, state),
    )


def why_not_replayable(access: Context, letter: DeadLetter | UnreadableDeadLetter, state: State) -> str | None:
    """What stands against replaying a letter; None: nothing."""
    if isinstance(letter, UnreadableDeadLetter):
        return letter.why
    if letter.origin.topic not in access.inputs:
        return f"it came from {letter.origin.topic}, which is not an input of this environment"
    if letter.why_incomplete is not None:
        return letter.why_incomplete
    return {
        State.REPLAYED: "it was replayed already: a dead letter is replayed once",
        State.DISCARDED: "it was discarded",
        State.PARKED: f"it is parked: its record was replayed {access.cap} times; say --parked",
    }.get(state)


def standing(access: Context, place: Position) -> tuple[State, int]:
    """What has become of a letter, and how often its record had been replayed."""
    for chunk in access.index.chunks(access.cap, [place.partition]):
        if (row := _row(chunk, place)) is not None:
            return STATES[int(chunk.states[row])], int(chunk.replays[row])
    return State.OPEN, 0


def _row(chunk: Chunk, place: Position) -> int | None:
    offsets = chunk.rows["offset"]
    row = int(offsets.searchsorted(place.offset))
    return row if row < len(offsets) and offsets[row] == place.offset else None
