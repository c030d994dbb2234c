"""What one outcome is answered with, whatever is known of its id.

Invariant: every outcome ends in one terminal update (joined or unknown) or as a counted repeat.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.contract.columns import Observation
from stream_scorer.core.contract.observation_code import observation_columns
from stream_scorer.core.quality.counts import QualityCounts
from stream_scorer.core.records import outcome_update
from stream_scorer.core.records.clock import WindowClock
from stream_scorer.core.records.record import NO_HEADERS, BufferedRecord, Headers, ProducerRecord, Source, trace_headers
from stream_scorer.core.records.timestamps import rfc3339
from stream_scorer.core.state.entry import CODE_MASK, BufferedOutcome, Entry, ScoredObservation
from stream_scorer.core.state.entry_columns import Rows, int48_column
from stream_scorer.core.state.model_ids import ModelIds

# Outcomes of one id that wait together: only one that contradicts the one before it waits too, so more than two or
# three is a fault or an attack, and the oldest is then given up as unknown.
WAITING_MAX: Final = 16


class Outcome(NamedTuple):
    """One outcome: what happened, its event time, its offset in the outcomes' partition, and the headers that its
    updates carry on."""

    id: bytes
    true_class: bool
    outcome_ms: int
    offset: int
    headers: Headers = NO_HEADERS


class ExpiredOutcome(NamedTuple):
    """An outcome that becomes a dead letter because its observation did not come."""

    id: bytes
    offset: int
    record: BufferedRecord


class JoinResult:
    """What comes of a lane's outcomes: `updates` and `given_up` to publish in the batch's transaction, `entries` to
    keep once it has committed (None: none left). `repeats` and `awaiting` hold offsets of outcomes; `counted` and
    `retracted` are what quality figures gain and lose. `first_rows`, `first_ones`: outcomes that are their prediction's
    first, many at once or one by one; `corrected_ones`: those that contradict the one before; for `joined_outcomes`."""

    def __init__(self, partition: int, models: ModelIds) -> None:
        self.partition = partition
        self.models = models
        self.updates: list[ProducerRecord] = []
        self.given_up: list[ExpiredOutcome] = []
        self.entries: dict[bytes, bytes | None] = {}
        self.joined = self.corrections = 0
        self.repeats: list[int] = []
        self.awaiting: list[int] = []
        self.counted = QualityCounts()
        self.retracted = QualityCounts()
        self.first_rows: list[tuple[Rows, NDArray[np.bool_]]] = []
        self.first_ones: list[tuple[int, int, bool]] = []
        self.corrected_ones: list[tuple[int, int, bool]] = []


class JoinedOutcomes(NamedTuple):
    """Outcomes that were joined: the offset of the observation, its code, what happened, and whether that is the first
    revision; a later one says the opposite of the one before. All of shape (n,)."""

    offsets: NDArray[np.int64]
    codes: NDArray[np.int64]
    actual: NDArray[np.bool_]
    is_first: NDArray[np.bool_]

    def at(self, mask: NDArray[np.bool_]) -> "JoinedOutcomes":
        """Those where the mask is true."""
        return JoinedOutcomes(self.offsets[mask], self.codes[mask], self.actual[mask], self.is_first[mask])


def joined_outcomes(answers: Sequence[JoinResult]) -> JoinedOutcomes:
    """The joined outcomes among these answers. Worked out only for who asks: most lanes never do."""
    parts = [
        JoinedOutcomes(
            int48_column(rows, "offset"), rows["head"].astype(np.int64) & CODE_MASK, actual, np.ones_like(actual)
        )
        for each in answers
        for rows, actual in each.first_rows
    ]
    parts += [
        _joined_one_by_one([one for each in answers for one in each.first_ones], is_first=True),
        _joined_one_by_one([one for each in answers for one in each.corrected_ones], is_first=False),
    ]
    return JoinedOutcomes(*map(np.concatenate, zip(*parts, strict=True)))


def _joined_one_by_one(ones: Sequence[tuple[int, int, bool]], *, is_first: bool) -> JoinedOutcomes:
    offsets, codes, actual = np.array(ones, dtype=np.int64).reshape(-1, 3).T
    return JoinedOutcomes(offsets, codes, actual.astype(np.bool_), np.full(len(ones), is_first))


def apply_outcome(
    outcome: Outcome, entry: Entry, record: Callable[[], BufferedRecord], answers: JoinResult, clock: WindowClock
) -> Entry:
    """Answer one outcome, whatever its entry says; the entry afterwards."""
    predicted = entry.predicted
    if predicted is not None and predicted.scored_ms >= clock.window_starts_ms:
        if predicted.true_class == outcome.true_class:
            answers.repeats.append(outcome.offset)
            return entry
        return Entry(join(outcome, predicted, answers), entry.waiting)
    seen = any(waiting.offset == outcome.offset for waiting in entry.waiting)  # read twice, under at-least-once
    if seen or (entry.waiting and entry.waiting[-1].true_class == outcome.true_class):
        answers.repeats.append(outcome.offset)
        return entry
    waiting = BufferedOutcome(outcome.true_class, outcome.outcome_ms, outcome.offset, record())
    answers.awaiting.append(outcome.offset)
    update = outcome_update.AwaitingPrediction(
        id=outcome.id.decode(),
        true_class=outcome.true_class,
        outcome_at=rfc3339(outcome.outcome_ms),
        source=Source(answers.partition, outcome.offset),
        record=waiting.record,
    )
    answers.updates.append(
        ProducerRecord(outcome.id, outcome_update.encode_update(update), outcome.outcome_ms, outcome.headers)
    )
    if len(entry.waiting) < WAITING_MAX:
        return Entry(predicted, (*entry.waiting, waiting))
    expire_outcome(outcome.id, entry.waiting[0], answers, clock.now_ms)
    return Entry(predicted, (*entry.waiting[1:], waiting))


def join(outcome: Outcome, predicted: ScoredObservation, answers: JoinResult) -> ScoredObservation:
    """Join an outcome that is its prediction's first or contradicts the one before; the prediction afterwards."""
    model, role = answers.models[predicted.model]
    true_class = outcome.true_class
    update = outcome_update.Joined(
        id=outcome.id.decode(),
        revision=predicted.revision + 1,
        true_class=true_class,
        prediction=predicted.prediction,
        proba=predicted.proba,
        correct=predicted.prediction == true_class,
        model=model,
        role=role,
        observation=msgspec.convert(observation_columns(predicted.code), Observation),
        scored_at=rfc3339(predicted.scored_ms),
        outcome_at=rfc3339(outcome.outcome_ms),
        delay_s=(outcome.outcome_ms - predicted.event_ms) / 1000,
        source=Source(answers.partition, outcome.offset),
    )
    at_ms = max(outcome.outcome_ms, predicted.event_ms)
    answers.updates.append(ProducerRecord(outcome.id, outcome_update.encode_update(update), at_ms, outcome.headers))
    was = predicted.true_class
    if was is None:
        answers.joined += 1
        answers.first_ones.append((predicted.offset, predicted.code, true_class))
    else:
        answers.corrections += 1
        answers.corrected_ones.append((predicted.offset, predicted.code, true_class))
        answers.retracted[model, role].count_one(predicted.code, predicted.proba, predicted.prediction, was)
    answers.counted[model, role].count_one(predicted.code, predicted.proba, predicted.prediction, true_class)
    return msgspec.structs.replace(predicted, true_class=true_class, revision=update.revision)


def expire_outcome(id_: bytes, waiting: BufferedOutcome, answers: JoinResult, now_ms: int) -> None:
    """End an outcome whose observation did not come: its terminal update, and the dead letter made of its record."""
    update = outcome_update.Unknown(
        id=id_.decode(),
        true_class=waiting.true_class,
        outcome_at=rfc3339(waiting.outcome_ms),
        source=Source(answers.partition, waiting.offset),
    )
    answers.updates.append(
        ProducerRecord(id_, outcome_update.encode_update(update), now_ms, trace_headers(waiting.record.headers))
    )
    answers.given_up.append(ExpiredOutcome(id_, waiting.offset, waiting.record))
