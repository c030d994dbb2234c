"""A batch of observation records on its way to predictions: sorted out before the model is asked, put together after it
has answered.

Invariant: every record ends in exactly one list: to be scored, a dead letter or a move.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

from stream_scorer.core.contract.batch_decoding import UNWATCHED
from stream_scorer.core.contract.observation_events import decode_observations, stage_of
from stream_scorer.core.contract.reasons import Stage
from stream_scorer.core.dead_letters.rejection import Rejected
from stream_scorer.core.records.record import Incoming, Outgoing
from stream_scorer.core.records.repartitioning import send_home


class Rows(NamedTuple):
    """The observations of a batch that passed the contract and lie where they belong: four lists of one length, in the
    order of offsets."""

    records: Sequence[Incoming]
    ids: Sequence[bytes]
    codes: Sequence[int]
    offsets: Sequence[int]

    def at(self, rows: Sequence[int]) -> "Rows":
        """Those at these places."""
        if len(rows) == len(self.ids):
            return self  # nearly every batch: nobody is left out, and places ascend
        records, ids, codes, offsets = self
        return Rows(
            [records[row] for row in rows],
            [ids[row] for row in rows],
            [codes[row] for row in rows],
            [offsets[row] for row in rows],
        )


class Sorted(NamedTuple):
    """A batch of records, sorted out. `moved`: by the partition where they belong, records to publish again."""

    rows: Rows
    rejected: list[Rejected]
    moved: dict[int, list[Outgoing]]


def sort_out(
    records: Sequence[Incoming],
    *,
    partition: int,
    partitions: int,
    event_bytes_max: int,
    second_look: AbstractContextManager[None] = UNWATCHED,
) -> Sorted:
    """Decode and validate a batch that was read from `partition`; set aside what breaks the contract and what lies on a
    wrong partition. `second_look` is entered while values that were refused are looked at again."""
    decoded = decode_observations([record.value for record in records], event_bytes_max, second_look)
    rejected = [Rejected(records[position], reasons, stage_of(reasons)) for position, reasons in decoded.rejected]
    good = records if not rejected else [records[position] for position in decoded.positions]
    rows = Rows(good, decoded.ids, decoded.codes, [record.offset for record in good])
    home = send_home(rows.ids, rows.records, partition=partition, partitions=partitions)
    rejected += [Rejected(rows.records[row], (reason,), Stage.DECODE) for row, reason in home.stuck]
    return Sorted(rows.at(home.stay), rejected, home.moved)
