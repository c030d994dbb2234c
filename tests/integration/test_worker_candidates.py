"""Canaries and shadows in a real worker: sticky, paired, in the same transaction, and never in anybody's way."""

import asyncio
import json
import os
import secrets
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from stream_scorer.core.records.model_control import Canary, ControlAct, DeployedModels, ServedModel
from stream_scorer.core.records.shadow_prediction import ShadowPrediction, decode_shadow_prediction
from stream_scorer.core.rollout.assignment import canary_ids
from stream_scorer.models.artifacts.files import read_files
from stream_scorer.models.registry.model_directory import load_model
from stream_scorer.models.synthetic.generator import Generator
from tests.integration.test_worker_switches import LANES, events, faults_of
from tests.models.faulty import TRUSTED_TYPES, save_faulty
from tests.support.candidate_models import Models, uploaded
from tests.support.models import Deployer, records_of
from tests.support.workers import Environment, ended, until

SALT = "0f" * 16


def a_canary(model: ServedModel, share: float) -> Canary:
    return Canary(name=model.name, digest=model.digest, threshold=model.threshold, share=share, salt=SALT)


async def shadow_predictions(environment: Environment) -> list[ShadowPrediction]:
    records = await records_of(environment, environment.names.shadow_predictions)
    return [decode_shadow_prediction(record.value) for record in records]


def predictions_of(read: Any) -> list[dict[str, Any]]:
    return [json.loads(record.value) for record in read.predictions]


async def test_a_canary_has_its_share_and_a_growing_one_keeps_the_earlier_ids(
    environment: Environment, models: Models
) -> None:
    deployer, topics = await uploaded(environment, models), environment.topics
    await deployer.control(DeployedModels(champion=models.champion, canary=a_canary(models.other, 0.2)))
    await environment.start()
    first = events(600)
    await topics.observe(*first)
    await environment.settled()
    second = await deployer.control(
        DeployedModels(champion=models.champion, canary=a_canary(models.other, 0.5)), ControlAct.SHARE
    )
    await deployer.until_served(second, LANES, state="ready")
    # known ids under another share: nothing is published, though some would be the canary's now
    await topics.observe(*first)
    await environment.settled()
    await topics.observe(*events(600))
    await environment.settled()
    third = await deployer.control(DeployedModels(champion=models.champion, previous=models.other), ControlAct.WITHDRAW)
    await deployer.until_served(third, LANES, state="ready")
    await topics.observe(*events(200))
    account = await environment.account(prediction=1_400, redelivery=600)
    said = predictions_of(account.read)
    known = {json.loads(event)["id"] for event in first}
    of_share = {
        0.2: [one for one in said if one["id"] in known],
        0.5: [one for one in said if one["id"] not in known],
    }
    switches = await deployer.switches()
    assert not faults_of(account, switches)
    last = {lane: switches[lane][-1].first.observations for lane in LANES}
    for share, predicted in of_share.items():
        while_served = [one for one in predicted if one["source"]["offset"] < last[one["source"]["partition"]]]
        ids = [one["id"].encode() for one in while_served]
        wanted = canary_ids(bytes.fromhex(SALT), ids, share).tolist()
        assert [one["role"] == "canary" for one in while_served] == wanted
        assert any(wanted)
    assert len([one for one in said if one["role"] == "canary"]) > 300
    # pairs are complete: whoever was not published stands beside what was
    pairs = await shadow_predictions(environment)
    assert len(pairs) == 1_200
    labels = {"champion": models.champion.label, "canary": models.other.label}
    for pair in pairs:
        (shadow,) = pair.shadows
        assert {pair.published.model, shadow.model} == set(labels.values())
        assert pair.published.model == labels[pair.published.role]


