"""What fails while models are put into production, beyond what the tests of switches and of candidates cause: a lane's
history says who served, nothing is lost, and nothing else predicts in a model's place.
"""

import asyncio
import os
import secrets
import signal
from pathlib import Path
from typing import Any

import pytest

from stream_scorer.core.records.model_control import DeployedModels, ServedModel
from stream_scorer.models.artifacts.files import read_files
from stream_scorer.models.synthetic.generator import Generator
from tests.faults.test_interrupted_transactions import interrupted
from tests.integration.test_dead_letters_replay import fix
from tests.integration.test_worker_candidates import a_canary, predictions_of, the_child
from tests.integration.test_worker_switches import LANES, REFUSED, events, faults_of, served_by, serving
from tests.models.faulty import TRUSTED_TYPES, save_faulty
from tests.support.candidate_models import Models, uploaded
from tests.support.dead_letters import an_office, wrong
from tests.support.workers import Environment, ended, until

QUICK_SESSION: dict[str, Any] = {"worker__session_timeout_ms": 6_000}


@pytest.mark.parametrize("step", ["records", pytest.param("offsets", marks=pytest.mark.long)])
@pytest.mark.fault("a worker dies before its switch is committed", promise="the new owner switches at its first batch")
async def test_a_switch_that_was_not_committed_is_seen_by_nobody(
    environment: Environment, models: Models, step: str
) -> None:
    deployer = await uploaded(environment, models)
    offset = await deployer.control(DeployedModels(champion=models.other))
    dying = interrupted(environment, step, 1, "SIGKILL")
    dying._environ["STREAM_SCORER_WORKER_GROUP_INSTANCE_ID"] = "w"
    dying.start()
    await environment.topics.observe(*events(400))
    assert await ended(dying) == -9
    assert "control record at offset 0 are loaded" in dying.log()
    switches = await deployer.switches()
    assert not any(serving(switches, lane) for lane in LANES)
    await environment.start("heir", worker__group_instance_id="w")
    account = await environment.account(prediction=400)
    switches = await deployer.switches()
    assert not faults_of(account, switches)
    for lane in LANES:
        (switch,) = serving(switches, lane)
        assert (switch.control_offset, switch.first.observations) == (offset, 0)


@pytest.mark.long
@pytest.mark.fault(
    "one of two workers can't load the champion", promise="it leaves with status 3; its lanes move to the other one"
)
async def test_a_champion_that_one_worker_refuses_is_served_by_the_other(
    environment: Environment, models: Models, tmp_path: Path
) -> None:
    save_faulty(tmp_path / "faulty", "raises")
    special = ServedModel(name="faulty", digest=read_files(tmp_path / "faulty")[1], threshold=0.1)
    deployer, topics = await uploaded(environment, models), environment.topics
    await deployer.upload(tmp_path / "faulty", special)
    await deployer.control(DeployedModels(champion=models.champion))
    able = await environment.start("able", model__trusted_types=TRUSTED_TYPES, **QUICK_SESSION)
    unable = await environment.start("unable", **QUICK_SESSION)
    await topics.observe(*events(400))
    await environment.settled()
    offset = await deployer.control(DeployedModels(champion=special, previous=models.champion))
    assert await ended(unable) == REFUSED
    sent = 400
    while not served_by(await deployer.switches(), offset):
        sent += len(await topics.observe(*events(100)))
        await asyncio.sleep(0.2)
    account = await environment.account(prediction=sent)
    assert able.exit_status() is None
    switches = await deployer.switches()
    assert not faults_of(account, switches)
    refused = [one for of_lane in switches.values() for one in of_lane if one.state == "refused"]
    assert {(one.control_offset, one.model) for one in refused} == {(offset, special.label)}
    assert 0 < len(refused) < len(LANES)


