"""What the state knows of one id, as look-ups answer it: prediction, outcome, and where they lie.

Invariant: it says what the entry says and nothing that was not committed.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from stream_scorer.core.records.decode import Name, Offset, TimeText
from stream_scorer.core.records.outcome_update import Revision
from stream_scorer.core.records.prediction import ObservationCode, Probability
from stream_scorer.core.records.record import Source, rfc3339
from stream_scorer.core.state.entry import OFFSET_UNKNOWN, BufferedOutcome, Entry, ScoredObservation
from stream_scorer.core.state.model_ids import ModelIds

Status = Literal["predicted", "joined", "awaiting_prediction", "unknown"]


class ScoredSource(msgspec.Struct, frozen=True):
    """Where the observation lies; `offset` None where only an outcome update tells of it."""

    partition: Annotated[int, Meta(ge=0)]
    offset: Offset | None


class KnownPrediction(msgspec.Struct, frozen=True):
    """The prediction of an id."""

    prediction: bool
    proba: Probability
    model: Name
    role: Name
    observation_code: ObservationCode
    source: ScoredSource
    scored_at: TimeText


class KnownOutcome(msgspec.Struct, frozen=True):
    """The outcome that is joined to the prediction."""

    true_class: bool
    correct: bool
    revision: Revision


class WaitingOutcome(msgspec.Struct, frozen=True):
    """An outcome that waits for its observation."""

    true_class: bool
    outcome_at: TimeText
    source: Source


class KnownStop(msgspec.Struct, frozen=True):
    """Everything that is known of an id now. `partition`: where its records belong. `unknown`: nothing is."""

    id: str
    status: Status
    partition: Annotated[int, Meta(ge=0)]
    prediction: KnownPrediction | None = None
    outcome: KnownOutcome | None = None
    waiting: tuple[WaitingOutcome, ...] = ()


def known_stop(id_: str, partition: int, entry: Entry | None, models: ModelIds) -> KnownStop:
    """What an entry says; `models` is the table that its numbers of models stand in."""
    if entry is None:
        return KnownStop(id_, "unknown", partition)
    waiting = tuple(_waiting(partition, outcome) for outcome in entry.waiting)
    predicted = entry.predicted
    if predicted is None:
        return KnownStop(id_, "awaiting_prediction" if waiting else "unknown", partition, waiting=waiting)
    outcome = _outcome(predicted)
    status: Status = "predicted" if outcome is None else "joined"
    return KnownStop(id_, status, partition, _prediction(partition, predicted, models), outcome, waiting)


def _prediction(partition: int, predicted: ScoredObservation, models: ModelIds) -> KnownPrediction:
    model, role = models[predicted.model]
    offset = None if predicted.offset == OFFSET_UNKNOWN else predicted.offset
    return KnownPrediction(
        prediction=predicted.prediction,
        proba=predicted.proba,
        model=model,
        role=role,
        observation_code=predicted.code,
        source=ScoredSource(partition, offset),
        scored_at=rfc3339(predicted.scored_ms),
    )


def _outcome(predicted: ScoredObservation) -> KnownOutcome | None:
    if predicted.true_class is None:
        return None
    return KnownOutcome(predicted.true_class, predicted.true_class is predicted.prediction, predicted.revision)


def _waiting(partition: int, outcome: BufferedOutcome) -> WaitingOutcome:
    return WaitingOutcome(outcome.true_class, rfc3339(outcome.outcome_ms), Source(partition, outcome.offset))
