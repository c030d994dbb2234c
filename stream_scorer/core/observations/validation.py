"""A batch of observation records on its way to predictions: sorted out before the model is asked, put together after it
has answered.

Law: every record ends in exactly one list: to be scored, a dead letter or a move.
"""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Final, NamedTuple

import numpy as np

from stream_scorer.core.contract.batch_decoding import UNWATCHED
from stream_scorer.core.contract.observation_events import decode_observations, stage_of
from stream_scorer.core.contract.reasons import Reason, Stage, too_large
from stream_scorer.core.records.dead_letter import Truncation, size_bytes
from stream_scorer.core.records.partitioner import partitions_of
from stream_scorer.core.records.prediction import Speaker, encode_predictions
from stream_scorer.core.records.record import NO_HEADERS, Headers, Incoming, Outgoing, Publishable, move, traced

# A moved record is a little larger than it was, and must still be below the megabyte that its topic takes
MOVED_BYTES_MAX: Final = 1_000_000


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


def cloud_event(topic: str, partition: int, offset: int, scored_at: str) -> Headers:
    """A prediction's CloudEvents attributes (version 1.0, Kafka binding, binary mode). The id is where its observation
    lies, so that the same observation always gives the same id."""
    return [
        ("ce_specversion", b"1.0"),
        ("ce_type", b"stream-scorer.prediction"),
        ("ce_source", f"/{topic}".encode()),
        ("ce_id", b"%d-%d" % (partition, offset)),
        ("ce_time", scored_at.encode()),
        ("content-type", b"application/json"),
    ]


class Home(NamedTuple):
    """Where records belong. `stay`: places of those that lie there already; `moved`: the others, to be published again,
    by the partition of their id; `stuck`: places of those that are too large to be moved, and why."""

    stay: Sequence[int]
    moved: dict[int, list[Outgoing]]
    stuck: list[tuple[int, Reason]]


def send_home(ids: Sequence[bytes], records: Sequence[Incoming], *, partition: int, partitions: int) -> Home:
    """Tell records that belong to the partition that they were read from from those that do not."""
    owners = partitions_of(ids, partitions)
    astray = np.flatnonzero(owners != partition).tolist()
    if not astray:
        return Home(range(len(ids)), {}, [])
    moved: defaultdict[int, list[Outgoing]] = defaultdict(list)
    stuck: list[tuple[int, Reason]] = []
    for row in astray:
        size = size_bytes(records[row])
        if size > MOVED_BYTES_MAX:
            stuck.append((row, too_large(size, MOVED_BYTES_MAX)))
        else:
            moved[int(owners[row])].append(move(records[row], partition, ids[row]))
    return Home(np.flatnonzero(owners == partition).tolist(), moved, stuck)


def predict(
    rows: Rows,
    probabilities: Sequence[float],
    *,
    partition: int,
    speaker: Speaker,
    scored_at: str,
    with_observation: bool,
    cloud_events_of: str | None = None,
) -> list[Publishable]:
    """Prediction records for rows that have a probability each, in the order of their offsets. `cloud_events_of`: the
    topic that they come of, where they are to carry CloudEvents headers."""
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
    headers = [traced(found) if (found := record.headers) else NO_HEADERS for record in rows.records]
    if cloud_events_of is not None:
        headers = [
            carried + cloud_event(cloud_events_of, partition, offset, scored_at)
            for carried, offset in zip(headers, rows.offsets, strict=True)
        ]
    return list(zip(rows.ids, values, times, headers, strict=True))
