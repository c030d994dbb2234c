"""The model that the score step works with."""

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
