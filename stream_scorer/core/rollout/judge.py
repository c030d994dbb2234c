"""What the judge makes of the lanes' evidence, and what it does about it where it may decide by itself.

Invariant: it depends on the record in force and on counts alone, so two judges with the same evidence decide the same;
a decision's record holds all that it takes to compute it again. While a guard holds, nobody decides.
"""

from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple

import numpy as np

from stream_scorer.core.quality.counts import GROUP_SIZES
from stream_scorer.core.records.model_control import (
    FORMAT,
    AcceptanceTest,
    ConditionVerdict,
    ControlAct,
    DecisionEvidence,
    DeployedModels,
    EvidencePosition,
    ModelControl,
)
from stream_scorer.core.records.model_evidence import CELLS
from stream_scorer.core.rollout.control import (
    InForce,
    Refusal,
    candidates_of,
    in_roles,
    judged_at_once,
    promoted,
    withdrawn,
    without_auto,
)
from stream_scorer.core.rollout.evidence import EvidenceCounts
from stream_scorer.core.rollout.evidence_counter import ModelPair, pair_of
from stream_scorer.core.rollout.rule import Verdict, combine

# Who the control records of the judge are by
WHO: Final = "judge"


class JudgedCandidate(NamedTuple):
    """A candidate, or the champion before, in its role: what all lanes have counted, and what that shows."""

    role: str
    pair: ModelPair
    evidence: EvidenceCounts
    verdict: Verdict


class AutomaticDecision(NamedTuple):
    """What the judge does by itself, to which candidate, and what is deployed then."""

    act: Literal[ControlAct.PROMOTE, ControlAct.WITHDRAW]
    candidate: JudgedCandidate
    models: DeployedModels
    test: AcceptanceTest


def judged(control: ModelControl, total: Callable[[ModelPair], EvidenceCounts]) -> tuple[JudgedCandidate, ...]:
    """Every model beside the champion. `total`: what all lanes have counted for a pair."""
    champion, at_once = control.models.champion, judged_at_once(control.models)
    found = []
    for role, model, _ in in_roles(control.models)[1:]:
        evidence = total(pair := pair_of(champion, model))
        found.append(
            JudgedCandidate(role, pair, evidence, combine(evidence, champion.threshold, control.test, at_once))
        )
    return tuple(found)


def decide(control: ModelControl, candidates: Sequence[JudgedCandidate]) -> AutomaticDecision | None:
    """What follows where the judge may decide by itself; None where nothing does. One act at a time: first whoever is
    withdrawn; of several who are shown to be better the canary, else the one with the largest gain. The champion
    before is never promoted or withdrawn, and a promotion spends the right to decide."""
    if not control.test.auto:
        return None
    allowed = [each for each in candidates if each.role != "previous"]
    for each in allowed:
        if each.verdict.decision() == "withdraw":
            models = withdrawn(control.models, each.pair.candidate.digest)
            if isinstance(models, Refusal):
                return None
            test = control.test if candidates_of(models) else without_auto(control.test)
            return AutomaticDecision(ControlAct.WITHDRAW, each, models, test)
    better = [each for each in allowed if each.verdict.decision() == "promote"]
    if not better:
        return None
    best = max(better, key=lambda each: (each.role == "canary", float(each.verdict.conditions[0].value)))
    models = promoted(control.models, best.pair.candidate.digest)
    if isinstance(models, Refusal):
        return None
    return AutomaticDecision(ControlAct.PROMOTE, best, models, without_auto(control.test))


def record_of(
    in_force: InForce, decision: AutomaticDecision, records: Sequence[EvidencePosition], at: str
) -> ModelControl:
    """The control record of a decision. `records`: where the evidence that was added up stands; `at`: RFC 3339."""
    evidence, verdict = decision.candidate.evidence, decision.candidate.verdict
    pair, before = decision.candidate.pair, in_force.control
    return ModelControl(
        format=FORMAT,
        environment=before.environment,
        based_on=in_force.offset,
        act=decision.act,
        models=decision.models,
        test=decision.test,
        who=WHO,
        at=at,
        why=reason_of(decision),
        evidence=DecisionEvidence(
            champion=pair.champion,
            candidate=pair.candidate,
            candidates=judged_at_once(before.models),
            records=tuple(records),
            outcomes=tuple(evidence.outcomes.reshape(-1).tolist()),
            recent=tuple(evidence.recent.tolist()),
            scored=tuple(evidence.scored.reshape(-1).tolist()),
            residual_sum=float(evidence.residual_sum),
            residual_squares=float(evidence.residual_squares),
            futile=bool(verdict.futile),
            conditions=tuple(
                ConditionVerdict(
                    name=each.name,
                    value=float(each.value),
                    shown=bool(each.shown),
                    opposed=bool(each.opposed),
                    judged=bool(each.judged),
                )
                for each in verdict.conditions
            ),
        ),
    )


def reason_of(decision: AutomaticDecision) -> str:
    """Why, in one line."""
    candidate, verdict = decision.candidate.pair.candidate.label, decision.candidate.verdict
    outcomes = f"{int(decision.candidate.evidence.cells.sum()):,} outcomes"
    if decision.act is ControlAct.PROMOTE:
        return f"{candidate}: every condition is shown by {outcomes}"
    opposed = ", ".join(each.name for each in verdict.conditions if each.opposed)
    return f"{candidate}: {f'the opposite of {opposed} is shown' if opposed else 'no gain is in sight'} by {outcomes}"


def decided_again(control: ModelControl) -> Verdict | None:
    """The verdict that a judge's control record was written by, computed from what stands in it; None for one that a
    person wrote."""
    said = control.evidence
    if said is None:
        return None
    return combine(evidence_decided_by(said), said.champion.threshold, control.test, said.candidates)


def evidence_decided_by(said: DecisionEvidence) -> EvidenceCounts:
    """The counts that a decision's record holds."""
    return EvidenceCounts(
        np.array(said.outcomes, dtype=np.int64).reshape(*GROUP_SIZES, CELLS),
        np.array(said.recent, dtype=np.int64),
        np.array(said.scored, dtype=np.int64).reshape(2, 2),
        np.array(said.residual_sum),
        np.array(said.residual_squares),
    )
