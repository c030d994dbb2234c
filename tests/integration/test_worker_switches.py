"""Models in a real worker: it follows the control topic, switches at a batch's boundary, and says so."""

import asyncio
import json
import secrets
import stat
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from stream_scorer.core.records.model_control import DeployedModels, ServedModel
from stream_scorer.core.records.model_switch import ModelSwitch
from stream_scorer.models.synthetic.generator import Generator
from stream_scorer.runtime.cluster.topic_admin import apply
from tests.support.builders import an_event, an_outcome
from tests.support.kafka_environment import Account
from tests.support.models import Deployer, save_additive
from tests.support.workers import Environment, ended, stopped

LANES = range(4)
REFUSED = 3


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two model directories."""
    folder = tmp_path_factory.mktemp("models")
    return folder / "one", folder / "two"


@pytest.fixture(scope="module")
def models(folders: tuple[Path, Path]) -> tuple[ServedModel, ServedModel]:
    return save_additive(folders[0], "one", seed=1), save_additive(folders[1], "two", seed=2)


def events(count: int, prefix: str = "ev-") -> list[bytes]:
    return [
        event.value for event in Generator(secrets.randbits(20)).events(count, 0, f"{prefix}{secrets.token_hex(3)}-")
    ]


def serving(switches: dict[int, list[ModelSwitch]], lane: int) -> list[ModelSwitch]:
    return [switch for switch in switches.get(lane, []) if switch.state in ("serving", "suspended")]


def served_by(switches: dict[int, list[ModelSwitch]], control_offset: int) -> bool:
    """Whether every lane has been served by that control record."""
    return all(any(one.control_offset == control_offset for one in serving(switches, lane)) for lane in LANES)


def faults_of(account: Account, switches: dict[int, list[ModelSwitch]]) -> list[str]:
    """Predictions whose model is not the one that the topic of switches names for their offset."""
    faults = []
    for record in account.read.predictions:
        said: dict[str, Any] = json.loads(record.value)
        offset, lane = said["source"]["offset"], said["source"]["partition"]
        served = [switch for switch in serving(switches, lane) if switch.first.observations <= offset]
        if not served:
            faults.append(f"lane {lane}, offset {offset}: nobody served it")
            continue
        models = served[-1].models
        by_role = {"champion": models.champion, "canary": models.canary}
        speaker = by_role[said["role"]]
        if speaker is None or (speaker.label, speaker.threshold) != (said["model"], said["threshold"]):
            faults.append(f"lane {lane}, offset {offset}: {said['model']} as {said['role']}, not {models}")
    return faults


async def test_without_a_control_record_the_settings_model_serves_and_its_first_batch_says_so(
    environment: Environment, folders: tuple[Path, Path], models: tuple[ServedModel, ServedModel]
) -> None:
    deployer = Deployer(environment)
    worker = await environment.start(model__folder=str(folders[0]), model__threshold=0.25)
    await environment.topics.observe(*events(400))
    await environment.settled()
    await environment.topics.observe(*events(400))
    await environment.settled()
    await stopped(worker)
    await environment.start(model__folder=str(folders[0]), model__threshold=0.25)
    await environment.topics.observe(*events(400))
    account = await environment.account(prediction=1_200)
    switches = await deployer.switches()
    for lane in LANES:  # one record, whatever came later
        (switch,) = switches[lane]
        assert (switch.state, switch.control_offset, switch.first.observations) == ("serving", None, 0)
        assert (switch.models.champion.digest, switch.models.champion.threshold) == (models[0].digest, 0.25)
        assert "scikit-learn" in switch.versions
    assert not faults_of(account, switches)


async def test_a_lane_switches_at_a_batch_s_boundary_and_nothing_is_lost_or_scored_twice(
    environment: Environment, folders: tuple[Path, Path], models: tuple[ServedModel, ServedModel]
) -> None:
    deployer, topics = Deployer(environment), environment.topics
    worker = await environment.start(model__folder=str(folders[0]))
    sent = 0
    for folder, model, previous in ((folders[1], models[1], None), (folders[0], models[0], models[1])):
        await topics.observe(*events(300))
        await deployer.upload(folder, model)
        offset = await deployer.control(DeployedModels(champion=model, previous=previous))
        sent += 300
        while not served_by(await deployer.switches(), offset):
            await topics.observe(*events(200))
            sent += 200
    account = await environment.account(prediction=sent)
    switches = await deployer.switches()
    assert not faults_of(account, switches)
    labels = {json.loads(record.value)["model"] for record in account.read.predictions}
    assert labels == {model.label for model in models}
    assert worker.exit_status() is None
    # a roll-back has nothing to load: both are on disk, for their owner only
    kept = environment.state_of("worker").glob("*/models/*")
    assert {folder.name: stat.S_IMODE(folder.stat().st_mode) for folder in kept} == {
        model.digest: 0o700 for model in models
    }


async def test_an_idle_lane_says_that_it_is_ready_and_serves_from_its_next_batch_on(
    environment: Environment, folders: tuple[Path, Path], models: tuple[ServedModel, ServedModel]
) -> None:
    deployer = Deployer(environment)
    await environment.start(model__folder=str(folders[0]))
    await deployer.upload(folders[1], models[1])
    offset = await deployer.control(DeployedModels(champion=models[1]))
    await deployer.until_served(offset, LANES, state="ready")
    await environment.topics.observe(*events(200))
    await deployer.until_served(offset, LANES)
    account = await environment.account(prediction=200)
    switches = await deployer.switches()
    assert [[one.state for one in switches[lane]] for lane in LANES] == [["ready", "serving"]] * 4
    assert not faults_of(account, switches)


async def test_a_record_that_does_not_count_changes_nothing(
    environment: Environment, folders: tuple[Path, Path], models: tuple[ServedModel, ServedModel]
) -> None:
    deployer = Deployer(environment)
    await environment.start(model__folder=str(folders[0]))
    for folder, model in zip(folders, models, strict=True):
        await deployer.upload(folder, model)
    first = await deployer.control(DeployedModels(champion=models[1]))
    await deployer.control(DeployedModels(champion=models[0]), based_on=None)  # of somebody who did not know of it
    third = await deployer.control(DeployedModels(champion=models[1], previous=models[0]))
    await deployer.until_served(third, LANES, state="ready")
    await environment.topics.observe(*events(200))
    account = await environment.account(prediction=200)
    assert {json.loads(record.value)["model"] for record in account.read.predictions} == {models[1].label}
    offsets = {one.control_offset for of_lane in (await deployer.switches()).values() for one in of_lane}
    assert offsets <= {first, third}


async def test_a_worker_starts_with_what_was_deployed_and_passes_its_own_model_over(
    environment: Environment, folders: tuple[Path, Path], models: tuple[ServedModel, ServedModel]
) -> None:
    deployer = Deployer(environment)
    await deployer.upload(folders[1], models[1])
    offset = await deployer.control(DeployedModels(champion=models[1]))
    worker = await environment.start(model__folder=str(folders[0]))
    assert "the settings' model is passed over" in worker.log()
    await environment.topics.observe(*events(200))
    account = await environment.account(prediction=200)
    assert {json.loads(record.value)["model"] for record in account.read.predictions} == {models[1].label}
    assert not faults_of(account, await deployer.switches())
    assert {one.control_offset for of_lane in (await deployer.switches()).values() for one in of_lane} == {offset}


@pytest.mark.parametrize("spoilt", [False, True], ids=["not uploaded", "other bytes"])
@pytest.mark.fault("a champion that can't be loaded", promise="lanes say so, and the worker ends with status 3")
async def test_a_champion_that_can_not_be_loaded_is_refused_and_nothing_takes_its_place(
    environment: Environment, folders: tuple[Path, Path], models: tuple[ServedModel, ServedModel], spoilt: bool
) -> None:
    deployer = Deployer(environment)
    worker = await environment.start(model__folder=str(folders[0]))
    await environment.topics.observe(*events(200))
    await environment.settled()
    if spoilt:
        await deployer.upload(folders[1], models[1], spoil=True)
    offset = await deployer.control(DeployedModels(champion=models[1]))
    assert await ended(worker) == REFUSED
    assert models[1].label in worker.log()
    refused = [one for of_lane in (await deployer.switches()).values() for one in of_lane if one.state == "refused"]
    assert {(one.control_offset, one.model) for one in refused} == {(offset, models[1].label)}
    assert sorted(one.partition for one in refused) == [*LANES]
    # started again it says nothing new, and nothing predicts in its place
    await environment.topics.observe(*events(200))
    again = environment.worker(model__folder=str(folders[0])).start()
    assert await ended(again) == REFUSED
    assert len((await environment.topics.read()).predictions) == 200
    # a roll-back is one record; a worker that is started then goes on
    await deployer.upload(folders[0], models[0])
    await deployer.control(DeployedModels(champion=models[0]))
    await environment.start()
    await environment.account(prediction=400)


@pytest.mark.fault("a control topic that was deleted and made again", promise="the worker refuses to start")
async def test_a_lane_never_goes_back_behind_the_control_record_that_served_it(
    environment: Environment, folders: tuple[Path, Path], models: tuple[ServedModel, ServedModel]
) -> None:
    deployer = Deployer(environment)
    await deployer.upload(folders[1], models[1])
    await deployer.control(DeployedModels(champion=models[1]))
    worker = await environment.start()
    await environment.topics.observe(*events(200))
    await environment.account(prediction=200)
    await stopped(worker)
    await recreate(environment, environment.names.model_control)
    again = environment.worker(model__folder=str(folders[0])).start()
    assert await ended(again) == REFUSED
    assert "can't be known" in again.log()


@pytest.mark.fault("a lane moves to a worker without the model", promise="it loads the model before it opens the lane")
async def test_a_lane_that_moves_is_opened_by_a_worker_that_has_its_models(
    environment: Environment, folders: tuple[Path, Path], models: tuple[ServedModel, ServedModel]
) -> None:
    deployer, topics = Deployer(environment), environment.topics
    await deployer.upload(folders[1], models[1])
    await environment.start("a", model__folder=str(folders[0]))
    await topics.observe(*events(200))
    await environment.settled()
    offset = await deployer.control(DeployedModels(champion=models[1]))
    await deployer.until_served(offset, LANES, state="ready")
    await topics.observe(*events(200))
    await environment.settled()
    # another worker, with another model of its own, takes some lanes over, and then all of them
    other = await environment.start("b", model__folder=str(folders[0]))
    await topics.observe(*events(200))
    await environment.settled()
    await stopped(environment.started("a"))
    await topics.observe(*events(200))
    account = await environment.account(prediction=800)
    assert other.exit_status() is None
    switches = await deployer.switches()
    assert not faults_of(account, switches)
    served = [json.loads(record.value)["model"] for record in account.read.predictions]
    assert served.count(models[1].label) == 600
    # the heirs had nothing to say: the same control record, the same models
    assert [[one.control_offset for one in serving(switches, lane)] for lane in LANES] == [[None, offset]] * 4


async def test_an_outcome_is_joined_with_what_was_published_though_that_model_is_gone(
    environment: Environment, folders: tuple[Path, Path], models: tuple[ServedModel, ServedModel]
) -> None:
    deployer, topics = Deployer(environment), environment.topics
    worker = await environment.start(model__folder=str(folders[0]))
    await topics.observe(*[an_event(f"ev-{number}") for number in range(40)])
    await environment.settled()
    await stopped(worker)
    await deployer.upload(folders[1], models[1])
    await deployer.control(DeployedModels(champion=models[1]))
    await environment.start()
    await topics.report(*[an_outcome(f"ev-{number}") for number in range(40)])
    account = await environment.account(prediction=40, joined=40)
    updates = [json.loads(record.value) for record in account.read.updates]
    assert {(one["model"], one["role"]) for one in updates} == {(models[0].label, "champion")}


async def test_a_control_record_of_a_later_version_ends_the_worker_and_says_so(
    environment: Environment, folders: tuple[Path, Path], models: tuple[ServedModel, ServedModel]
) -> None:
    worker = await environment.start(model__folder=str(folders[0]))
    await Deployer(environment).control(DeployedModels(champion=models[0]), format_=99)
    assert await ended(worker) == REFUSED
    assert "format 99" in worker.log()


async def recreate(environment: Environment, topic: str) -> None:
    """Delete a topic, and make it as it was made before."""
    admin = AIOKafkaAdminClient(bootstrap_servers=environment.bootstrap)
    await admin.start()
    try:
        await admin.delete_topics([topic])
        while topic in await admin.list_topics():
            await asyncio.sleep(0.05)
        await apply(environment.settings)
    finally:
        await admin.close()
