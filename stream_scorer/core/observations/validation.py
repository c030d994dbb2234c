"""A batch of observation records on its way to predictions: sorted out before the model is asked, put together after it
has answered.

Invariant: every record ends in exactly one list: to be scored, a dead letter or a move.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

from stream_scorer.core.contract.batch_decoding import NO_TIMER
from stream_scorer.core.contract.observation_events import decode_observations, stage_of
from stream_scorer.core.contract.reasons import Stage
from stream_scorer.core.contract.schema_frame import without_frames
from stream_scorer.core.dead_letters.rejection import RejectedRecord
from stream_scorer.core.records.record import ConsumedRecord, ProducerRecord
from stream_scorer.core.records.repartitioning import repartition


class ValidObservations(NamedTuple):
    """The observations of a batch that passed the contract and lie where they belong: four lists of one length, in the
    order of offsets."""

    records: Sequence[ConsumedRecord]
    ids: Sequence[bytes]
    codes: Sequence[int]
    offsets: Sequence[int]

    def at(self, rows: Sequence[int]) -> "ValidObservations":
        """Those at these places."""
        if len(rows) == len(self.ids):
            return self  # nearly every batch: nobody is left out, and places ascend
        records, ids, codes, offsets = self
        return ValidObservations(
            [records[row] for row in rows],
            [ids[row] for row in rows],
            [codes[row] for row in rows],
            [offsets[row] for row in rows],
        )


class ValidatedBatch(NamedTuple):
    """A batch of records, sorted out. `moved`: by the partition where they belong, records to publish again."""

    rows: ValidObservations
    rejected: list[RejectedRecord]
    moved: dict[int, list[ProducerRecord]]


def validate_batch(
    records: Sequence[ConsumedRecord],
    *,
    partition: int,
    partitions: int,
    event_bytes_max: int,
    framed: bool = False,
    second_look: AbstractContextManager[None] = NO_TIMER,
) -> ValidatedBatch:
    """Decode and validate a batch that was read from `partition`; set aside what breaks the contract and what lies on a
    wrong partition. `framed`: values may begin with a schema registry's frame. `second_look` is entered while values
    that were refused are looked at again."""
    values: Sequence[bytes | None] = [record.value for record in records]
    decoded = decode_observations(without_frames(values) if framed else values, event_bytes_max, second_look)
    rejected = [RejectedRecord(records[position], reasons, stage_of(reasons)) for position, reasons in decoded.rejected]
    good = records if not rejected else [records[position] for position in decoded.positions]
    rows = ValidObservations(good, decoded.ids, decoded.codes, [record.offset for record in good])
    home = repartition(rows.ids, rows.records, partition=partition, partitions=partitions)
    rejected += [RejectedRecord(rows.records[row], (reason,), Stage.DECODE) for row, reason in home.stuck]
    return ValidatedBatch(rows.at(home.stay), rejected, home.moved)
