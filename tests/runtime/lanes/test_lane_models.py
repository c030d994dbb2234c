"""What a lane tells its topic of switches: once, with the first batch, and never going back."""

from typing import Any

import pytest

from stream_scorer.core.records.model_control import AcceptanceTest, Canary, ControlAct, DeployedModels, ModelControl
from stream_scorer.core.records.model_switch import FirstOffsets, ModelSwitch, decode_switch
from stream_scorer.core.records.record import ProducerRecord
from stream_scorer.core.rollout.control import InForce
from stream_scorer.runtime.lanes.batch import Suspension
from stream_scorer.runtime.lanes.lane_models import LaneModels
from stream_scorer.runtime.rollout.model_rollout import RefusedChampion
from stream_scorer.runtime.rollout.serving_models import ServingModel, ServingModels, models_of
from tests.support.models import a_served_model, says

CHAMPION = a_served_model("a")
CANARY = Canary(name="trees", digest="b" * 64, threshold=0.5, share=0.1, salt="0" * 32)
FIRST = FirstOffsets(10, 20)


class FakeRollout:
    """What a lane asks of its worker's roll-out."""

    switches_topic = "switches"
    refused: RefusedChampion | None = None

    def __init__(self, last: ModelSwitch | None = None) -> None:
        self.last, self.current = last, offered(0)

    async def last_switch(self, partition: int) -> ModelSwitch | None:
        return self.last


def offered(control_offset: int | None, ids: DeployedModels | None = None, **refused: str) -> ServingModels:
    asked = ids or DeployedModels(champion=CHAMPION)
    loaded = {model.digest: ServingModel(model.label, model.digest, says(0.5), False) for model in models_of(asked)}
    return ServingModels(control_offset, asked, loaded, refused)


async def opened(last: ModelSwitch | None = None, current: ServingModels | None = None) -> tuple[LaneModels, Any]:
    rollout: Any = FakeRollout(last)
    rollout.current = current or rollout.current
    models = LaneModels(3, rollout, "w")
    await models.open()
    return models, rollout


def read(records: list[ProducerRecord]) -> list[ModelSwitch]:
    switches = [decode_switch(record.value) for record in records]
    assert all(record.key == b"3" for record in records)
    return [switch for switch in switches if switch is not None]


def told(models: LaneModels, *suspensions: Suspension) -> list[ModelSwitch]:
    """What goes with the next batch."""
    return read(models.switched(models.serving(), FIRST, suspensions, 1_000))


async def test_the_very_first_batch_says_who_serves_and_the_next_one_nothing() -> None:
    models, _ = await opened()
    (switch,) = told(models)
    assert (switch.state, switch.control_offset, switch.first, switch.partition) == ("serving", 0, FIRST, 3)
    assert told(models) == []


async def test_a_new_owner_of_the_same_models_says_nothing() -> None:
    (last,) = told((await opened())[0])
    assert told((await opened(last))[0]) == []


async def test_another_control_record_is_a_switch_even_with_the_same_models() -> None:
    models, rollout = await opened()
    told(models)
    rollout.current = offered(7)
    assert [switch.control_offset for switch in told(models)] == [7]


async def test_an_idle_lane_is_ready_once_and_serves_with_its_next_batch() -> None:
    models, rollout = await opened()
    told(models)
    assert models.ready(FIRST, 1_000) == []
    rollout.current = offered(7)
    assert [switch.state for switch in read(models.ready(FIRST, 1_000))] == ["ready"]
    assert models.ready(FIRST, 1_000) == []
    assert [switch.state for switch in told(models)] == ["serving"]


async def test_a_lane_that_no_control_record_serves_is_never_ready() -> None:
    models, _ = await opened(current=offered(None))
    assert models.ready(FIRST, 1_000) == []
    assert [switch.control_offset for switch in told(models)] == [None]


async def test_a_candidate_that_can_not_be_loaded_is_named_before_the_switch() -> None:
    models, _ = await opened(current=offered(5, trees="no memory"))
    refused, serving = told(models)
    assert (refused.state, refused.model, refused.reason) == ("refused", "trees", "no memory")
    assert serving.state == "serving"


async def test_an_idle_lane_names_a_refused_candidate_once() -> None:
    models, _ = await opened(current=offered(5, trees="no memory"))
    assert [switch.state for switch in read(models.ready(FIRST, 1_000))] == ["refused", "ready"]
    assert [switch.state for switch in told(models)] == ["serving"]


async def test_what_was_suspended_stays_so_for_this_control_record_under_a_new_owner_too() -> None:
    with_canary = offered(5, DeployedModels(champion=CHAMPION, canary=CANARY))
    models, _ = await opened(current=with_canary)
    switches = told(models, Suspension(CANARY.digest, CANARY.label, "it raised"))
    assert [switch.state for switch in switches] == ["serving", "suspended"]
    assert switches[0].models.canary is not None
    assert switches[1].models.canary is None
    assert switches[1].model == CANARY.label
    assert models.serving().ids.canary is None
    assert told(models) == []
    heir, rollout = await opened(switches[-1], with_canary)
    assert heir.serving().ids.canary is None
    assert told(heir) == []
    rollout.current = offered(6, DeployedModels(champion=CHAMPION, canary=CANARY))
    assert heir.serving().ids.canary == CANARY


@pytest.mark.parametrize("said_before", [False, True])
async def test_a_champion_that_can_not_be_loaded_is_refused_once(said_before: bool) -> None:
    control = ModelControl(
        format=1,
        environment="default",
        based_on=None,
        act=ControlAct.DEPLOY,
        models=DeployedModels(champion=CHAMPION),
        test=AcceptanceTest(),
        who="ann",
        at="2026-01-02T03:04:05.678Z",
    )
    models, rollout = await opened()
    rollout.refused = RefusedChampion(InForce(9, control), "no memory")
    (switch,) = read(models.refused(FIRST, 1_000))
    assert (switch.state, switch.control_offset, switch.model) == ("refused", 9, CHAMPION.label)
    if said_before:
        heir, rollout = await opened(switch)
        rollout.refused = RefusedChampion(InForce(9, control), "no memory")
        assert heir.refused(FIRST, 1_000) == []
