"""Outcomes that wait for their observation: what is kept of their records, and how they end when it does not come.

Invariant: an outcome that has waited longer than the join window ends as one dead letter and one terminal update, in
one transaction.
"""

import hashlib
from collections.abc import Sequence
from typing import Final, NamedTuple, cast

from stream_scorer.core.contract.reasons import Reason, unknown_id
from stream_scorer.core.outcomes.join import ExpiredOutcome, JoinResult, expire_outcome
from stream_scorer.core.records.clock import WindowClock
from stream_scorer.core.records.dead_letter import KEPT_OF_TOO_LARGE_BYTES
from stream_scorer.core.records.record import BufferedRecord, ConsumedRecord, Headers, Truncation, size_bytes
from stream_scorer.core.records.timestamps import kept_timestamp_ms
from stream_scorer.core.state.entry import Entry, pack, unpack
from stream_scorer.core.state.model_ids import ModelIds

# As an update carries it, and still well below the megabyte that a broker takes.
KEPT_BYTES_MAX: Final = 850 * 1024


class RestoredRecord(NamedTuple):
    """A record that was kept, as it was read."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


def buffer_record(record: ConsumedRecord) -> BufferedRecord:
    """What an update carries of an outcome's record: all of it, unless it is too large to be published as base64; it is
    then cut as in a dead letter, and `truncation` says so."""
    if _encoded_bytes_max(record) <= KEPT_BYTES_MAX:
        return BufferedRecord(kept_timestamp_ms(record.timestamp), record.value, record.key, tuple(record.headers))
    value, key = record.value or b"", record.key or b""
    headers_bytes = size_bytes(record) - len(value) - len(key)
    return BufferedRecord(
        timestamp=kept_timestamp_ms(record.timestamp),
        value=value[:KEPT_OF_TOO_LARGE_BYTES],
        key=key[:KEPT_OF_TOO_LARGE_BYTES] if record.key is not None else None,
        headers=tuple(record.headers) if headers_bytes <= KEPT_OF_TOO_LARGE_BYTES else (),
        truncation=Truncation(len(value), hashlib.sha256(value).hexdigest(), len(key), headers_bytes),
    )


def _encoded_bytes_max(record: ConsumedRecord) -> int:
    """The most that a record takes in an update: bytes as base64, a header's name with every byte escaped
    (`\\u0000`)."""
    values = [record.value, record.key, *(value for _, value in record.headers)]
    in_base64 = sum(len(value or b"") for value in values)
    names = sum(6 * len(name.encode()) + len('["","===="],') for name, _ in record.headers)
    return in_base64 * 4 // 3 + names


def expire_waiting(
    ids: Sequence[bytes], found: Sequence[bytes | None], *, partition: int, models: ModelIds, clock: WindowClock
) -> JoinResult:
    """End the outcomes of these ids that have waited longer than the join window, given the packed entry found for each
    id; the others go on waiting. An id that no longer waits is passed over, so a store may file an id by time and never
    take it out. The work is bounded by the ids given."""
    answers = JoinResult(partition, models)
    for id_, packed in dict(zip(ids, found, strict=True)).items():
        entry = unpack(packed) if packed is not None else Entry(None)
        over = [waiting for waiting in entry.waiting if waiting.outcome_ms < clock.window_starts_ms]
        if not over:
            continue
        for waiting in over:
            expire_outcome(id_, waiting, answers, clock.now_ms)
        left = Entry(entry.predicted, tuple(waiting for waiting in entry.waiting if waiting not in over))
        answers.entries[id_] = pack(left) if left != Entry(None) else None
    return answers


def record_and_reason(given_up: ExpiredOutcome, topic: str, partition: int) -> tuple[RestoredRecord, Reason]:
    """What the dead letter of an outcome is made of: the record as it was read from the outcomes' topic, and why."""
    kept = given_up.record
    headers = cast("Headers", list(kept.headers))  # what was read without a value goes out without one
    record = RestoredRecord(topic, partition, given_up.offset, kept.timestamp, kept.key, kept.value, headers)
    return record, unknown_id(given_up.id.decode())
