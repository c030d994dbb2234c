"""Who serves: loaded models in their roles, as a lane's batch takes them along.

Invariant: a value that never changes. A switch gives a lane's next batch another one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from stream_scorer.core.observations.scoring import Predict
from stream_scorer.core.records.model_control import DeployedModels, ServedModel
from stream_scorer.core.records.prediction import ModelIdentity
from stream_scorer.core.rollout.control import without
from stream_scorer.models.registry.reference_distributions import ReferenceDistributions


def _nothing() -> None:
    return None


@dataclass(frozen=True, eq=False)
class ServingModel:
    """A model that can be asked. `label`: as predictions name it. `expensive`: it is asked in a thread, so that
    heartbeats go on. `trained_on`: what its traffic is held against, where its card says so. `ended`: why it can't be
    asked any more, None while it can; `close` lets go of it, `restart` starts its process again; both wait."""

    label: str
    digest: str
    predict: Predict
    expensive: bool
    trained_on: ReferenceDistributions | None = None
    ended: Callable[[], str | None] = _nothing
    close: Callable[[], None] = _nothing
    restart: Callable[[], None] = _nothing


@dataclass(frozen=True, eq=False)
class Champion:
    """The model that predicts, and how it names itself."""

    speaker: ModelIdentity
    loaded: ServingModel


@dataclass(frozen=True, eq=False)
class ServingModels:
    """The models that score a batch. `control_offset`: of the control record that asks for them, None where the
    settings do. `ids`: as switch records name them; `refused`: label -> why one that was asked for is not there."""

    control_offset: int | None
    ids: DeployedModels
    loaded: dict[str, ServingModel]
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def champion(self) -> Champion:
        champion = self.ids.champion
        return Champion(ModelIdentity(champion.label, "champion", champion.threshold), self.loaded[champion.digest])

    def without(self, digest: str) -> "ServingModels":
        """The same without a candidate."""
        return ServingModels(self.control_offset, without(self.ids, digest), self.loaded, self.refused)


def models_of(ids: DeployedModels) -> tuple[ServedModel, ...]:
    """All models of a control record, the champion first, then those that matter most; a digest once."""
    named = [ids.champion, *filter(None, (ids.canary, ids.previous)), *ids.shadows]
    return tuple({model.digest: model for model in reversed(named)}.values())[::-1]


def local_models(model: ServingModel, threshold: float) -> ServingModels:
    """The worker's own model, as champion alone."""
    name = model.label.rpartition("@")[0]
    ids = DeployedModels(champion=ServedModel(name=name, digest=model.digest, threshold=threshold))
    return ServingModels(None, ids, {model.digest: model})


def same_ids(one: DeployedModels, other: DeployedModels) -> bool:
    """Whether two say the same, whatever they were decoded of."""
    return msgspec.json.encode(one) == msgspec.json.encode(other)
