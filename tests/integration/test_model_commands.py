"""`stream-scorer model` on a real Kafka: a roll-out from the shell, with what workers write written by hand."""

import asyncio
import csv
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner, Result

from stream_scorer.commands.main import app
from stream_scorer.core.contract.observation_code import observation_columns
from stream_scorer.core.records.model_control import DeployedModels
from stream_scorer.core.rollout.evidence import cell_of
from stream_scorer.errors import ModelError, OvertakenError, SettingsError, TopicsError
from stream_scorer.models.dataframes import frame_of
from stream_scorer.models.registry.model_directory import save_model
from stream_scorer.models.synthetic.generator import Generator
from stream_scorer.models.training.dataset import LABEL
from stream_scorer.models.training.pipelines import logistic
from stream_scorer.operations.rollout.service import open_rollout
from stream_scorer.runtime.settings.settings import Settings
from tests.integration.broker_sources import Broker
from tests.integration.topic_writer import home, writing
from tests.support.builders import an_event, an_outcome
from tests.support.rollout import WorkerHand, fresh_topics, worker_hand

ROWS = 2_000


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two models with other names and digests."""
    made = tmp_path_factory.mktemp("models")
    generator = Generator(1)
    codes = generator.codes(ROWS)
    pipeline = logistic(0).fit(frame_of(codes), generator.outcomes_of(codes))
    for name, threshold in (("first", 0.5), ("second", 0.45)):
        save_model(made / name, pipeline, name=name, threshold=threshold)
    return {name: made / name for name in ("first", "second")}


@pytest.fixture
async def settings(broker: Broker, prefix: str) -> AsyncIterator[Settings]:
    async with fresh_topics(broker.bootstrap, prefix) as settings:
        yield settings


@pytest.fixture
async def worker(settings: Settings) -> AsyncIterator[WorkerHand]:
    async with worker_hand(settings) as worker:
        yield worker


async def run(settings: Settings, *arguments: object) -> Result:
    given = ("--bootstrap", settings.kafka.bootstrap, "--prefix", settings.topics.prefix)
    return await asyncio.to_thread(CliRunner().invoke, app, ["model", *map(str, arguments), *given])


async def said(settings: Settings, *arguments: object) -> Any:
    ran = await run(settings, *arguments, "--json")
    assert ran.exit_code == 0, (ran.output, ran.exception)
    return json.loads(ran.stdout)


def models_of(done: Any) -> DeployedModels:
    """The models of a control record that a command printed."""
    return msgspec.convert(done["control"]["models"], DeployedModels)


async def test_a_roll_out_from_the_shell(settings: Settings, worker: WorkerHand, folders: dict[str, Path]) -> None:
    assert "no model is deployed" in (await run(settings, "status")).stdout
    ran = await run(settings, "deploy", folders["first"], "--as", "champion", "--why", "the first", "--who", "ann")
    assert ran.exit_code == 0, ran.output
    assert "becomes the first champion" in ran.stderr
    assert "control record 0 counts" in ran.stdout

    done = await said(settings, "deploy", folders["second"], "--as", "canary", "--share", "10", "--who", "ben")
    assert done["control"]["models"]["canary"]["share"] == 0.1
    models = models_of(done)

    refused = await run(settings, "promote")
    assert isinstance(refused.exception, ModelError)
    assert "not loaded on the lanes 0 (waiting), 1 (waiting)" in str(refused.exception)

    await worker.switch(models, done["offset"])
    status = await said(settings, "status")
    assert [lane["state"] for lane in status["lanes"]] == ["serving"] * 4
    assert [(model["role"], model["name"], model["loaded"]) for model in status["models"]] == [
        ("champion", "first", 4),
        ("canary", "second", 4),
    ]
    assert status["control"]["who"] == "ben"

    shared = await run(settings, "share", "25")
    assert "25 % of the ids instead of 10 %; ids that have it keep it" in shared.stderr
    promoted = await said(settings, "promote", "second", "--why", "better")
    assert promoted["control"]["models"]["champion"]["name"] == "second"
    assert promoted["control"]["models"]["previous"]["name"] == "first"
    back = await said(settings, "rollback")
    assert back["control"]["models"]["champion"]["name"] == "first"
    assert (await run(settings, "stop", "second")).exit_code == 0
    listed = await said(settings, "list")
    assert [(model["name"], model["role"]) for model in listed["models"]] == [("first", "champion"), ("second", None)]
    assert (listed["models"][0]["who"], listed["passed_over"]) == ("ann", 0)


async def test_an_uploaded_model_is_a_source(settings: Settings, folders: dict[str, Path]) -> None:
    await said(settings, "deploy", folders["first"], "--as", "champion")
    shown = await said(settings, "show", "uploaded:/first")
    assert shown["card"]["name"] == "first"
    assert (await said(settings, "verify", f"uploaded:/first@{shown['digest'][:12]}"))["passed"]
    again = await said(settings, "deploy", "uploaded:/first", "--as", "champion", "--threshold", "0.6")
    assert again["control"]["models"]["champion"]["threshold"] == 0.6
    assert len((await said(settings, "list"))["models"]) == 1


async def test_whoever_was_slower_ends_with_status_4(settings: Settings, folders: dict[str, Path]) -> None:
    first = models_of(await said(settings, "deploy", folders["first"], "--as", "champion"))
    async with open_rollout(settings, who="ann") as rollout:
        planned = await rollout.plan_deploy(first.champion, "champion")
        assert (await run(settings, "deploy", folders["second"], "--as", "shadow", "--who", "ben")).exit_code == 0
        with pytest.raises(OvertakenError, match="ben was quicker") as caught:
            await rollout.commit(planned)
    assert caught.value.exit_status == 4


async def test_waiting_names_the_lanes_that_refuse(
    settings: Settings, worker: WorkerHand, folders: dict[str, Path]
) -> None:
    first = await said(settings, "deploy", folders["first"], "--as", "champion")
    deploy = ("deploy", folders["second"], "--as", "shadow", "--wait", "--timeout", "60")
    async with open_rollout(settings) as onlooker:  # one command at a time: they share this process's output
        waiting = asyncio.create_task(run(settings, *deploy))
        while (offset := (await onlooker.status()).control_offset) == first["offset"]:
            assert not waiting.done(), waiting.result().output
            await asyncio.sleep(0.05)
    await worker.switch(models_of(first), offset, lanes=[0, 1, 3])
    refusal = {"model": "second@abc", "reason": "no memory left"}
    await worker.switch(models_of(first), offset, lanes=[2], state="refused", **refusal)
    ran = await waiting
    assert ran.exit_code == 1
    assert "lane 2 refused second@abc: no memory left" in ran.stderr
    timed_out = await run(settings, "stop", "second", "--wait", "--timeout", "1")
    assert timed_out.exit_code == 1
    assert "lane 0 does not serve it yet (waiting)" in timed_out.stderr


async def test_status_says_what_is_missing(settings: Settings, worker: WorkerHand, folders: dict[str, Path]) -> None:
    await said(settings, "deploy", folders["first"], "--as", "champion")
    done = await said(settings, "deploy", folders["second"], "--as", "shadow")
    models = models_of(done)
    cells = [0] * 8
    for champion, candidate, outcome, count in (
        (False, False, False, 480),
        (False, True, True, 90),
        (False, True, False, 30),
        (True, True, True, 240),
        (True, True, False, 160),
    ):
        cells[cell_of(champion, candidate, outcome)] = count
    await worker.count(models, models.shadows[0], [count // 2 for count in cells], lane=1)
    await worker.count(models, models.shadows[0], cells, lane=1)  # cumulative: the last one counts
    await worker.count(models, models.shadows[0], cells, lane=2)
    found = await said(settings, "status")
    (candidate,) = found["candidates"]
    assert (candidate["role"], candidate["progress"]["outcomes"]) == ("shadow", 2 * sum(cells))
    conditions = {each["name"]: each for each in candidate["progress"]["conditions"]}
    assert list(conditions)[:3] == ["gain", "success_rate", "recall"]
    assert conditions["success_rate"]["value"] == pytest.approx(330 / 520)
    assert conditions["success_rate"]["shown"]
    gap = conditions["gap_W-B"]
    assert (gap["shown"], gap["bound"]) == (False, 0.05)
    assert gap["expected_outcomes"] > 0
    text = (await run(settings, "status")).stdout
    assert f"second@{candidate['digest'][:12]} (shadow) beside first@" in text
    assert "only where a search happened" in text


async def test_what_may_not_be_deployed_is_not_uploaded(
    settings: Settings, folders: dict[str, Path], tmp_path: Path
) -> None:
    generator = Generator(2)
    codes = generator.codes(500)
    with (tmp_path / "stops.csv").open("w", newline="") as file:
        rows = [{**observation_columns(code), LABEL: False} for code in codes.tolist()]
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    ran = await run(settings, "deploy", folders["first"], "--as", "champion", "--labelled", tmp_path / "stops.csv")
    assert isinstance(ran.exception, ModelError)
    assert "may not be deployed: its success rate is 0.000" in str(ran.exception)
    assert (await said(settings, "list"))["models"] == []


async def test_a_retained_range_is_what_a_model_is_held_against(
    broker: Broker, prefix: str, folders: dict[str, Path]
) -> None:
    async with writing(broker.bootstrap, prefix) as hand:
        async with hand.producer.transaction():
            for id_, outcomes in {"a": [True], "b": [True, False], "c": [False]}.items():
                observed = await hand.observe(an_event(id_), home(id_))
                await hand.predict(observed)
                for revision, outcome in enumerate(outcomes, 1):
                    reported = await hand.report(an_outcome(id_, outcome), home(id_))
                    await hand.update(reported, "joined", revision=revision)
        verify = ("verify", folders["first"], "--from", "2020-01-01T00:00:00Z", "--threshold", "0")
        passed = await said(hand.settings, *verify, "--min-success-rate", "0.3")
        assert (passed["rows"], passed["positives"]) == (3, 3)
        assert passed["success_rate"] == pytest.approx(1 / 3)
        assert (await run(hand.settings, *verify)).exit_code == 1
        assert (await run(hand.settings, *verify[:-1], "1")).exit_code == 1  # no positive prediction
        empty = await run(hand.settings, "verify", folders["first"], "--to", "2020-01-01T00:00:00Z")
        assert isinstance(empty.exception, ModelError)


async def test_topics_that_are_missing_are_named(broker: Broker, prefix: str, folders: dict[str, Path]) -> None:
    given = ("--bootstrap", broker.bootstrap, "--prefix", prefix)
    ran = await asyncio.to_thread(CliRunner().invoke, app, ["model", "status", *given])
    assert isinstance(ran.exception, TopicsError)
    both = ["model", "verify", str(folders["first"]), "--labelled", "x.csv", "--from", "2020-01-01T00:00:00Z", *given]
    assert isinstance((await asyncio.to_thread(CliRunner().invoke, app, both)).exception, SettingsError)
