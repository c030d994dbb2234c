"""Which models served at which offset: what the switch records say, whatever else stands between them."""

from typing import Any

import pytest

from stream_scorer.core.records.model_control import Canary, DeployedModels, ServedModel
from stream_scorer.core.records.model_switch import FirstOffsets, ModelSwitch
from stream_scorer.core.records.prediction import ModelIdentity
from stream_scorer.core.rollout.assignment import canary_ids
from stream_scorer.core.rollout.serving_history import ServingHistory, expected_at

SALT = "0f" * 16


def models_of(digit: str, canary_share: float | None = None) -> DeployedModels:
    canary = (
        None
        if canary_share is None
        else Canary(name="new", digest="f" * 64, threshold=0.3, share=canary_share, salt=SALT)
    )
    return DeployedModels(champion=ServedModel(name="stops", digest=digit * 64, threshold=0.4), canary=canary)


def a_switch(first: int, models: DeployedModels, state: Any = "serving", partition: int = 0) -> ModelSwitch:
    return ModelSwitch(
        partition=partition,
        control_offset=None,
        state=state,
        first=FirstOffsets(first, 0),
        models=models,
        versions={},
        worker="w",
        at="2026-01-02T03:04:05.678Z",
    )


A, B, C = (models_of(digit) for digit in "abc")


@pytest.mark.parametrize(("offset", "expected"), [(9, None), (10, A), (19, A), (20, B), (1_000_000, B)], ids=str)
def test_a_switch_holds_from_its_offset_to_the_next_one(offset: int, expected: DeployedModels | None) -> None:
    assert ServingHistory([a_switch(10, A), a_switch(20, B)]).models_at(0, offset) == expected


@pytest.mark.parametrize("state", ["ready", "refused"])
def test_what_only_tells_of_loading_changes_nobody(state: str) -> None:
    assert ServingHistory([a_switch(0, A), a_switch(5, B, state)]).models_at(0, 9) == A


def test_a_suspended_model_is_gone_from_its_offset_on() -> None:
    history = ServingHistory([a_switch(0, models_of("a", 1.0)), a_switch(5, A, "suspended")])
    assert history.models_at(0, 5) == A


def test_of_two_switches_at_one_offset_the_later_one_holds() -> None:
    assert ServingHistory([a_switch(0, A), a_switch(5, B), a_switch(5, C)]).models_at(0, 5) == C


def test_partitions_switch_each_for_itself() -> None:
    history = ServingHistory([a_switch(0, A), a_switch(3, B, partition=1)])
    assert (history.models_at(0, 9), history.models_at(1, 9), history.models_at(2, 9)) == (A, B, None)


def test_the_canary_has_its_share_of_the_ids_and_the_champion_the_rest() -> None:
    history = ServingHistory([a_switch(0, models_of("a", 0.3))])
    ids = [b"%d" % number for number in range(200)]
    said = [expected_at(history, 0, 7, id_) for id_ in ids]
    canary = ModelIdentity(f"new@{'f' * 12}", "canary", 0.3)
    champion = ModelIdentity(f"stops@{'a' * 12}", "champion", 0.4)
    mine = canary_ids(bytes.fromhex(SALT), ids, 0.3).tolist()
    assert said == [canary if is_canary else champion for is_canary in mine]
    assert 0 < sum(mine) < len(ids)
