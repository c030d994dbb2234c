"""Records found on another partition than their id's, published again on the right one."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from stream_scorer.core.contract.reasons import Reason, too_large
from stream_scorer.core.records.partitioner import partitions_of
from stream_scorer.core.records.record import (
    MOVED_FROM,
    ConsumedRecord,
    ProducerRecord,
    size_bytes,
)

# A moved record is a little larger than it was, and must still be below the megabyte that its topic takes
MOVED_BYTES_MAX: Final = 1_000_000


class RepartitionResult(NamedTuple):
    """Where records belong. `stay`: indices of those on their partition; `moved`: the others, to be published again,
    by the partition of their id; `stuck`: indices of those that are too large to be moved, and why."""

    stay: Sequence[int]
    moved: dict[int, list[ProducerRecord]]
    stuck: list[tuple[int, Reason]]


def repartition(
    ids: Sequence[bytes], records: Sequence[ConsumedRecord], *, partition: int, partitions: int
) -> RepartitionResult:
    """Tell records that belong to the partition that they were read from from those that do not."""
    owners = partitions_of(ids, partitions)
    astray = np.flatnonzero(owners != partition).tolist()
    if not astray:
        return RepartitionResult(range(len(ids)), {}, [])
    moved: defaultdict[int, list[ProducerRecord]] = defaultdict(list)
    stuck: list[tuple[int, Reason]] = []
    for row in astray:
        size = size_bytes(records[row])
        if size > MOVED_BYTES_MAX:
            stuck.append((row, too_large(size, MOVED_BYTES_MAX)))
        else:
            moved[int(owners[row])].append(move(records[row], partition, ids[row]))
    return RepartitionResult(np.flatnonzero(owners == partition).tolist(), moved, stuck)


def move(record: ConsumedRecord, partition: int, key: bytes) -> ProducerRecord:
    """The record again, for the partition of its id, keyed by its id; says in a header that it was found on
    `partition`, and where there."""
    source = b'{"partition":%d,"offset":%d}' % (partition, record.offset)
    return ProducerRecord(key, record.value, record.timestamp, [*record.headers, (MOVED_FROM, source)])
