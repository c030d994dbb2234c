"""A rolling upgrade from the release before, whose workers knew no deployed models: its topics grow, its workers and
ours share the group, one of them is killed, and models are deployed once the last of the old ones is gone.
"""

import asyncio
import json
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from stream_scorer.core.records.model_control import DeployedModels
from stream_scorer.core.records.model_switch import decode_switch
from stream_scorer.operations.harness.other_tree import apply_topics_of_tree, environ_of_tree
from stream_scorer.operations.rollout.service import open_rollout
from stream_scorer.runtime.cluster.topic_admin import check_cluster
from tests.integration.broker_sources import Broker
from tests.integration.test_documented_commands import in_the_shell, run
from tests.integration.test_worker_candidates import predictions_of
from tests.integration.test_worker_switches import LANES
from tests.support.candidate_models import Models, uploaded
from tests.support.models import records_of
from tests.support.traffic import feed, traffic
from tests.support.workers import Environment, stopped

SETTINGS = {"worker__batch_records_max": 100, "worker__session_timeout_ms": 6_000}
# As that release describes it: it wrote none, but a tool that follows its schema may have
OLD_SWITCH = json.dumps({"partition": 0, "from_offset": 0, "models": {"champion": "stops@0123456789ab"}}).encode()


async def grow_switches(environment: Environment) -> None:
    """What `topics check` asks for."""
    (problem,) = await check_cluster(environment.settings)
    topic = environment.names.model_switches
    assert f"kafka-topics --alter --topic {topic} --partitions {len(LANES)}" in problem
    admin = AIOKafkaAdminClient(bootstrap_servers=environment.bootstrap)
    await admin.start()
    await admin.create_partitions({topic: NewPartitions(total_count=len(LANES))})
    await admin.close()
    assert await check_cluster(environment.settings) == []


@pytest.mark.long
@pytest.mark.parametrize("killed", ["the old one", "the new one"])
@pytest.mark.fault("a rolling upgrade from the release before", promise="nothing lost, nothing doubled")
async def test_workers_of_the_release_before_and_of_this_one_share_a_group_and_models_are_deployed(
    broker: Broker, prefix: str, tmp_path: Path, release_before: Path, models: Models, killed: str
) -> None:
    apply_topics_of_tree(release_before, broker.bootstrap, prefix, {})
    async with Environment(broker.bootstrap, prefix, tmp_path, {}) as environment:  # `topics apply` of this release
        topics, own = environment.topics, {**SETTINGS, "model__folder": str(models.folder / "champion")}
        await topics.producer.send_and_wait(environment.names.model_switches, OLD_SWITCH, b"0", 0)
        old = environment.worker("old", **own)
        old._environ |= environ_of_tree(release_before)
        await asyncio.to_thread(old.start().wait_ready)
        feeding = asyncio.create_task(feed(topics, traffic(4_000)))
        await topics.read_until(lambda read: len(read.predictions) > 300, "the old one is at work")
        await grow_switches(environment)
        assert len(await records_of(environment, environment.names.model_switches)) == 1  # the old one writes none
        new = await environment.start("new", **own)
        await topics.read_until(lambda read: len(read.predictions) > 1_500, "both are at work")
        assert old.exit_status() is None
        gone, left = (old, new) if killed == "the old one" else (new, old)
        gone.kill()
        await feeding
        await environment.settled()
        assert left.exit_status() is None
        # the upgrade goes on: the last of the old ones goes in order
        assert await stopped(left) == 0
        newer = await environment.start("newer", **own)
        await feed(topics, traffic(1_000, seed=2, id_prefix="alone-"))
        deployer = await uploaded(environment, models)
        offset = await deployer.control(DeployedModels(champion=models.other, previous=models.champion))
        async with open_rollout(environment.settings) as rollout:
            while not all(lane.has_loaded(models.other.digest) for lane in (await rollout.status()).lanes):
                await asyncio.sleep(0.1)
        await feed(topics, traffic(1_000, seed=3, id_prefix="deployed-"))
        account = await environment.account(other_timestamps=True)
        assert newer.exit_status() is None
        said = {one["id"]: one["model"] for one in predictions_of(account.read)}
        assert len(said) > 5_500
        for id_, model in said.items():
            assert model == (models.other if id_.startswith("deployed-") else models.champion).label
        await assert_history(environment, offset)
    given = " ".join(f"--model {models.folder / name}" for name in ("champion", "other"))
    variables = in_the_shell(
        STREAM_SCORER_KAFKA_BOOTSTRAP=broker.bootstrap, STREAM_SCORER_TOPICS_PREFIX=environment.settings.topics.prefix
    )
    again = json.loads(run(f"stream-scorer backtest --as-served {given} --json", tmp_path, variables))
    assert again["same"] == again["predictions"] == account.ended["prediction"]


async def assert_history(environment: Environment, offset: int) -> None:
    """Every lane's switches are those of this release; what an older schema says is passed over and counted."""
    records = await records_of(environment, environment.names.model_switches)
    foreign = [record.value for record in records if decode_switch(record.value) is None]
    assert foreign == [OLD_SWITCH]
    async with open_rollout(environment.settings) as rollout:
        status = await rollout.status()
    assert (status.passed_over, [lane.state for lane in status.lanes]) == (1, ["serving"] * len(LANES))
    assert {lane.serving.control_offset for lane in status.lanes if lane.serving is not None} == {offset}