@pytest.mark.fault("a canary that raises", promise="the champion predicts in its place, and the lane goes on without")
async def test_a_canary_that_raises_is_removed_from_its_lane_and_the_batch_goes_to_the_champion(
    environment: Environment, models: Models, tmp_path: Path
) -> None:
    armed = tmp_path / "armed"
    save_faulty(tmp_path / "faulty", "raises", armed)
    faulty = ServedModel(name="faulty", digest=read_files(tmp_path / "faulty")[1], threshold=0.1)
    deployer, topics = await uploaded(environment, models), environment.topics
    await deployer.upload(tmp_path / "faulty", faulty)
    await deployer.control(DeployedModels(champion=models.champion, canary=a_canary(faulty, 0.5)))
    worker = await environment.start(model__trusted_types=TRUSTED_TYPES)
    await topics.observe(*generated(400, "before-"))
    await environment.settled()
    armed.touch()
    await topics.observe(*generated(400, "after-"))
    await environment.settled()
    await topics.observe(*generated(400, "later-"))
    account = await environment.account(prediction=1_200)
    said, switches = predictions_of(account.read), await deployer.switches()
    assert not faults_of(account, switches)
    assert {one["role"] for one in said if one["id"].startswith("before-")} == {"champion", "canary"}
    assert {one["role"] for one in said if not one["id"].startswith("before-")} == {"champion"}
    for lane in LANES:
        suspended = [one for one in switches[lane] if one.state == "suspended"]
        assert [(one.model, one.models.canary) for one in suspended] == [(faulty.label, None)]
    assert "it raised ValueError" in worker.log()
    # it stays out under a new owner, until another control record
    worker.kill()
    armed.unlink()
    await environment.start("other", model__trusted_types=TRUSTED_TYPES)
    await topics.observe(*generated(200, "heir-"))
    account = await environment.account(prediction=1_400)
    assert {one["role"] for one in predictions_of(account.read) if one["id"].startswith("heir-")} == {"champion"}


def generated(count: int, prefix: str) -> list[bytes]:
    """Events that do not set off a faulty model by themselves; no two batches are remembered from each other."""
    seed = secrets.randbits(20)
    return [event.value for event in Generator(seed).events(count, 0, f"{prefix}{secrets.token_hex(3)}-")]


@pytest.mark.parametrize("which", ["all", "disagreements"])
async def test_shadows_say_what_they_would_have_said_of_everything_that_was_predicted(
    environment: Environment, models: Models, which: str
) -> None:
    deployer = await uploaded(environment, models)
    await deployer.control(DeployedModels(champion=models.champion, shadows=(models.other, models.trees)))
    await environment.start(models__shadow_predictions=which)
    await environment.topics.observe(*events(500), b"{")
    account = await environment.account(prediction=500, dead_letter=1)
    said = {one["id"]: one for one in predictions_of(account.read)}
    told = {one.id: one for one in await shadow_predictions(environment)}
    codes = np.array([one["observation_code"] for one in said.values()])
    wanted: dict[str, dict[str, float]] = {}
    for name, model in (("other", models.other), ("trees", models.trees)):
        scores = load_model(models.folder / name).score(codes).tolist()
        wanted[model.label] = dict(zip(said, scores, strict=True))
    thresholds = {model.label: model.threshold for model in models[1:]}
    expected = {
        id_
        for id_, one in said.items()
        if which == "all"
        or any((probas[id_] >= thresholds[label]) != one["prediction"] for label, probas in wanted.items())
    }
    assert set(told) == expected
    assert which == "all" or 0 < len(told) < 500
    for id_, shadow_prediction in told.items():
        assert (shadow_prediction.published.proba, shadow_prediction.published.model) == (
            said[id_]["proba"],
            said[id_]["model"],
        )
        found = {shadow.model: shadow.proba for shadow in shadow_prediction.shadows}
        assert found == pytest.approx({label: probas[id_] for label, probas in wanted.items()}, abs=1e-9)


