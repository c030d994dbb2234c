"""Control records on a real Kafka: compare-and-set, read back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from aiokafka import AIOKafkaProducer

from stream_scorer.core.records.model_control import AcceptanceTest, ControlAct, ModelControl
from stream_scorer.core.rollout.control import InForce
from stream_scorer.errors import ModelError, OvertakenError, SettingsError
from stream_scorer.operations.reading.topic_reader import Reader
from stream_scorer.operations.rollout import planned_act
from stream_scorer.operations.rollout.control_log import ControlLog, control_producer
from stream_scorer.operations.rollout.service import Rollout, open_rollout
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.kafka.client import client_options
from tests.integration.broker_sources import Broker
from tests.support.rollout import a_served_model, digests, fresh_topics, rollout_on, worker_hand

PAIRS = (100, pytest.param(1_000, marks=pytest.mark.long))
CHAMPION, CANDIDATE, THIRD = a_served_model(digit="a"), a_served_model(digit="b"), a_served_model(digit="c")


@pytest.fixture
async def rollout(broker: Broker, prefix: str) -> AsyncIterator[Rollout]:
    async with rollout_on(broker.bootstrap, prefix) as rollout:
        yield rollout


async def deploy_champion(rollout: Rollout) -> InForce:
    return await rollout.commit(await rollout.plan_deploy(CHAMPION, "champion"), "begin")


async def test_the_first_act_is_the_champions(rollout: Rollout) -> None:
    with pytest.raises(ModelError, match="deploy the one that serves now first"):
        await rollout.plan_deploy(CANDIDATE, "shadow")
    act = await deploy_champion(rollout)
    assert (act.control.based_on, act.control.who, act.control.why) == (None, "ann", "begin")
    status = await rollout.status()
    assert [(model.role, model.label) for model in status.models] == [("champion", CHAMPION.label)]


async def test_a_roll_out_from_shadow_to_champion_and_back(rollout: Rollout) -> None:
    await deploy_champion(rollout)
    await rollout.commit(await rollout.plan_deploy(CANDIDATE, "shadow"))
    await rollout.commit(await rollout.plan_deploy(CANDIDATE, "canary", share=0.05))
    salts = set()
    for share in (0.1, 0.25):
        act = await rollout.commit(await rollout.plan_share(share))
        assert act.control.models.canary is not None
        salts.add(act.control.models.canary.salt)
        assert act.control.models.canary.share == share
    assert len(salts) == 1
    promoted = await rollout.commit(await rollout.plan_promote(force=True))
    assert digests(promoted.control.models) == {"champion": CANDIDATE.digest, "previous": CHAMPION.digest}
    back = await rollout.commit(await rollout.plan_rollback())
    assert digests(back.control.models) == {"champion": CHAMPION.digest, "previous": CANDIDATE.digest}
    left = await rollout.commit(await rollout.plan_stop(CANDIDATE.label))
    assert digests(left.control.models) == {"champion": CHAMPION.digest}
    based_on = [act.control.based_on for act in rollout.acts()]
    assert based_on == [None, *(act.offset for act in rollout.acts()[:-1])]


async def test_what_was_confirmed_on_an_older_state_is_not_done(rollout: Rollout) -> None:
    await deploy_champion(rollout)
    planned = await rollout.plan_deploy(CANDIDATE, "shadow")
    async with open_rollout(rollout.settings, who="ben") as other:
        await other.commit(await other.plan_deploy(THIRD, "shadow"))
    with pytest.raises(OvertakenError, match=r"ben was quicker \(deploy") as caught:
        await rollout.commit(planned)
    assert caught.value.exit_status == 4
    assert (await rollout.status()).late == 0  # not even written


async def test_a_promotion_waits_for_all_lanes(rollout: Rollout) -> None:
    await deploy_champion(rollout)
    act = await rollout.commit(await rollout.plan_deploy(CANDIDATE, "canary", share=0.1))
    async with worker_hand(rollout.settings) as worker:
        await worker.switch(act.control.models, act.offset, lanes=[0, 1, 2], state="ready")
        with pytest.raises(ModelError, match=r"not loaded on the lanes 3 \(waiting\)"):
            await rollout.plan_promote()
        await worker.switch(act.control.models, act.offset, lanes=[3])
    assert (await rollout.plan_promote()).models.champion.digest == CANDIDATE.digest


async def test_a_lane_that_refused_a_model_has_not_loaded_it(rollout: Rollout) -> None:
    await deploy_champion(rollout)
    act = await rollout.commit(await rollout.plan_deploy(CANDIDATE, "shadow"))
    async with worker_hand(rollout.settings) as worker:
        await worker.switch(act.control.models, act.offset, lanes=[0, 1, 3])
        refusal = {"model": CANDIDATE.label, "reason": "no room"}
        await worker.switch(act.control.models, act.offset, lanes=[2], state="refused", **refusal)
    with pytest.raises(ModelError, match=r"lanes 2 \(refused\)"):
        await rollout.plan_promote(CANDIDATE.label)
    lanes = await rollout.wait(act, 30)
    assert [(lane.state, lane.reason) for lane in lanes if lane.state != "serving"] == [("refused", "no room")]


async def test_waiting_ends_when_every_lane_serves(rollout: Rollout) -> None:
    act, seen = await deploy_champion(rollout), []
    async with worker_hand(rollout.settings) as worker, asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(rollout.wait(act, 60, lambda lanes: seen.append([lane.state for lane in lanes])))
        while not seen:
            await asyncio.sleep(0.01)
        await worker.switch(act.control.models, act.offset)
    assert {lane.state for lane in waiting.result()} == {"serving"}
    assert seen[0] == ["waiting"] * 4


async def test_waiting_for_an_act_that_another_one_follows_ends(rollout: Rollout) -> None:
    act = await deploy_champion(rollout)
    await rollout.commit(await rollout.plan_deploy(CANDIDATE, "shadow"))
    with pytest.raises(OvertakenError, match="waiting ends"):
        await rollout.wait(act, 60)


async def test_at_least_once_has_no_canary(broker: Broker, prefix: str) -> None:
    async with rollout_on(broker.bootstrap, prefix, worker__delivery="at-least-once") as rollout:
        await deploy_champion(rollout)
        with pytest.raises(SettingsError, match="at-least-once no canary"):
            await rollout.plan_deploy(CANDIDATE, "canary", share=0.1)
        with pytest.raises(SettingsError, match="at-least-once nothing can be promoted or withdrawn automatically"):
            await rollout.plan_deploy(CANDIDATE, "shadow", auto=True)
        await rollout.commit(await rollout.plan_deploy(CANDIDATE, "shadow"))
        with pytest.raises(SettingsError, match="at-least-once nothing can be"):
            await rollout.plan_auto(on=True)


async def test_only_candidates_are_decided_on_automatically_and_a_promotion_ends_it(rollout: Rollout) -> None:
    with pytest.raises(SettingsError, match="deploy a shadow or a canary with --auto"):
        await rollout.plan_deploy(CHAMPION, "champion", auto=True)
    await deploy_champion(rollout)
    with pytest.raises(ModelError, match="there is no candidate to decide on"):
        await rollout.plan_auto(on=True)
    act = await rollout.commit(await rollout.plan_deploy(CANDIDATE, "shadow", auto=True))
    assert act.control.test.auto
    with pytest.raises(ModelError, match=r"are on in .* already"):
        await rollout.plan_auto(on=True)
    planned = await rollout.plan_deploy(THIRD, "shadow")
    assert "nothing is promoted or withdrawn by itself any more" in planned.words
    assert not planned.test.auto
    assert not (await rollout.plan_promote(CANDIDATE.label, force=True)).test.auto
    assert (await rollout.plan_withdraw(CANDIDATE.label)).test.auto


async def test_strangers_records_are_passed_over_and_those_of_a_later_version_are_not(rollout: Rollout) -> None:
    control = TopicNames(rollout.settings.topics.prefix).model_control
    await deploy_champion(rollout)
    async with AIOKafkaProducer(bootstrap_servers=rollout.settings.kafka.bootstrap) as stranger:
        await stranger.send_and_wait(control, b"\xff", b"x", 0)
        await stranger.send_and_wait(control, None, b"x", 0)
        status = await rollout.status()
        assert (status.passed_over, status.late, status.control_offset) == (2, 0, 0)
        await stranger.send_and_wait(control, b'{"format": 2}', b"x", 0)
    with pytest.raises(ModelError, match="offset 3 has format 2"):
        await rollout.status()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("pairs", PAIRS)
async def test_of_two_deploys_at_the_same_moment_exactly_one_counts(broker: Broker, prefix: str, pairs: int) -> None:
    async with fresh_topics(broker.bootstrap, prefix) as settings, AsyncExitStack() as stack:
        options, topic = client_options(settings.kafka), TopicNames(prefix).model_control
        writers = []
        for who in ("ann", "ben"):
            reader = await stack.enter_async_context(Reader(options))
            producer = await stack.enter_async_context(control_producer(options))
            writers.append((who, ControlLog(topic, "t"), reader, producer))
        won = {"ann": 0, "ben": 0}

        async def deploy(
            who: str, log: ControlLog, reader: Reader, producer: AIOKafkaProducer, based_on: int | None
        ) -> str:
            planned = ModelControl(
                format=1,
                environment="t",
                based_on=based_on,
                act=ControlAct.DEPLOY,
                models=(log.in_force or seed).control.models,
                test=seed.control.test,
                who=who,
                at="2026-11-27T08:00:00.000Z",
            )
            try:
                done = await log.append(reader, producer, planned)
            except OvertakenError:
                return ""
            assert done.control.who == who
            return who

        _, log, reader, producer = writers[0]
        seed = await first_act(log, reader, producer)
        in_force: int = seed.offset
        for _ in range(pairs):
            ends = await asyncio.gather(*(deploy(*writer, in_force) for writer in writers))
            (winner,) = filter(None, ends)
            won[winner] += 1
            offsets = {writer[1].in_force.offset for writer in writers if writer[1].in_force is not None}
            assert len(offsets) == 1
            assert offsets != {in_force}
            in_force = offsets.pop()
        assert sum(won.values()) == pairs
        assert [writer[1].late for writer in writers] == [pairs, pairs]
        # the race was one: neither of them always came first
        assert min(won.values()) > 0


async def first_act(log: ControlLog, reader: Reader, producer: AIOKafkaProducer) -> InForce:
    planned = planned_act.deploy(None, CHAMPION, "champion", share=0, test=AcceptanceTest(), environment="t")
    return await log.append(reader, producer, planned.control("t", "ann", "2026-11-27T08:00:00.000Z", ""))
