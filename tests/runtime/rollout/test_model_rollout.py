"""What a worker offers its lanes of what a control record asks for: who is loaded, who is not, and why."""

from collections.abc import Sequence
from typing import Any

import pytest

from stream_scorer.core.records.model_control import (
    AcceptanceTest,
    Canary,
    ControlAct,
    DeployedModels,
    ModelControl,
    ServedModel,
)
from stream_scorer.core.records.model_switch import FirstOffsets, ModelSwitch
from stream_scorer.core.rollout.control import InForce
from stream_scorer.errors import ModelError, RolloutError
from stream_scorer.runtime.rollout.evidence_topic import EvidenceTopic
from stream_scorer.runtime.rollout.model_rollout import ModelRollout
from stream_scorer.runtime.rollout.serving_models import ServingModel, ServingModels
from tests.support.models import a_served_model, champion_alone, says

CHAMPION, PREVIOUS, SHADOW = a_served_model("a"), a_served_model("b"), a_served_model("c")
CANARY = Canary(name="trees", digest="d" * 64, threshold=0.5, share=0.1, salt="0" * 32)
ALL = DeployedModels(champion=CHAMPION, canary=CANARY, shadows=(SHADOW,), previous=PREVIOUS)


class FakeControl:
    """A control topic of records that count, one after the other."""

    def __init__(self, *models: DeployedModels) -> None:
        self.records = [
            InForce(
                offset,
                ModelControl(
                    format=1,
                    environment="default",
                    based_on=None,
                    act=ControlAct.DEPLOY,
                    models=ids,
                    test=AcceptanceTest(),
                    who="ann",
                    at="2026-01-02T03:04:05.678Z",
                ),
            )
            for offset, ids in enumerate(models)
        ]
        self.in_force = self.records.pop(0) if self.records else None
        self.position = 0 if self.in_force is None else 1

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    async def end(self) -> int:
        return self.position + len(self.records)

    def step(self) -> InForce:
        self.in_force = found = self.records.pop(0)
        self.position += 1
        return found


class FakeSwitches:
    """A topic of switches with one record, or none."""

    topic = "switches"

    def __init__(self, last: ModelSwitch | None = None) -> None:
        self._last = last

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    async def last(self, partition: int) -> ModelSwitch | None:
        return self._last


class FakeStore:
    """Loads what it is asked for but for some digests, and notes it."""

    def __init__(self, missing: Sequence[ServedModel] = ()) -> None:
        self.missing = {model.digest for model in missing}
        self.asked: list[str] = []

    async def load(self, wanted: ServedModel) -> ServingModel:
        self.asked.append(wanted.label)
        if wanted.digest in self.missing:
            raise ModelError("not uploaded.")
        return ServingModel(wanted.label, wanted.digest, says(0.5), expensive=False)


def a_rollout(
    control: FakeControl,
    store: FakeStore,
    *,
    last: ModelSwitch | None = None,
    loaded_max: int = 8,
    canaries: bool = True,
) -> ModelRollout:
    fakes: Any = (control, FakeSwitches(last), EvidenceTopic({}, "evidence"), store, None)
    return ModelRollout(
        *fakes,
        load_own=lambda: champion_alone(says(0.5), PREVIOUS),
        has_own=True,
        loaded_max=loaded_max,
        canaries_allowed=canaries,
    )


async def started(rollout: ModelRollout) -> ServingModels:
    await rollout.start()
    assert rollout.current is not None
    return rollout.current


async def test_without_a_control_record_the_own_model_serves_and_nothing_is_fetched() -> None:
    store = FakeStore()
    current = await started(a_rollout(FakeControl(), store))
    assert (current.control_offset, current.ids, store.asked) == (None, DeployedModels(champion=PREVIOUS), [])


async def test_everything_that_a_control_record_names_is_loaded_each_once() -> None:
    store = FakeStore()
    current = await started(a_rollout(FakeControl(ALL), store))
    assert (current.control_offset, current.ids, current.refused) == (0, ALL, {})
    assert store.asked == [CHAMPION.label, CANARY.label, PREVIOUS.label, SHADOW.label]


async def test_what_is_loaded_already_is_not_loaded_again_the_own_model_included() -> None:
    control, store = FakeControl(), FakeStore()
    asked = FakeControl(DeployedModels(champion=CHAMPION, previous=PREVIOUS)).in_force
    assert asked is not None
    control.records = [asked]
    rollout = a_rollout(control, store)
    await rollout.start()
    await rollout._adopt(control.step())
    assert store.asked == [CHAMPION.label]


async def test_more_models_than_may_be_loaded_are_refused_the_shadows_first() -> None:
    current = await started(a_rollout(FakeControl(ALL), FakeStore(), loaded_max=3))
    assert list(current.refused) == [SHADOW.label]
    assert "models.loaded_max = 3" in current.refused[SHADOW.label]
    assert current.ids == DeployedModels(champion=CHAMPION, canary=CANARY, previous=PREVIOUS)


async def test_at_least_once_no_canary_is_loaded() -> None:
    store = FakeStore()
    current = await started(a_rollout(FakeControl(ALL), store, canaries=False))
    assert list(current.refused) == [CANARY.label]
    assert current.ids.canary is None
    assert CANARY.label not in store.asked


async def test_a_champion_that_can_not_be_loaded_is_no_offer_and_the_one_before_stays_one() -> None:
    control = FakeControl(DeployedModels(champion=CHAMPION), DeployedModels(champion=SHADOW, previous=CHAMPION))
    rollout = a_rollout(control, FakeStore(missing=[SHADOW]))
    before = await started(rollout)
    await rollout._adopt(control.step())
    assert rollout.current is before
    assert rollout.refused is not None
    assert SHADOW.label in str(rollout.refused.error)
    assert rollout.refused.error.exit_status == 3


def served_at(offset: int) -> ModelSwitch:
    return ModelSwitch(
        partition=0,
        control_offset=offset,
        state="serving",
        first=FirstOffsets(0, 0),
        models=DeployedModels(champion=CHAMPION),
        versions={},
        worker="w",
        at="2026-01-02T03:04:05.678Z",
    )


async def test_a_lane_that_was_served_by_what_is_in_force_opens() -> None:
    last = served_at(0)
    rollout = a_rollout(FakeControl(ALL), FakeStore(), last=last)
    await rollout.start()
    assert await rollout.last_switch(0) is last


@pytest.mark.parametrize("models", [[], [ALL]], ids=["an empty topic", "a shorter topic"])
async def test_a_lane_whose_control_record_is_gone_is_refused(models: list[DeployedModels]) -> None:
    rollout = a_rollout(FakeControl(*models), FakeStore(), last=served_at(7))
    await rollout.start()
    with pytest.raises(RolloutError, match="deleted, cut or restored"):
        await rollout.last_switch(0)
