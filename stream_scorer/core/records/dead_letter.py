"""Dead letters: a record that could not go on, byte for byte, with its reasons in headers of ours behind its own.

Invariant: the original value, key and headers are untouched unless the record is so large that it would block its
partition; then the letter says so.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

import msgspec

from stream_scorer.core.contract.quarantined_batch import QuarantinedBatch
from stream_scorer.core.contract.reasons import Reason, Stage, cut
from stream_scorer.core.records.dead_letter_headers import LetterHeaders, LetterSource, encode_headers
from stream_scorer.core.records.record import ConsumedRecord, ProducerRecord, Truncation, size_bytes
from stream_scorer.core.records.timestamps import kept_timestamp_ms

KEPT_OF_TOO_LARGE_BYTES: Final = 64 * 1024
ERRORS_BYTES_MAX: Final = 16 * 1024 - 1
# A message that is cut to make room for others keeps so much, up to 600 bytes
MESSAGE_CHARACTERS_MIN: Final = 100
# `,"details":{"reasons_left_out":…}` and the array's brackets
LEFT_OUT_BYTES_MAX: Final = 64

_encode = msgspec.json.Encoder().encode


def dead_letter(
    record: ConsumedRecord,
    reasons: Sequence[Reason],
    stage: Stage,
    *,
    topic: str,
    partition: int,
    failed_at_ms: int,
    version: str,
    limit_bytes: int,
    replays: int = 0,
    truncation: Truncation | None = None,
) -> ProducerRecord:
    """The record that was read from `topic` and `partition` as a dead letter. One whose value, key and headers come to
    more than `limit_bytes` keeps the first 64 KiB of its value; of a record that was cut before, `truncation` says
    what."""
    key, value, headers = record.key, record.value, list(record.headers)
    size = size_bytes(record)
    batch = record.value.summary if isinstance(record.value, QuarantinedBatch) else None
    if size > limit_bytes:
        whole = value or b""
        headers_bytes = size - len(whole) - len(key or b"")
        truncation = truncation or Truncation(
            len(whole), hashlib.sha256(whole).hexdigest(), len(key or b""), headers_bytes
        )
        value = whole[:KEPT_OF_TOO_LARGE_BYTES]
        key = key[:KEPT_OF_TOO_LARGE_BYTES] if key else key
        headers = headers if headers_bytes <= KEPT_OF_TOO_LARGE_BYTES else []
    said = LetterHeaders(
        reasons=tuple(reasons),
        stage=stage,
        source=LetterSource(topic, partition, record.offset, kept_timestamp_ms(record.timestamp)),
        failed_ms=failed_at_ms,
        version=version,
        replays=replays,
        truncation=truncation,
        batch=batch,
    )
    # its own time: that of its record may lie so far back that retention would take the letter at once
    return ProducerRecord(key, value, failed_at_ms, headers + encode_headers(said, encode_reasons(reasons), headers))


def encode_reasons(reasons: Sequence[Reason]) -> bytes:
    """The reasons as a JSON array of less than 16 KiB: where they are more, the longest messages are cut, so far as it
    takes. Where even short ones are too much, the last reasons give way and a count stands in the last one kept."""
    encoded = _encode(reasons)
    if len(encoded) <= ERRORS_BYTES_MAX:
        return encoded
    kept = _as_many_as_fit(reasons)
    # of all lengths that fit the longest: a few looks, of which each writes what was kept and no more
    most = bisect_left(
        range(MESSAGE_CHARACTERS_MIN + 1, ERRORS_BYTES_MAX),
        True,
        key=lambda characters: len(_encode(_cut(kept, characters))) > ERRORS_BYTES_MAX,
    )
    return _encode(_cut(kept, MESSAGE_CHARACTERS_MIN + most))


def _as_many_as_fit(reasons: Sequence[Reason]) -> list[Reason]:
    """The first reasons, so many that they fit with short messages; the last one says how many more there were."""
    kept: list[Reason] = []
    room = ERRORS_BYTES_MAX - LEFT_OUT_BYTES_MAX
    for reason in reasons:
        room -= len(_encode(_cut([reason], MESSAGE_CHARACTERS_MIN)))
        if room < 0:
            break
        kept.append(reason)
    if not kept:  # details of ours are small: this is the last wall
        kept = [msgspec.structs.replace(reasons[0], details=None)]
    if (left_out := len(reasons) - len(kept)) > 0:
        details = {**(kept[-1].details or {}), "reasons_left_out": left_out}
        kept[-1] = msgspec.structs.replace(kept[-1], details=details)
    return kept


def _cut(reasons: Sequence[Reason], characters_max: int) -> list[Reason]:
    return [msgspec.structs.replace(reason, message=cut(reason.message, characters_max)) for reason in reasons]
