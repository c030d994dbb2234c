"""Dead letters as a worker writes them and as the topic gives them back."""

from collections.abc import Sequence
from typing import NamedTuple

from stream_scorer.core.contract.batch_decoding import ValidEvent
from stream_scorer.core.contract.observation_events import validate_observation
from stream_scorer.core.contract.reasons import Reason, Stage, not_an_object
from stream_scorer.core.records.dead_letter import dead_letter
from stream_scorer.core.records.dead_letter_reader import DeadLetter, UnreadableDeadLetter, read_letter

TOPIC = "stops.observations"


class Record(NamedTuple):
    """A record as it was read."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


def reasons_of(value: bytes | None) -> tuple[Reason, ...]:
    """What the contract says against an observation event; something, where it says nothing."""
    found = validate_observation(value)
    return (not_an_object(),) if isinstance(found, ValidEvent) else found


def a_record(
    value: bytes | None,
    *,
    headers: Sequence[tuple[str, bytes]] = (),
    reasons: Sequence[Reason] | None = None,
    offset: int = 17,
    key: bytes | None = b"k",
    limit_bytes: int = 1 << 20,
    failed_at_ms: int = 1_795_365_418_142,
    replays: int = 0,
) -> Record:
    """The dead letter of an observation record, as it lies in its topic at 1,000 above its source's offset."""
    letter = dead_letter(
        Record(offset, 1_795_365_000_000, key, value, headers),
        reasons_of(value) if reasons is None else reasons,
        Stage.CONTRACT,
        topic=TOPIC,
        partition=2,
        failed_at_ms=failed_at_ms,
        version="1.2",
        limit_bytes=limit_bytes,
        replays=replays,
    )
    return Record(1_000 + offset, letter.timestamp_ms, letter.key, letter.value, letter.headers)


def a_letter(value: bytes | None, **how: object) -> DeadLetter:
    """The same, read back."""
    letter = read_letter(2, a_record(value, **how))  # type: ignore[arg-type]
    assert isinstance(letter, DeadLetter)
    return letter


def unreadable(record: Record) -> UnreadableDeadLetter:
    """A record that is no letter."""
    found = read_letter(2, record)
    assert isinstance(found, UnreadableDeadLetter)
    return found
