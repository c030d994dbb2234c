"""The input records of an audit: which rows they are and what the contract says of them."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.contract.observation_events import decode_observations
from stream_scorer.core.contract.outcome_events import decode_outcomes
from stream_scorer.core.contract.schema_frame import without_frames
from stream_scorer.core.records.partitioner import partitions_of
from stream_scorer.core.records.record import ConsumedRecord

Rows = NDArray[np.void]


class InputTopic(IntEnum):
    """Which input topic a record lies in, or speaks of."""

    OBSERVATIONS = 0
    OUTCOMES = 1


INPUT: Final = np.dtype(
    [
        ("partition", np.int32),
        ("offset", np.int64),
        ("timestamp", np.int64),
        ("id", np.int64),
        ("value", np.int64),
        ("code", np.int32),  # an observation's number, an outcome's class; BROKEN where the contract refuses it
        ("home", np.int32),  # the partition that its id belongs on; BROKEN likewise
    ]
)


BROKEN: Final = -1


# The audit asks whether a worker's word about a record is true, whatever limit that worker had.
EVENT_BYTES_ANY: Final = 1 << 40


def input_rows(side: InputTopic, partition: int, records: Sequence[ConsumedRecord], partitions: int) -> Rows:
    """One row for each record of an input partition, in their order."""
    values = [record.value for record in records]
    rows = np.empty(len(records), dtype=INPUT)
    rows["partition"] = partition
    rows["offset"] = [record.offset for record in records]
    rows["timestamp"] = [record.timestamp for record in records]
    rows["value"] = list(map(hash, values))
    rows["id"] = 0
    rows["code"] = BROKEN
    rows["home"] = BROKEN
    positions, ids, codes = _accepted(side, values)
    if positions:
        rows["id"][positions] = list(map(hash, ids))
        rows["code"][positions] = codes
        rows["home"][positions] = partitions_of(ids, partitions)
    return rows


def _accepted(side: InputTopic, values: Sequence[bytes | None]) -> tuple[Sequence[int], Sequence[bytes], Sequence[int]]:
    values = without_frames(values)  # whether they may have one is for the worker to say
    if side is InputTopic.OBSERVATIONS:
        observations = decode_observations(values, EVENT_BYTES_ANY)
        return observations.positions, observations.ids, observations.codes
    outcomes = decode_outcomes(values)
    return outcomes.positions, outcomes.ids, outcomes.classes
