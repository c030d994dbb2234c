"""The model and the limits that the score step works with."""

from dataclasses import dataclass

from stream_scorer.core.observations.scoring import Predict
from stream_scorer.core.records.prediction import ModelIdentity
from stream_scorer.models.registry.reference_distributions import ReferenceDistributions


@dataclass(frozen=True)
class ServedModel:
    """The model as the worker needs it. `expensive`: it is asked in a thread of its own, so that heartbeats go on.
    `trained_on`: what its traffic is held against, where its card says so."""

    speaker: ModelIdentity
    predict: Predict
    expensive: bool
    trained_on: ReferenceDistributions | None = None


@dataclass(frozen=True)
class Limits:
    """What the worker's settings say about records."""

    partitions: int
    event_bytes_max: int
    dead_letter_bytes_max: int
    include_observation: bool
    cloudevents: bool
    repeats_are_conflicts: bool
    join_window_ms: int