@pytest.mark.long
@pytest.mark.fault("a canary's process that hangs", promise="the champion predicts in its place within the batch")
async def test_a_canary_that_hangs_is_removed_and_the_batch_goes_to_the_champion(
    environment: Environment, models: Models
) -> None:
    deployer = await uploaded(environment, models)
    await deployer.control(DeployedModels(champion=models.champion, canary=a_canary(models.trees, 0.5)))
    worker = await environment.start(models__timeout_ms=500)
    child = await the_child(worker.pid)
    os.kill(child.pid, signal.SIGSTOP)
    await environment.topics.observe(*events(400))
    account = await environment.account(prediction=400)
    assert {one["role"] for one in predictions_of(account.read)} == {"champion"}
    switches = await deployer.switches()
    assert not faults_of(account, switches)
    for lane in LANES:
        suspended = [one for one in switches[lane] if one.state == "suspended"]
        assert [(one.model, one.models.canary) for one in suspended] == [(models.trees.label, None)]
    await until(lambda: not child.is_running() or child.status() == "zombie", "its process was killed")
    assert worker.exit_status() is None


@pytest.mark.long
@pytest.mark.fault("a shadow that raises", promise="its records are missing; the third time it is suspended")
async def test_a_shadow_that_raises_is_suspended_the_third_time(
    environment: Environment, models: Models, tmp_path: Path
) -> None:
    armed = tmp_path / "armed"
    save_faulty(tmp_path / "faulty", "raises", armed)
    faulty = ServedModel(name="faulty", digest=read_files(tmp_path / "faulty")[1], threshold=0.1)
    deployer = await uploaded(environment, models)
    await deployer.upload(tmp_path / "faulty", faulty)
    await deployer.control(DeployedModels(champion=models.champion, shadows=(faulty,)))
    worker = await environment.start(model__trusted_types=TRUSTED_TYPES)
    armed.touch()
    sent = 0
    while "failed (3 of 3)" not in worker.log():
        generator = Generator(secrets.randbits(20))
        fresh = [event.value for event in generator.events(40, 0, f"ev-{secrets.token_hex(4)}-")]
        sent += len(await environment.topics.observe(*fresh))
        await environment.settled()
    for _ in LANES:  # each says so with its next batch
        sent += len(await environment.topics.observe(*events(80)))
        await environment.settled()
    account = await environment.account(prediction=sent)
    switches = await deployer.switches()
    assert not faults_of(account, switches)
    for lane in LANES:
        assert (switches[lane][-1].state, switches[lane][-1].model) == ("suspended", faulty.label)
        assert switches[lane][-1].models.shadows == ()
    assert worker.exit_status() is None


@pytest.mark.fault("more models are deployed than a worker may load", promise="the last ones are refused and named")
async def test_models_beyond_the_limit_are_refused(environment: Environment, models: Models) -> None:
    deployer = await uploaded(environment, models)
    await deployer.control(
        DeployedModels(champion=models.champion, canary=a_canary(models.other, 0.5), shadows=(models.trees,))
    )
    worker = await environment.start(models__loaded_max=2)
    await environment.topics.observe(*events(200))
    account = await environment.account(prediction=200)
    assert {one["role"] for one in predictions_of(account.read)} == {"champion", "canary"}
    for of_lane in (await deployer.switches()).values():
        (refused,) = [one for one in of_lane if one.state == "refused"]
        assert (refused.model, of_lane[-1].models.shadows) == (models.trees.label, ())
        assert "models.loaded_max = 2" in refused.reason
    assert worker.exit_status() is None


@pytest.mark.fault(
    "an id and a dead letter come again under another champion",
    promise="nothing is published of the id; the models that serve now score the dead letter",
)
async def test_what_was_predicted_stays_and_what_was_not_is_scored_by_the_champion_of_its_new_offset(
    environment: Environment, models: Models, tmp_path: Path
) -> None:
    deployer, topics = await uploaded(environment, models), environment.topics
    await deployer.control(DeployedModels(champion=models.champion))
    await environment.start()
    sent = events(200)
    await topics.observe(wrong("late"), *sent)
    await environment.settled()
    offset = await deployer.control(DeployedModels(champion=models.other, previous=models.champion))
    await deployer.until_served(offset, LANES, state="ready")
    await topics.observe(*sent)
    async with an_office(environment, tmp_path / "operator") as office:
        assert (await office.replay(fix=fix("match-case"), yes=True)).replayed == 1
    account = await environment.account(prediction=201, dead_letter=1, redelivery=200)
    said = {one["id"]: one["model"] for one in predictions_of(account.read)}
    assert said.pop("late") == models.other.label
    assert set(said.values()) == {models.champion.label}
    assert not faults_of(account, await deployer.switches())
