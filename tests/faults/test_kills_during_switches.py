"""Workers killed at any moment while control records change what serves: every input ends once, every prediction is by
the model that its lane's switch names, and the log read again gives each as it was published.
"""

import asyncio
import json
import os
import random
from collections import Counter
from pathlib import Path

import pytest

from stream_scorer.core.records.model_control import Canary, DeployedModels, ServedModel
from stream_scorer.operations.harness.worker_process import WorkerProcess
from tests.integration.test_documented_commands import in_the_shell, run
from tests.integration.test_worker_switches import faults_of
from tests.support.candidate_models import Models, uploaded
from tests.support.models import Deployer
from tests.support.traffic import feed, traffic
from tests.support.workers import Environment

# How often a worker is killed; fewer are for a first look
KILLS = int(os.environ.get("STREAM_SCORER_TEST_KILLS", "200"))
KILL_S_MAX = 40
SALT = "0f" * 16
STOPS_AT_ONCE = 400
SMALL_BATCHES = {"worker__batch_records_max": 100, "worker__session_timeout_ms": 6_000}


def any_models(draw: random.Random, models: Models) -> DeployedModels:
    """A champion, most often a canary with some share of the ids, and sometimes shadows."""
    champion, candidate = draw.sample((models.champion, models.other), 2)
    canary: Canary | None = None
    if draw.random() < 0.7:
        chosen = models.trees if draw.random() < 0.2 else candidate
        canary = Canary(
            name=chosen.name,
            digest=chosen.digest,
            threshold=chosen.threshold,
            share=draw.choice((0.1, 0.3, 0.6)),
            salt=SALT,
        )
    left = [model for model in (candidate, models.trees) if canary is None or model.digest != canary.digest]
    shadows: tuple[ServedModel, ...] = tuple(left[: draw.choice((0, 0, 1))])
    return DeployedModels(champion=champion, canary=canary, shadows=shadows)


async def feed_until(environment: Environment, over: asyncio.Event) -> None:
    """Send stops and outcomes, some of them again, for as long as workers are killed."""
    chunk = 0
    while not over.is_set():
        events = traffic(STOPS_AT_ONCE, seed=chunk, id_prefix=f"ev-{chunk}-")
        await feed(environment.topics, events, pause_s=0.1, at_once=50)
        chunk += 1


async def switch_at_some_moments(deployer: Deployer, draw: random.Random, models: Models) -> None:
    for _ in range(draw.choice((1, 1, 2))):
        await asyncio.sleep(draw.uniform(0.0, 0.4))
        await deployer.control(any_models(draw, models))


async def killed_while_they_switch(
    environment: Environment, deployer: Deployer, draw: random.Random, models: Models, times: int
) -> None:
    # under their own names, so that the group does not wait for those that were killed
    workers: list[WorkerProcess] = [
        environment.worker(name, worker__group_instance_id=name, **SMALL_BATCHES) for name in ("one", "two")
    ]
    for worker in workers:
        await asyncio.to_thread(worker.start().wait_ready)
    for _ in range(times):
        worker = draw.choice(workers)
        switching = asyncio.create_task(switch_at_some_moments(deployer, draw, models))
        await asyncio.sleep(draw.uniform(0.0, 0.6))  # the moment is the point: any will do
        assert worker.exit_status() is None, worker.last_words()
        worker.kill()
        await switching
        worker.start()
        if draw.random() < 0.8:  # else the next kill may find it while it starts
            await asyncio.to_thread(worker.wait_ready)


@pytest.mark.long
@pytest.mark.timeout(300 + KILL_S_MAX * KILLS)
@pytest.mark.fault(
    f"kill -9 at {KILLS} moments while lanes switch models",
    promise="every prediction is by the model of its switch, and comes out the same when the log is read again",
)
async def test_killed_workers_leave_every_offset_with_the_model_that_its_switch_names(
    environment: Environment, models: Models, tmp_path: Path
) -> None:
    draw, over = random.Random(KILLS), asyncio.Event()
    deployer = await uploaded(environment, models)
    await deployer.control(DeployedModels(champion=models.champion))
    feeding = asyncio.create_task(feed_until(environment, over))
    try:
        await killed_while_they_switch(environment, deployer, draw, models, KILLS)
    finally:
        over.set()
        await feeding
    account = await environment.account()
    switches = await deployer.switches()
    assert not faults_of(account, switches)
    said = Counter((one["model"], one["role"]) for one in (json.loads(r.value) for r in account.read.predictions))
    assert len(said) > 2
    given = " ".join(f"--model uploaded:/{name}" for name in ("champion", "other", "trees"))
    variables = in_the_shell(
        STREAM_SCORER_KAFKA_BOOTSTRAP=environment.bootstrap,
        STREAM_SCORER_TOPICS_PREFIX=environment.settings.topics.prefix,
    )
    again = json.loads(run(f"stream-scorer backtest --as-served {given} --json", tmp_path, variables))
    assert again["passed"]
    assert again["predictions"] == again["same"] == account.ended["prediction"]
    print(f"{KILLS} kills, {again['switches']} switches: {dict(account.ended)}, {dict(said)}")  # noqa: T201
