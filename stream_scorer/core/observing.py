"""A batch of observation records on its way to predictions: sorted out before the model is asked, put together after it has answered.

Law: every record ends in exactly one list: a prediction, a dead letter or a move.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.decoding import DecodedBatch, decode_observations, stage_of
from stream_scorer.core.partitioning import partitions_of
from stream_scorer.core.predictions import Speaker, encode_predictions
from stream_scorer.core.reasons import Code, Reason, Stage
from stream_scorer.core.records import Incoming, Outgoing, Publishable, move, traced

STAGE_OF_SCORING = {Code.SCORING_FAILED: Stage.SCORE, Code.INVALID_OUTPUT: Stage.OUTPUT}


class Rejected(NamedTuple):
    """A record that becomes a dead letter."""

    record: Incoming
    reasons: Sequence[Reason]
    stage: Stage


class Sorted(NamedTuple):
    """Of one batch: the rows to score, in the order of their offsets, and what leaves before the model is asked.

    `positions` say where in the batch a row's record stands; `positions`, `ids` (UTF-8) and `codes` have one length.
    """

    records: Sequence[Incoming]
    positions: list[int]
    ids: list[bytes]
    codes: list[int]
    rejected: list[Rejected]
    moved: dict[int, list[Outgoing]]


def sort_out(records: Sequence[Incoming], *, partition: int, partitions: int, event_bytes_max: int) -> Sorted:
    """Decode and validate a batch that was read from `partition`; set aside what breaks the contract and what lies on a wrong partition."""
    decoded = decode_observations([record.value for record in records], event_bytes_max)
    rejected = [Rejected(records[position], reasons, stage_of(reasons)) for position, reasons in decoded.rejected]
    owners = partitions_of(decoded.ids, partitions)
    astray = np.flatnonzero(owners != partition)
    if not len(astray):
        return Sorted(records, decoded.positions, decoded.ids, decoded.codes, rejected, {})
    return _without_astray(records, decoded, rejected, partition, owners, astray.tolist())


def _without_astray(
    records: Sequence[Incoming],
    decoded: DecodedBatch,
    rejected: list[Rejected],
    partition: int,
    owners: NDArray[np.int32],
    astray: list[int],
) -> Sorted:
    moved: defaultdict[int, list[Outgoing]] = defaultdict(list)
    for row in astray:
        moved[int(owners[row])].append(move(records[decoded.positions[row]], partition, decoded.ids[row]))
    gone = set(astray)
    stay = [row for row in range(len(decoded.ids)) if row not in gone]
    return Sorted(
        records,
        [decoded.positions[row] for row in stay],
        [decoded.ids[row] for row in stay],
        [decoded.codes[row] for row in stay],
        rejected,
        dict(moved),
    )


class Predicted(NamedTuple):
    """What the model's answer made of the rows: `records` to publish, and those that it could not answer for."""

    records: list[Publishable]
    rejected: list[Rejected]


def put_together(
    batch: Sorted,
    probabilities: NDArray[np.float64],
    failed: dict[int, Reason],
    *,
    partition: int,
    speaker: Speaker,
    scored_at: str,
    with_observation: bool,
) -> Predicted:
    """Predictions for the rows of a batch, in the order of their offsets. `probabilities`: shape (rows,); `failed`: row -> why it has none."""
    records, positions, ids, codes = batch.records, batch.positions, batch.ids, batch.codes
    rejected = []
    if failed:
        rejected = [
            Rejected(records[positions[row]], (reason,), STAGE_OF_SCORING[reason.code])
            for row, reason in failed.items()
        ]
        stay = [row for row in range(len(ids)) if row not in failed]
        positions, ids, codes = ([column[row] for row in stay] for column in (positions, ids, codes))
        probabilities = probabilities[stay]
    sources = records if len(positions) == len(records) else [records[position] for position in positions]
    values = encode_predictions(
        ids,
        codes,
        probabilities.tolist(),
        [source.offset for source in sources],
        partition=partition,
        speaker=speaker,
        scored_at=scored_at,
        with_observation=with_observation,
    )
    times = [source.timestamp for source in sources]
    headers = [traced(source.headers) for source in sources]
    return Predicted(list(zip(ids, values, times, headers, strict=True)), rejected)
