"""A batch of observation records on its way to predictions: sorted out before the model is asked, put together after it
has answered.

Law: every record ends in exactly one list: to be scored, a dead letter or a move.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from stream_scorer.core.dead_letters import Truncation
from stream_scorer.core.decoding import decode_observations, stage_of
from stream_scorer.core.partitioning import partitions_of
from stream_scorer.core.predictions import Speaker, encode_predictions
from stream_scorer.core.reasons import Reason, Stage
from stream_scorer.core.records import Incoming, Outgoing, Publishable, move, traced


class Rejected(NamedTuple):
    """A record that becomes a dead letter. `truncation`: what was cut from it before, where it had to be carried
    along."""

    record: Incoming
    reasons: Sequence[Reason]
    stage: Stage
    truncation: Truncation | None = None


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


def sort_out(records: Sequence[Incoming], *, partition: int, partitions: int, event_bytes_max: int) -> Sorted:
    """Decode and validate a batch that was read from `partition`; set aside what breaks the contract and what lies on a
    wrong partition."""
    decoded = decode_observations([record.value for record in records], event_bytes_max)
    rejected = [Rejected(records[position], reasons, stage_of(reasons)) for position, reasons in decoded.rejected]
    good = records if not rejected else [records[position] for position in decoded.positions]
    rows = Rows(good, decoded.ids, decoded.codes, [record.offset for record in good])
    stay, moved = send_home(rows.ids, rows.records, partition=partition, partitions=partitions)
    return Sorted(rows.at(stay), rejected, moved)


def send_home(
    ids: Sequence[bytes], records: Sequence[Incoming], *, partition: int, partitions: int
) -> tuple[Sequence[int], dict[int, list[Outgoing]]]:
    """Which of the records belong to the partition that they were read from, by their places; the others, to be
    published again on the partition of their id, by that partition."""
    owners = partitions_of(ids, partitions)
    astray = np.flatnonzero(owners != partition).tolist()
    moved: defaultdict[int, list[Outgoing]] = defaultdict(list)
    if not astray:
        return range(len(ids)), moved
    for row in astray:
        moved[int(owners[row])].append(move(records[row], partition, ids[row]))
    return np.flatnonzero(owners == partition).tolist(), moved


def predict(
    rows: Rows,
    probabilities: Sequence[float],
    *,
    partition: int,
    speaker: Speaker,
    scored_at: str,
    with_observation: bool,
) -> list[Publishable]:
    """Prediction records for rows that have a probability each, in the order of their offsets."""
    values = encode_predictions(
        rows.ids,
        rows.codes,
        probabilities,
        rows.offsets,
        partition=partition,
        speaker=speaker,
        scored_at=scored_at,
        with_observation=with_observation,
    )
    times = [record.timestamp for record in rows.records]
    headers = [traced(record.headers) for record in rows.records]
    return list(zip(rows.ids, values, times, headers, strict=True))