@pytest.mark.fault("a shadow that hangs", promise="its process is killed; the third time it is suspended")
async def test_a_shadow_that_hangs_is_killed_and_the_third_time_suspended(
    environment: Environment, models: Models
) -> None:
    deployer, topics = await uploaded(environment, models), environment.topics
    await deployer.control(DeployedModels(champion=models.champion, shadows=(models.trees,)))
    worker = await environment.start(models__shadow_budget_ms=300)
    sent = 0
    for strike in (1, 2, 3):
        child = await the_child(worker.pid)
        os.kill(child.pid, signal.SIGSTOP)
        sent += len(await topics.observe(*events(100)))
        await until(said_in_log(worker, f"failed ({strike} of 3)"), f"strike {strike}")
        assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
        sent += len(await topics.observe(*events(100)))
        await environment.settled()
    sent += len(await topics.observe(*events(200)))
    account = await environment.account(prediction=sent)
    switches = await deployer.switches()
    assert not faults_of(account, switches)
    for lane in LANES:
        assert (switches[lane][-1].state, switches[lane][-1].model) == ("suspended", models.trees.label)
        assert switches[lane][-1].models.shadows == ()
    assert not psutil.Process(worker.pid).children()
    missing = [line for line in worker.metrics().splitlines() if line.startswith("stream_scorer_shadows_missing")]
    assert float(missing[0].split()[1]) > 0


async def the_child(pid: int) -> psutil.Process:
    """The process of the one model that is not additive, once it is asked."""
    await until(lambda: psutil.Process(pid).children(), "the model's process is there")
    (child,) = psutil.Process(pid).children()
    # it has loaded when it waits for questions: until then records are missing without a fault
    previous_s, still = -1.0, 0
    while still < 10:
        used_s = child.cpu_times().user
        still = still + 1 if used_s == previous_s and used_s > 0.5 else 0
        previous_s = used_s
        await asyncio.sleep(0.1)
    return child


def said_in_log(worker: Any, text: str) -> Callable[[], bool]:
    return lambda: text in worker.log()


@pytest.mark.fault("a candidate that can't be loaded", promise="lanes go on without it and say so")
async def test_a_candidate_that_can_not_be_loaded_is_named_and_served_without(
    environment: Environment, models: Models
) -> None:
    deployer = Deployer(environment)
    await deployer.upload(models.folder / "champion", models.champion)
    offset = await deployer.control(
        DeployedModels(champion=models.champion, canary=a_canary(models.other, 0.5), shadows=(models.trees,))
    )
    await environment.start()
    await environment.topics.observe(*events(300))
    account = await environment.account(prediction=300)
    assert {one["role"] for one in predictions_of(account.read)} == {"champion"}
    for of_lane in (await deployer.switches()).values():
        refused = {one.model for one in of_lane if one.state == "refused"}
        assert refused == {models.other.label, models.trees.label}
        assert of_lane[-1].state == "serving"
        assert (of_lane[-1].models.canary, of_lane[-1].models.shadows) == (None, ())
        assert {one.control_offset for one in of_lane} == {offset}


async def test_at_least_once_a_canary_is_refused(environment: Environment, models: Models) -> None:
    deployer = await uploaded(environment, models)
    await deployer.control(DeployedModels(champion=models.champion, canary=a_canary(models.other, 0.5)))
    await environment.start(worker__delivery="at-least-once")
    await environment.topics.observe(*events(300))
    await environment.settled()
    read = await environment.topics.read()
    assert {one["role"] for one in predictions_of(read)} == {"champion"}
    refused = [one for of_lane in (await deployer.switches()).values() for one in of_lane if one.state == "refused"]
    assert {one.model for one in refused} == {models.other.label}
    assert all("at-least-once" in one.reason for one in refused)


@pytest.mark.fault("a champion's process that hangs", promise="nothing is dead-lettered; the worker ends")
async def test_a_champion_that_hangs_ends_the_worker_and_dead_letters_nothing(
    environment: Environment, models: Models
) -> None:
    deployer = await uploaded(environment, models)
    await deployer.control(DeployedModels(champion=models.trees))
    worker = await environment.start(models__timeout_ms=500)
    child = await the_child(worker.pid)
    os.kill(child.pid, signal.SIGSTOP)
    await environment.topics.observe(*events(20))
    assert await ended(worker) == 1
    assert "does not answer" in worker.log()
    await environment.start(models__timeout_ms=60_000)
    await environment.account(prediction=20)
