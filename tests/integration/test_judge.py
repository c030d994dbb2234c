"""The judge on a real Kafka: with evidence that is written by hand, and in a real worker on outcomes."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from stream_scorer.core.contract.columns import COLUMN_NAMES, Observation
from stream_scorer.core.contract.observation_code import column_indices, observation_columns
from stream_scorer.core.observations.scoring import Codes
from stream_scorer.core.records.model_control import (
    AcceptanceTest,
    ControlAct,
    DeployedModels,
    ModelControl,
    decode_control,
)
from stream_scorer.core.rollout.judge import WHO, decided_again
from stream_scorer.models.synthetic.generator import Generator
from stream_scorer.operations.rollout.service import Rollout
from tests.integration.broker_sources import Broker
from tests.support.builders import an_event, an_outcome
from tests.support.judges import BETTER, WORSE, a_judge, writing
from tests.support.models import Deployer, records_of, save_fitted
from tests.support.rollout import WorkerHand, a_served_model, rollout_on, worker_hand
from tests.support.workers import Environment, an_environment, until

CHAMPION, CANDIDATE = a_served_model("champion", "a"), a_served_model("candidate", "b")


@pytest.fixture
async def rollout(broker: Broker, prefix: str) -> AsyncIterator[Rollout]:
    async with rollout_on(broker.bootstrap, prefix) as rollout:
        yield rollout


@pytest.fixture
async def worker(rollout: Rollout) -> AsyncIterator[WorkerHand]:
    async with worker_hand(rollout.settings) as worker:
        yield worker


async def shadowed(rollout: Rollout, worker: WorkerHand) -> DeployedModels:
    """A shadow that the judge may decide on, loaded on every lane."""
    await rollout.commit(await rollout.plan_deploy(CHAMPION, "champion"))
    act = await rollout.commit(await rollout.plan_deploy(CANDIDATE, "shadow", auto=True))
    await worker.switch(act.control.models, act.offset)
    return act.control.models


async def last_act(rollout: Rollout) -> ModelControl:
    control = (await rollout.status()).control
    assert control is not None
    return control


async def test_who_is_shown_to_be_better_is_promoted_once_every_lane_has_loaded_it(
    rollout: Rollout, worker: WorkerHand
) -> None:
    await rollout.commit(await rollout.plan_deploy(CHAMPION, "champion"))
    act = await rollout.commit(await rollout.plan_deploy(CANDIDATE, "shadow", auto=True))
    await worker.switch(act.control.models, act.offset, lanes=[0, 1, 3])
    async with a_judge(rollout.settings) as running:
        for lane in (0, 2):
            await worker.count(act.control.models, CANDIDATE, [count // 2 for count in BETTER], lane=lane)
        await until(lambda: running.held_up() == "it is not loaded on the lanes 2", "the judge would promote it")
        assert (await last_act(rollout)).who == "ann"
        await worker.switch(act.control.models, act.offset, lanes=[2], state="ready")
        await until(lambda: running.told == ["promoted"], "it is promoted")
    found = await last_act(rollout)
    assert (found.act, found.who, found.based_on) == (ControlAct.PROMOTE, WHO, act.offset)
    assert found.models == DeployedModels(champion=CANDIDATE, previous=CHAMPION)
    assert not found.test.auto
    assert found.evidence is not None
    assert [each.partition for each in found.evidence.records] == [0, 2]
    assert sum(found.evidence.outcomes) == sum(BETTER)
    again = decided_again(found)
    assert again is not None
    assert again.decision() == "promote"


async def test_who_is_shown_to_be_worse_is_withdrawn(rollout: Rollout, worker: WorkerHand) -> None:
    models = await shadowed(rollout, worker)
    async with a_judge(rollout.settings) as running:
        await worker.count(models, CANDIDATE, WORSE)
        await until(lambda: running.told == ["withdrawn"], "it is withdrawn")
    found = await last_act(rollout)
    assert (found.act, found.models) == (ControlAct.WITHDRAW, DeployedModels(champion=CHAMPION))
    assert "the opposite of gain, recall is shown" in found.why


async def test_of_two_judges_one_decides(rollout: Rollout, worker: WorkerHand) -> None:
    models, both = await shadowed(rollout, worker), asyncio.Barrier(2)

    async def write(control: ModelControl) -> int:
        await both.wait()
        return await writing(rollout.settings)(control)

    async with a_judge(rollout.settings, write) as one, a_judge(rollout.settings, write) as other:
        await worker.count(models, CANDIDATE, BETTER)
        await until(lambda: one.told and other.told, "both have decided")
    assert sorted([*one.told, *other.told]) == ["overtaken", "promoted"]
    status = await rollout.status()
    assert status.late == 1
    assert status.control is not None
    assert status.control.models == DeployedModels(champion=CANDIDATE, previous=CHAMPION)


async def test_while_a_guard_holds_nobody_decides(rollout: Rollout, worker: WorkerHand) -> None:
    models = await shadowed(rollout, worker)
    async with a_judge(rollout.settings) as running:
        await worker.count(models, CANDIDATE, BETTER, residual_sum=0.2 * sum(BETTER))
        await until(lambda: running.decision() == "suspend", "a guard holds")
        status = await rollout.status()
        assert status.control is not None
        assert status.control.who == "ann"
        assert status.candidates[0].suspended_since is not None
        await worker.count(models, CANDIDATE, BETTER)
        await until(lambda: running.told == ["promoted"], "it is promoted once no guard holds")


async def test_where_outcomes_may_count_twice_the_judge_only_looks(rollout: Rollout, worker: WorkerHand) -> None:
    models = await shadowed(rollout, worker)
    async with a_judge(rollout.settings, may_decide=False) as running:
        await worker.count(models, CANDIDATE, BETTER)
        await until(lambda: "at-least-once" in running.held_up(), "it says why it does not act")
        assert running.decision() == "promote"
    assert (await last_act(rollout)).who == "ann"


async def test_a_judge_that_failed_tries_again(rollout: Rollout, worker: WorkerHand) -> None:
    models, faults = await shadowed(rollout, worker), iter([RuntimeError("no idea")])

    async def write(control: ModelControl) -> int:
        for fault in faults:
            raise fault
        return await writing(rollout.settings)(control)

    async with a_judge(rollout.settings, write) as running:
        await worker.count(models, CANDIDATE, WORSE)
        await until(lambda: running.told == ["fault", "withdrawn"], "it is withdrawn at the second try")


async def test_people_switch_the_judge_on_and_off(rollout: Rollout, worker: WorkerHand) -> None:
    models = await shadowed(rollout, worker)
    await rollout.commit(await rollout.plan_auto(on=False))
    async with a_judge(rollout.settings) as running:
        await worker.count(models, CANDIDATE, WORSE)
        await until(lambda: running.decision() == "withdraw", "the evidence was looked at")
        assert (await last_act(rollout)).act is ControlAct.AUTO
        await rollout.commit(await rollout.plan_auto(on=True))
        await until(lambda: running.told == ["withdrawn"], "it is withdrawn")


# In a real worker


def truth_of(codes: Codes) -> NDArray[np.bool_]:
    """What happens at these stops: something is found on three days of the week."""
    return np.asarray(column_indices(codes)[COLUMN_NAMES.index("day_of_week")] < 3)


def a_stop(id_: str, code: int) -> bytes:
    observation = msgspec.convert(observation_columns(code), Observation)
    return an_event(id_, **msgspec.to_builtins(observation))


async def until_act(environment: Environment, number: int) -> ModelControl:
    """The control record of that number, once it is there."""
    while True:
        records = await records_of(environment, environment.names.model_control)
        if len(records) > number:
            found = decode_control(records[number].value)
            assert isinstance(found, ModelControl)
            return found
        await asyncio.sleep(0.2)


async def until_followed(deployer: Deployer, offset: int) -> None:
    """Wait until both lanes serve by that control record, or are ready to."""
    while {lane for lane, said in (await deployer.switches()).items() if said[-1].control_offset == offset} != {0, 1}:
        await asyncio.sleep(0.1)


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_outcomes_promote_who_knows_more_and_withdraw_who_knows_nothing(
    broker: Broker, prefix: str, tmp_path: Path
) -> None:
    codes = Generator(11).codes(2_600)
    shuffled = np.random.default_rng(11).permutation(truth_of(codes))
    # as good as its probabilities say, and yet it decides at random
    blind = save_fitted(
        tmp_path / "blind", "blind", codes, shuffled, ["StatuteReason"], threshold=float(shuffled.mean())
    )
    knowing = save_fitted(tmp_path / "knowing", "knowing", codes, truth_of(codes), ["day_of_week"], threshold=0.5)
    async with an_environment(broker.bootstrap, prefix, tmp_path, topics__partitions=2) as environment:
        deployer = Deployer(environment)
        for model in (blind, knowing):
            await deployer.upload(tmp_path / model.name, model)
        await deployer.control(DeployedModels(champion=blind))
        await environment.start()
        models = DeployedModels(champion=blind, shadows=(knowing,))
        offset = await deployer.control(models, test=AcceptanceTest(auto=True))
        await deployer.until_served(offset, range(2), state="ready")

        async def send(codes: Codes) -> None:
            ids = [f"stop-{secrets.token_hex(6)}" for _ in codes]
            await environment.topics.observe(*map(a_stop, ids, codes.tolist()))
            await environment.settled()
            await environment.topics.report(*map(an_outcome, ids, truth_of(codes).tolist()))
            await environment.settled()

        await send(codes)
        promotion = await until_act(environment, 2)
        assert (promotion.act, promotion.who) == (ControlAct.PROMOTE, WHO)
        assert promotion.models == DeployedModels(champion=knowing, previous=blind)
        again = decided_again(promotion)
        assert again is not None
        assert again.decision() == "promote"
        # the former champion is judged on, and nothing is done about it until it is a candidate again
        await until_followed(deployer, 2)
        await send(Generator(12).codes(2_600))
        assert len(await records_of(environment, environment.names.model_control)) == 3
        deployer.last = 2
        models = DeployedModels(champion=knowing, shadows=(blind,))
        await deployer.control(models, test=AcceptanceTest(auto=True))
        withdrawal = await until_act(environment, 4)
        assert (withdrawal.act, withdrawal.who) == (ControlAct.WITHDRAW, WHO)
        assert withdrawal.models == DeployedModels(champion=knowing)
        said = json.loads((await environment.topics.read()).predictions[-1].value)
        assert said["model"] == knowing.label
