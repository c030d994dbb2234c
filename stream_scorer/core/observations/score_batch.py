"""A validated batch of observations and what is known of their ids in; predictions, dead letters and entries out.

Invariant: every validated record ends in exactly one place of `ScoredBatch`: a prediction, a dead letter, a move, or
redelivered. An id is scored once within the join window.

Models are asked by the caller, who may do so in a thread or in another process: `score_batch` is a generator that
yields questions and is sent what the models made of them, so that nothing in here waits. The champion is asked about
everything that is new; the canary, where there is one, about what the champion could score, so that the champion's
answer is at hand where the canary fails.
"""

from collections.abc import Generator, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.contract.reasons import Code, Reason, Stage
from stream_scorer.core.dead_letters.rejection import RejectedRecord, to_dead_letter
from stream_scorer.core.observations.deduplication import (
    Arrivals,
    DeduplicationResult,
    deduplicate_observations,
    deduplicate_repeats,
)
from stream_scorer.core.observations.limits import Limits
from stream_scorer.core.observations.prediction_records import predict
from stream_scorer.core.observations.scoring import Probabilities, Scored
from stream_scorer.core.observations.speakers import (
    CanaryShare,
    Published,
    ScoredSample,
    ScoreRequest,
    in_order,
    said_by_champion,
    said_with_canary,
    samples_of,
    without_smoke_tests,
)
from stream_scorer.core.observations.validation import ValidatedBatch, ValidObservations
from stream_scorer.core.outcomes.batch_join import join_buffered
from stream_scorer.core.outcomes.join import JoinResult
from stream_scorer.core.records.clock import WindowClock
from stream_scorer.core.records.prediction import ModelIdentity
from stream_scorer.core.records.record import ProducerRecord, Publishable
from stream_scorer.core.records.timestamps import rfc3339
from stream_scorer.core.state.entry_columns import pack_predictions
from stream_scorer.core.state.model_ids import ModelIds

STAGE_OF_REFUSAL: Final = {
    Code.CONFLICT: Stage.CONFLICT,
    Code.SCORING_FAILED: Stage.SCORE,
    Code.INVALID_OUTPUT: Stage.OUTPUT,
}


class Decided(NamedTuple):
    """What the state and the model say of a batch's rows; every row stands in one place. `accepted`: ascending, with
    `probabilities` of the same length; `waiting`: those of them whose outcome came first; `refused`: row -> why;
    `redelivered`: how many are known already."""

    accepted: Sequence[int]
    probabilities: Probabilities
    waiting: Sequence[int] = ()
    refused: Mapping[int, Reason] = {}
    redelivered: int = 0


class ScoredBatch(NamedTuple):
    """What becomes of a batch. `predictions` and `dead_letters` in the order of offsets; `moves` by the partition where
    they belong; `entries` to keep once all is committed; `joined`: updates for outcomes that came first; `rejected`:
    what the dead letters are made of; `unscored`: ids that the model failed at; `timestamps_ms` of what was
    predicted; `samples`: by who predicted; `published`: for shadows, None where nothing was."""

    predictions: list[Publishable]
    dead_letters: list[ProducerRecord]
    moves: Mapping[int, Sequence[ProducerRecord]]
    entries: dict[bytes, bytes | None]
    joined: JoinResult | None
    samples: Sequence[tuple[ModelIdentity, ScoredSample]]
    rejected: Sequence[RejectedRecord]
    unscored: Sequence[bytes]
    redelivered: int
    timestamps_ms: Sequence[int]
    published: Published | None


Scoring = Generator[ScoreRequest, Scored | None, ScoredBatch]


