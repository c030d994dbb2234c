"""What the judge does by itself, on counts."""

from collections.abc import Mapping

import msgspec
import pytest

from stream_scorer.core.records.model_control import (
    FORMAT,
    AcceptanceTest,
    Canary,
    ControlAct,
    DeployedModels,
    EvidencePosition,
    ModelControl,
    ServedModel,
    decode_control,
    encode_control,
)
from stream_scorer.core.rollout.control import InForce, follow
from stream_scorer.core.rollout.evidence import EvidenceCounts, no_evidence
from stream_scorer.core.rollout.evidence_counter import pair_of
from stream_scorer.core.rollout.judge import WHO, AutomaticDecision, decide, decided_again, judged, record_of
from tests.core.rollout.test_rule import better_everywhere, evidence_of

AT = "2026-01-02T03:04:05.678Z"
CHAMPION, BETTER, OTHER, FORMER = (
    ServedModel(name=name, digest=digit * 64, threshold=0.4)
    for name, digit in (("champion", "a"), ("better", "b"), ("other", "c"), ("former", "d"))
)
CANARY = Canary(**msgspec.structs.asdict(BETTER), share=0.1, salt="0" * 32)
SHADOWS = DeployedModels(champion=CHAMPION, shadows=(OTHER, BETTER), previous=FORMER)


def shown_better() -> EvidenceCounts:
    return evidence_of(better_everywhere())


def shown_worse() -> EvidenceCounts:
    outcomes = better_everywhere()
    swapped = outcomes.reshape(*outcomes.shape[:-1], 2, 2, 2).swapaxes(-3, -2).reshape(outcomes.shape)
    return evidence_of(swapped)


def miscalibrated() -> EvidenceCounts:
    evidence = shown_better()
    outcomes = float(evidence.cells.sum())
    return evidence._replace(
        residual_sum=no_evidence().residual_sum + 0.1 * outcomes,
        residual_squares=no_evidence().residual_squares + 0.25 * outcomes,
    )


def covered_unevenly() -> EvidenceCounts:
    evidence = shown_better()
    scored = evidence.scored.copy()
    scored[1, 1] *= 9
    return evidence._replace(scored=scored)


def a_control(models: DeployedModels = SHADOWS, *, auto: bool = True) -> ModelControl:
    return ModelControl(
        format=FORMAT,
        environment="default",
        based_on=4,
        act=ControlAct.DEPLOY,
        models=models,
        test=AcceptanceTest(auto=auto),
        who="ann",
        at=AT,
    )


def decision_on(
    evidence: Mapping[ServedModel, EvidenceCounts], models: DeployedModels = SHADOWS, *, auto: bool = True
) -> AutomaticDecision | None:
    control = a_control(models, auto=auto)
    known = {pair_of(CHAMPION, model): counts for model, counts in evidence.items()}
    return decide(control, judged(control, lambda pair: known.get(pair, no_evidence())))


def test_a_better_candidate_is_promoted_and_the_right_to_decide_is_spent() -> None:
    found = decision_on({BETTER: shown_better()})
    assert found is not None
    assert (found.act, found.models.champion, found.models.previous) == (ControlAct.PROMOTE, BETTER, CHAMPION)
    assert found.models.shadows == (OTHER,)
    assert not found.test.auto
    assert msgspec.structs.replace(found.test, auto=True) == AcceptanceTest(auto=True)


def test_a_canary_that_is_promoted_is_champion_for_all_ids() -> None:
    found = decision_on({BETTER: shown_better()}, DeployedModels(champion=CHAMPION, canary=CANARY))
    assert found is not None
    assert found.models == DeployedModels(champion=BETTER, previous=CHAMPION)


def test_a_worse_candidate_is_withdrawn_and_the_judge_goes_on_with_the_others() -> None:
    found = decision_on({OTHER: shown_worse()})
    assert found is not None
    assert (found.act, found.models) == (
        ControlAct.WITHDRAW,
        DeployedModels(champion=CHAMPION, shadows=(BETTER,), previous=FORMER),
    )
    assert found.test.auto


