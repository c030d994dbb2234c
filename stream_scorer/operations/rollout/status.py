"""What stands on the topics of models in production, put together: who serves where, and what outcomes say.

Invariant: everything here comes from committed records; no worker is asked.
"""

import msgspec

from stream_scorer.core.records.model_control import DeployedModels, ModelControl, ServedModel
from stream_scorer.core.rollout.control import InForce
from stream_scorer.core.rollout.progress import CandidateProgress, progress_of
from stream_scorer.operations.rollout.evidence_log import EvidenceLog, Pair
from stream_scorer.operations.rollout.lane_switches import LaneRolloutStatus


class ModelInRole(msgspec.Struct, frozen=True, kw_only=True):
    """One model that should be loaded. `share`: of the ids whose predictions are its own; `loaded`: on how many lanes
    it is."""

    role: str
    name: str
    digest: str
    label: str
    threshold: float
    share: float
    loaded: int


class CandidateStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What outcomes say of a model beside the champion."""

    model: str
    digest: str
    role: str
    champion: str
    progress: CandidateProgress


class RolloutStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One environment. `control`: the record in force, None where no model was ever deployed. `passed_over`: records on
    these topics that none of ours wrote; `late`: acts that another one was quicker than."""

    environment: str
    control_offset: int | None
    control: ModelControl | None
    models: tuple[ModelInRole, ...]
    lanes: tuple[LaneRolloutStatus, ...]
    candidates: tuple[CandidateStatus, ...]
    passed_over: int
    late: int

    @property
    def lanes_serving(self) -> int:
        """How many lanes do what the control record in force says."""
        return sum(lane.state == "serving" for lane in self.lanes)


def status_of(
    environment: str,
    in_force: InForce | None,
    lanes: list[LaneRolloutStatus],
    evidence: EvidenceLog,
    *,
    passed_over: int,
    late: int,
) -> RolloutStatus:
    """What is known now."""
    control = None if in_force is None else in_force.control
    return RolloutStatus(
        environment=environment,
        control_offset=None if in_force is None else in_force.offset,
        control=control,
        models=() if control is None else tuple(_in_role(*each, lanes) for each in in_roles(control.models)),
        lanes=tuple(lanes),
        candidates=() if control is None else tuple(_candidates(control, evidence)),
        passed_over=passed_over,
        late=late,
    )


def in_roles(models: DeployedModels) -> list[tuple[str, ServedModel, float]]:
    """Every model with its role and its share of the ids."""
    share = 0.0 if models.canary is None else models.canary.share
    found: list[tuple[str, ServedModel, float]] = [("champion", models.champion, 1 - share)]
    if models.canary is not None:
        found.append(("canary", models.canary, share))
    found += [("shadow", shadow, 0.0) for shadow in models.shadows]
    if models.previous is not None:
        found.append(("previous", models.previous, 0.0))
    return found


def _in_role(role: str, model: ServedModel, share: float, lanes: list[LaneRolloutStatus]) -> ModelInRole:
    return ModelInRole(
        role=role,
        name=model.name,
        digest=model.digest,
        label=model.label,
        threshold=model.threshold,
        share=share,
        loaded=sum(lane.has_loaded(model.digest) for lane in lanes),
    )


def _candidates(control: ModelControl, evidence: EvidenceLog) -> list[CandidateStatus]:
    champion = control.models.champion
    found = []
    for role, model, _ in in_roles(control.models)[1:]:
        total = evidence.total(Pair(champion.digest, model.digest))
        found.append(
            CandidateStatus(
                model=model.label,
                digest=model.digest,
                role=role,
                champion=champion.label,
                progress=progress_of(total, champion.threshold, control.test, judged_at_once(control.models)),
            )
        )
    return found


def judged_at_once(models: DeployedModels) -> int:
    """How many candidates share the errors. The champion before is none: it is looked at, and not promoted."""
    return max(1, (models.canary is not None) + len(models.shadows))