def score_batch(
    batch: ValidatedBatch,
    found: Sequence[bytes | None],
    *,
    topic: str,
    partition: int,
    speaker: ModelIdentity,
    models: ModelIds,
    clock: WindowClock,
    limits: Limits,
    canary: CanaryShare | None = None,
) -> Scoring:
    """Score a batch that was read from `partition` of `topic`, given the packed entry `found` for each row's id (None:
    none). Yields what is to be scored, seldom more than once a model; `models` learns those that are new."""
    rows = batch.rows
    decided = yield from _decide(rows, found, clock, limits.repeats_are_conflicts)
    refused = [
        RejectedRecord(rows.records[row], (why,), STAGE_OF_REFUSAL[why.code]) for row, why in decided.refused.items()
    ]
    rejected = [*batch.rejected, *refused]
    accepted = rows.at(decided.accepted)
    timestamps_ms = [record.timestamp for record in accepted.records]
    entries: dict[bytes, bytes | None] = {}
    joined = published = None
    samples: list[tuple[ModelIdentity, ScoredSample]] = []
    said = said_by_champion(decided.probabilities, speaker)
    if accepted.ids:
        codes = np.array(accepted.codes, dtype=np.int64)
        number: int | NDArray[np.int64] = models.number(speaker.model, speaker.role)
        if canary is not None:
            said = yield from said_with_canary(accepted, codes, decided.probabilities, speaker, canary)
        published = Published(accepted, codes, decided.probabilities, said.canary, said.canaries)
        if canary is not None and said.canary is not None:
            number = np.where(said.canaries, models.number(canary.speaker.model, canary.speaker.role), number)
            samples += samples_of(accepted.ids, codes, said, canary.speaker, said.canaries)
            samples += samples_of(accepted.ids, codes, said, speaker, ~said.canaries)
        else:
            whole = ScoredSample(codes, said.decisions, said.probabilities)
            samples.append((speaker, without_smoke_tests(accepted.ids, whole)))
        packed = pack_predictions(
            codes,
            said.probabilities,
            said.decisions,
            number,
            accepted.offsets,
            clock.event_ms_each(np.array(timestamps_ms, dtype=np.int64)),
            clock.now_ms,
        )
        entries = dict(zip(accepted.ids, packed, strict=True))
        if decided.waiting:
            ids = [rows.ids[row] for row in decided.waiting]
            waited = [entry for row in decided.waiting if (entry := found[row]) is not None]
            scored = [entry for id_ in ids if (entry := entries[id_]) is not None]
            joined = join_buffered(ids, scored, waited, partition=partition, models=models)
            entries |= joined.entries
    encode = partial(
        predict,
        partition=partition,
        scored_at=rfc3339(clock.now_ms),
        with_observation=limits.include_observation,
        cloud_events_of=topic if limits.cloudevents else None,
    )
    if canary is None or said.canary is None:
        predictions = encode(accepted, said.probabilities.tolist(), speaker=speaker)
    else:
        predictions = in_order(encode, accepted, said, speaker, canary.speaker)
    return ScoredBatch(
        predictions=predictions,
        dead_letters=[
            to_dead_letter(one, topic, partition, clock.now_ms, limits.dead_letter_bytes_max)
            for one in sorted(rejected, key=lambda one: one.record.offset)
        ],
        moves=batch.moved,
        entries=entries,
        joined=joined,
        samples=samples,
        rejected=rejected,
        unscored=[rows.ids[row] for row, why in decided.refused.items() if why.code is not Code.CONFLICT],
        redelivered=decided.redelivered,
        timestamps_ms=timestamps_ms,
        published=published,
    )


def _decide(
    rows: ValidObservations, found: Sequence[bytes | None], clock: WindowClock, repeats_are_conflicts: bool
) -> Generator[ScoreRequest, Scored | None, Decided]:
    arrivals = Arrivals(rows.ids, rows.codes, rows.offsets)
    admission = deduplicate_observations(
        arrivals, found, window_starts_ms=clock.window_starts_ms, repeats_are_conflicts=repeats_are_conflicts
    )
    scored = yield from _ask(rows, admission)
    if len(admission.new) == len(rows.ids) and not scored.rejected:
        return Decided(admission.new, scored.probabilities, admission.waiting)  # nearly every batch
    accepted: dict[int, float] = {}
    refused: dict[int, Reason] = {}
    waiting: list[int] = []
    redelivered = 0
    while True:
        redelivered += len(admission.redelivered)
        refused.update(admission.conflicts)
        failed = {admission.new[place]: reason for place, reason in scored.rejected.items()}
        refused.update(failed)
        probabilities = zip(admission.new, scored.probabilities.tolist(), strict=True)
        accepted.update((row, probability) for row, probability in probabilities if row not in failed)
        waiting += [row for row in admission.waiting if row not in failed]
        if not admission.repeats:
            break
        # a repeat of one that failed is the first of its id in turn
        admission = deduplicate_repeats(arrivals, admission, failed, repeats_are_conflicts=repeats_are_conflicts)
        scored = yield from _ask(rows, admission)
    in_order = sorted(accepted)
    return Decided(
        in_order,
        np.array([accepted[row] for row in in_order], dtype=np.float64),
        sorted(waiting),
        dict(sorted(refused.items())),
        redelivered,
    )


def _ask(rows: ValidObservations, admission: DeduplicationResult) -> Generator[ScoreRequest, Scored | None, Scored]:
    """Have the new rows scored; the model is not asked about none."""
    if not admission.new:
        return Scored(np.empty(0), {})
    codes = rows.codes if len(admission.new) == len(rows.ids) else [rows.codes[row] for row in admission.new]
    answer = yield ScoreRequest(np.array(codes, dtype=np.int64))
    if answer is None:
        raise TypeError("the champion's answer is never left out")
    return answer