def test_with_its_last_candidate_the_right_to_decide_goes() -> None:
    found = decision_on({BETTER: shown_worse()}, DeployedModels(champion=CHAMPION, canary=CANARY))
    assert found is not None
    assert found.models == DeployedModels(champion=CHAMPION)
    assert not found.test.auto


def test_whoever_is_worse_is_withdrawn_before_another_one_is_promoted() -> None:
    found = decision_on({OTHER: shown_worse(), BETTER: shown_better()})
    assert found is not None
    assert (found.act, found.candidate.pair.candidate) == (ControlAct.WITHDRAW, OTHER)


def test_of_two_that_are_better_the_larger_gain_is_promoted_and_a_canary_before_any_shadow() -> None:
    most = evidence_of(better_everywhere(finds_missed=800))
    found = decision_on({OTHER: shown_better(), BETTER: most})
    assert found is not None
    assert found.models.champion == BETTER
    found = decision_on(
        {OTHER: most, BETTER: shown_better()}, DeployedModels(champion=CHAMPION, canary=CANARY, shadows=(OTHER,))
    )
    assert found is not None
    assert found.models.champion == BETTER


@pytest.mark.parametrize(
    ("evidence", "auto"),
    [
        pytest.param({BETTER: shown_better(), OTHER: shown_worse()}, False, id="people-decide"),
        pytest.param({BETTER: miscalibrated()}, True, id="a-guard-holds"),
        pytest.param({BETTER: covered_unevenly()}, True, id="labels-depend-on-what-was-said"),
        pytest.param({}, True, id="no-outcomes"),
        pytest.param({FORMER: shown_better()}, True, id="the-former-champion-is-better"),
        pytest.param({FORMER: shown_worse()}, True, id="the-former-champion-is-worse"),
    ],
)
def test_nothing_is_done(evidence: dict[ServedModel, EvidenceCounts], auto: bool) -> None:
    assert decision_on(evidence, auto=auto) is None


def test_evidence_beside_another_champion_or_threshold_is_not_counted() -> None:
    other_cut = msgspec.structs.replace(BETTER, threshold=0.41)
    assert decision_on({other_cut: shown_better()}) is None


def test_the_former_champion_is_looked_at() -> None:
    known = {pair_of(CHAMPION, FORMER): shown_worse()}
    found = judged(a_control(), lambda pair: known.get(pair, no_evidence()))
    assert [(each.role, each.verdict.decision()) for each in found] == [
        ("shadow", "undecided"),
        ("shadow", "undecided"),
        ("previous", "withdraw"),
    ]


@pytest.mark.parametrize("evidence", [shown_better(), shown_worse()], ids=["promote", "withdraw"])
def test_a_decisions_record_counts_and_gives_the_same_verdict_again(evidence: EvidenceCounts) -> None:
    in_force = InForce(7, a_control())
    decision = decision_on({BETTER: evidence})
    assert decision is not None
    written = encode_control(record_of(in_force, decision, [EvidencePosition(0, 12), EvidencePosition(3, 4)], AT))
    found = decode_control(written)
    assert isinstance(found, ModelControl)
    assert follow("default", in_force, 8, written) == InForce(8, found)
    assert (found.who, found.based_on, found.act) == (WHO, 7, decision.act)
    assert f"{int(evidence.cells.sum()):,} outcomes" in found.why
    again = decided_again(found)
    assert again is not None
    assert again.decision() == decision.act.value
    assert found.evidence is not None
    assert {each.name: each.shown for each in found.evidence.conditions} == {
        each.name: bool(each.shown) for each in again.conditions
    }


def test_a_persons_record_holds_no_evidence() -> None:
    assert decided_again(a_control()) is None
    assert b"evidence" not in encode_control(a_control())
