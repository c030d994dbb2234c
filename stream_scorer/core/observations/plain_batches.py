"""Small batches of several lanes, scored in one pass over all their rows, so that what a batch costs in itself is paid
once.

Invariant: what comes of a batch here is what `validate_batch` and `score_batch` make of it alone. A batch that is not
plain is left to them: one with a value that breaks the contract, an id that lies elsewhere, comes twice or is known
already, or with a canary.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate, chain, pairwise
from typing import NamedTuple

import numpy as np

from stream_scorer.core.contract.observation_events import decode_plain_observations
from stream_scorer.core.contract.schema_frame import without_frames
from stream_scorer.core.contract.smoke_test_ids import smoke_test_indices
from stream_scorer.core.observations.limits import Limits
from stream_scorer.core.observations.prediction_records import predict
from stream_scorer.core.observations.score_batch import ScoredBatch
from stream_scorer.core.observations.scoring import Codes, Probabilities
from stream_scorer.core.observations.speakers import Published, ScoredSample, without_smoke_tests
from stream_scorer.core.observations.validation import ValidObservations
from stream_scorer.core.records.clock import WindowClock
from stream_scorer.core.records.partitioner import partitions_of
from stream_scorer.core.records.prediction import ModelIdentity
from stream_scorer.core.records.record import ConsumedRecord
from stream_scorer.core.records.timestamps import rfc3339
from stream_scorer.core.state.entry_columns import pack_predictions


class PlainBatch(NamedTuple):
    """New observations of one lane, all of them in order. `model`: the champion's number in the lane's table."""

    partition: int
    rows: ValidObservations
    model: int


def validate_plain(
    batches: Sequence[tuple[int, Sequence[ConsumedRecord]]], limits: Limits
) -> list[ValidObservations | None]:
    """Decode the records of batches, each with the partition that it was read from; None for a batch that is not
    plain."""
    values: Sequence[bytes | None] = [record.value for _, records in batches for record in records]
    values = without_frames(values) if limits.schema_registry_frames else values
    decoded = decode_plain_observations(values, limits.event_bytes_max)
    bounds = [0, *accumulate(len(records) for _, records in batches)]
    home = np.repeat([partition for partition, _ in batches], np.diff(bounds))
    fine = np.zeros(len(values), dtype=np.bool_)
    fine[decoded.positions] = partitions_of(decoded.ids, limits.partitions) == home[decoded.positions]
    all_fine = bool(fine.all()) and len(set(decoded.ids)) == len(decoded.ids)
    found: list[ValidObservations | None] = []
    at = 0
    for (_, records), (begin, end) in zip(batches, pairwise(bounds), strict=True):
        if all_fine or fine[begin:end].all():
            ids, codes = decoded.ids[at : at + end - begin], decoded.codes[at : at + end - begin]
            plain = all_fine or len(set(ids)) == len(ids)
            offsets = [record.offset for record in records]
            found.append(ValidObservations(records, ids, codes, offsets) if plain else None)
            at += end - begin
        else:
            found.append(None)
            at += end - begin - sum(begin <= position < end for position, _ in decoded.rejected)
    return found


def codes_of_all(batches: Sequence[PlainBatch]) -> Codes:
    """What the champion is to be asked about."""
    return np.array([code for batch in batches for code in batch.rows.codes], dtype=np.int64)


def score_plain(
    batches: Sequence[PlainBatch],
    codes: Codes,
    probabilities: Probabilities,
    *,
    topic: str,
    speaker: ModelIdentity,
    clock: WindowClock,
    limits: Limits,
) -> Iterator[ScoredBatch]:
    """What becomes of each batch, given what the champion said of `codes_of_all`."""
    sizes = [len(batch.rows.ids) for batch in batches]
    rows = _joined([batch.rows for batch in batches])
    timestamps_ms = [record.timestamp for record in rows.records]
    decisions = probabilities >= speaker.threshold
    packed = pack_predictions(
        codes,
        probabilities,
        decisions,
        np.repeat([batch.model for batch in batches], sizes),
        rows.offsets,
        clock.event_ms_each(np.array(timestamps_ms, dtype=np.int64)),
        clock.now_ms,
    )
    predictions = predict(
        rows,
        probabilities.tolist(),
        partition=np.repeat([batch.partition for batch in batches], sizes).tolist(),
        speaker=speaker,
        scored_at=rfc3339(clock.now_ms),
        with_observation=limits.include_observation,
        cloud_events_of=topic if limits.cloudevents else None,
    )
    no_canaries = np.zeros(len(rows.ids), dtype=np.bool_)
    any_smoke = bool(smoke_test_indices(rows.ids))
    for batch, (begin, end) in zip(batches, pairwise(accumulate(sizes, initial=0)), strict=True):
        own = slice(begin, end)
        sample = ScoredSample(codes[own], decisions[own], probabilities[own])
        yield ScoredBatch(
            predictions=predictions[own],
            dead_letters=[],
            moves={},
            entries=dict(zip(batch.rows.ids, packed[own], strict=True)),
            joined=None,
            samples=[(speaker, without_smoke_tests(batch.rows.ids, sample) if any_smoke else sample)],
            rejected=(),
            unscored=(),
            redelivered=0,
            timestamps_ms=timestamps_ms[own],
            published=Published(batch.rows, codes[own], probabilities[own], None, no_canaries[own]),
        )


def _joined(parts: Sequence[ValidObservations]) -> ValidObservations:
    """All rows, one batch behind the other."""
    records, ids, codes, offsets = (list(chain.from_iterable(column)) for column in zip(*parts, strict=True))
    return ValidObservations(records, ids, codes, offsets)
