"""What stands on the topics of models, put together: lanes, evidence, and what nobody of us wrote."""

from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaProducer

from stream_scorer.core.records.model_control import Contrast, DeployedModels
from stream_scorer.core.records.model_evidence import encode_evidence
from stream_scorer.core.rollout.evidence_counter import pair_of
from stream_scorer.operations.rollout.evidence_log import POINTS_MAX, EvidenceLog
from stream_scorer.operations.rollout.service import Rollout
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from tests.integration.broker_sources import Broker
from tests.support.rollout import WorkerHand, a_served_model, an_evidence, rollout_on, worker_hand

CHAMPION, CANDIDATE = a_served_model("stops", "a"), a_served_model("trees", "b")
CELLS = [40, 2, 3, 9, 4, 1, 11, 30]


@pytest.fixture
async def rollout(broker: Broker, prefix: str) -> AsyncIterator[Rollout]:
    async with rollout_on(broker.bootstrap, prefix) as rollout:
        yield rollout


@pytest.fixture
async def worker(rollout: Rollout) -> AsyncIterator[WorkerHand]:
    async with worker_hand(rollout.settings) as worker:
        yield worker


async def shadowed(rollout: Rollout) -> tuple[DeployedModels, int]:
    await rollout.commit(await rollout.plan_deploy(CHAMPION, "champion"))
    act = await rollout.commit(await rollout.plan_deploy(CANDIDATE, "shadow"))
    return act.control.models, act.offset


async def test_a_lane_is_where_its_last_record_of_the_act_in_force_says(rollout: Rollout, worker: WorkerHand) -> None:
    models, offset = await shadowed(rollout)
    before = DeployedModels(champion=CHAMPION)
    await worker.switch(before, 0)
    await worker.switch(models, offset, lanes=[0, 1], state="ready")
    await worker.switch(models, offset, lanes=[1])
    await worker.switch(models, offset, lanes=[2], state="refused", model=CANDIDATE.label, reason="no memory")
    status = await rollout.status()
    assert [lane.state for lane in status.lanes] == ["ready", "serving", "refused", "waiting"]
    assert [lane.has_loaded(CANDIDATE.digest) for lane in status.lanes] == [True, True, False, False]
    assert [lane.serving.models for lane in status.lanes if lane.serving] == [before, models, before, before]
    assert (status.lanes[2].reason, status.lanes_serving) == ("no memory", 1)
    await worker.switch(before, offset, lanes=[1], state="suspended", model=CANDIDATE.label, reason="too slow")
    lane = (await rollout.status()).lanes[1]
    assert (lane.state, lane.has_loaded(CANDIDATE.digest), lane.reason) == ("suspended", False, "too slow")


async def test_a_switch_of_an_aborted_batch_never_happened(rollout: Rollout, worker: WorkerHand) -> None:
    models, offset = await shadowed(rollout)
    await worker.producer.begin_transaction()
    await worker.producer.send_and_wait(worker.names.model_switches, b"{}", b"0", 0)
    await worker.producer.abort_transaction()
    await worker.switch(models, offset, lanes=[0])
    status = await rollout.status()
    assert (status.lanes[0].state, status.passed_over) == ("serving", 0)


async def test_evidence_adds_up_over_lanes_and_the_last_record_of_a_lane_counts(
    rollout: Rollout, worker: WorkerHand
) -> None:
    models, _ = await shadowed(rollout)
    for lane, times in ((0, 1), (0, 3), (2, 2)):
        await worker.count(models, CANDIDATE, [count * times for count in CELLS], lane=lane)
    (candidate,) = (await rollout.status()).candidates
    assert candidate.progress.outcomes == 5 * sum(CELLS)
    assert [int(point.counts.cells.sum()) for point in rollout.growth(CANDIDATE.digest)] == [100, 300, 500]


async def test_evidence_beside_another_champion_is_another_pairs(rollout: Rollout, worker: WorkerHand) -> None:
    await shadowed(rollout)
    other = DeployedModels(champion=a_served_model("former", "d"))
    await worker.count(other, CANDIDATE, CELLS)
    (candidate,) = (await rollout.status()).candidates
    assert candidate.progress.outcomes == 0


async def test_strangers_records_are_passed_over_and_counted(rollout: Rollout, worker: WorkerHand) -> None:
    models, _ = await shadowed(rollout)
    names = TopicNames(rollout.settings.topics.prefix)
    misplaced = encode_evidence(an_evidence(models, CANDIDATE, CELLS, lane=1))
    async with AIOKafkaProducer(bootstrap_servers=rollout.settings.kafka.bootstrap) as stranger:
        for topic in (names.model_switches, names.model_evidence):
            for value in (None, b"\xff", b"{}", misplaced):
                await stranger.send_and_wait(topic, value, b"0", 0)
    status = await rollout.status()
    assert (status.passed_over, status.candidates[0].progress.outcomes) == (8, 0)
    assert {lane.state for lane in status.lanes} == {"waiting"}


def test_a_drawing_of_long_evidence_keeps_its_begin_its_end_and_a_bounded_number_of_points() -> None:
    models, log = DeployedModels(champion=CHAMPION), EvidenceLog("evidence")
    for step in range(1, 4 * POINTS_MAX):
        log.note(0, step, an_evidence(models, CANDIDATE, [step * count for count in CELLS]))
    points = log.points(pair_of(CHAMPION, CANDIDATE))
    counted = [int(point.counts.cells.sum()) for point in points]
    assert POINTS_MAX / 4 < len(points) <= POINTS_MAX
    assert counted == sorted(counted)
    assert counted[-1] == (4 * POINTS_MAX - 1) * sum(CELLS)
    assert counted[0] < counted[-1] / 10


async def test_contrasts_are_those_of_the_settings_when_a_model_is_deployed(broker: Broker, prefix: str) -> None:
    async with rollout_on(broker.bootstrap, prefix, models__contrasts=("SubjectRaceCode:B-A",)) as rollout:
        act = await rollout.commit(await rollout.plan_deploy(a_served_model(), "champion"))
        shared = await rollout.commit(await rollout.plan_deploy(a_served_model("other", "b"), "shadow"))
    assert act.control.test.contrasts == shared.control.test.contrasts == (Contrast("SubjectRaceCode", "B", "A"),)
