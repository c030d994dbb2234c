"""What stands on the topics of models in production, put together: who serves where, and what outcomes say.

Invariant: everything here comes from committed records; no worker is asked.
"""

from collections.abc import Sequence

import msgspec
import numpy as np

from stream_scorer.core.records.model_control import AcceptanceTest, ModelControl, ServedModel
from stream_scorer.core.records.timestamps import rfc3339
from stream_scorer.core.rollout.control import InForce, in_roles, judged_at_once
from stream_scorer.core.rollout.evidence import EvidenceCounts
from stream_scorer.core.rollout.evidence_counter import pair_of
from stream_scorer.core.rollout.progress import CandidateProgress, progress_of
from stream_scorer.core.rollout.rule import Decision, combine
from stream_scorer.operations.rollout.evidence_log import EvidenceLog, EvidencePoint
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
    """What outcomes say of a model beside the champion. `suspended_since`: since when a guard holds, RFC 3339; None
    where none does. `last_revisions`: what would follow if outcomes counted as their last revisions tell them; nobody
    decides by it."""

    model: str
    digest: str
    role: str
    champion: str
    progress: CandidateProgress
    last_revisions: Decision | None = None
    suspended_since: str | None = None


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
    champion, at_once = control.models.champion, judged_at_once(control.models)
    found = []
    for role, model, _ in in_roles(control.models)[1:]:
        pair = pair_of(champion, model)
        progress = progress_of(evidence.total(pair), champion.threshold, control.test, at_once)
        since_ms = None
        if progress.decision == "suspend":
            since_ms = suspended_since_ms(evidence.points(pair), champion.threshold, control.test)
        found.append(
            CandidateStatus(
                model=model.label,
                digest=model.digest,
                role=role,
                champion=champion.label,
                progress=progress,
                last_revisions=combine(
                    evidence.last_revisions(pair), champion.threshold, control.test, at_once
                ).decision(),
                suspended_since=None if since_ms is None else rfc3339(since_ms),
            )
        )
    return found


def suspended_since_ms(points: Sequence[EvidencePoint], threshold: float, test: AcceptanceTest) -> int | None:
    """Since which point a guard holds without a break, in ms since 1970; None where none holds at the last one."""
    if not points:
        return None
    stacked = EvidenceCounts(*map(np.stack, zip(*(point.counts for point in points), strict=True)))
    holds = combine(stacked, threshold, test).suspend
    before = np.flatnonzero(~holds)
    first = int(before[-1]) + 1 if len(before) else 0
    return points[first].at_ms if first < len(points) else None
