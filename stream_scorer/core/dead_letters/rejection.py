"""A record that can't go on, and the dead letter made of it."""

from collections.abc import Sequence
from typing import NamedTuple

import stream_scorer
from stream_scorer.core.contract.reasons import Reason, Stage
from stream_scorer.core.records.dead_letter import dead_letter
from stream_scorer.core.records.dead_letter_reader import claimed_replays
from stream_scorer.core.records.record import ConsumedRecord, ProducerRecord, Truncation


class RejectedRecord(NamedTuple):
    """A record that becomes a dead letter. `truncation`: what was cut from it before, where it had to be carried
    along."""

    record: ConsumedRecord
    reasons: Sequence[Reason]
    stage: Stage
    truncation: Truncation | None = None


def to_dead_letter(one: RejectedRecord, topic: str, partition: int, now_ms: int, limit_bytes: int) -> ProducerRecord:
    """The dead letter of a record that was read from this topic and partition."""
    return dead_letter(
        one.record,
        one.reasons,
        one.stage,
        topic=topic,
        partition=partition,
        failed_at_ms=now_ms,
        version=stream_scorer.__version__,
        limit_bytes=limit_bytes,
        replays=claimed_replays(one.record.headers),
        truncation=one.truncation,
    )
