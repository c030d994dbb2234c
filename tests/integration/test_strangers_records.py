"""Records of strangers on every topic of ours: a worker restores over them and goes on, and every command says what it
has to say."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from typer.testing import CliRunner

from stream_scorer.client import Client, Predicted
from stream_scorer.commands.main import app
from stream_scorer.operations.dead_letters.query.filters import EVERY_STATE, Filter
from tests.nasty import nasty_records
from tests.support.builders import an_event, an_observation, an_outcome
from tests.support.dead_letters import an_office, wrong
from tests.support.traffic import send, traffic
from tests.support.workers import WAIT_S_MAX, Environment, stopped

HEADERS = (
    "scorer.errors",
    "scorer.source",
    "scorer.stage",
    "scorer.moved-from",
    "scorer.replayed-from",
    "scorer.replays",
)
# Of each kind one of many: the rest is tried without a broker
EVERY = 7


async def written_everywhere(environment: Environment) -> int:
    """Write nasty records to every topic of ours, in each with the key of an id that is known; how many to each."""
    names = environment.names
    outputs = (names.predictions, names.outcome_updates, names.dead_letters)
    nasty = [value for _, value in nasty_records()][::EVERY]
    producer = AIOKafkaProducer(bootstrap_servers=environment.bootstrap, max_request_size=1 << 20)
    await producer.start()
    try:
        for value in [*nasty, None]:
            short = [(name, value) for name in HEADERS] if len(value or b"") < 100_000 else []
            for topic in outputs:
                for partition in range(environment.topics.partitions):
                    await producer.send(topic, value, b"known", partition, headers=short)
            await producer.send(names.ledger, value, b"known", 0)
        for topic in (*outputs, names.ledger):
            await producer.send(topic, b"{}", b"k" * 100_000, 0, headers=[("scorer.errors", None), ("", b"")])
    finally:
        await producer.stop()
    return len(nasty) + 2


def run(environment: Environment, folder: Path, *arguments: str) -> Any:
    """What a command prints as JSON."""
    given = ("--bootstrap", environment.bootstrap, "--prefix", environment.settings.topics.prefix, "--json")
    environ = {"STREAM_SCORER_WORKER_STATE_FOLDER": str(folder)}
    result = CliRunner().invoke(app, [*arguments, *given], env=environ)
    assert result.exit_code in (0, 1), result.output
    assert not isinstance(result.exception, Exception), result.exception
    return json.loads(result.stdout)


@pytest.mark.long
async def test_a_worker_restores_over_strangers_records_and_every_command_passes_over_them(
    environment: Environment, tmp_path: Path
) -> None:
    worker = await environment.start()
    await environment.topics.observe(an_event("known"), wrong("broken"))
    await environment.topics.report(an_outcome("known"))
    await send(environment.topics, traffic(50))
    await environment.settled()
    written = await written_everywhere(environment)
    assert await stopped(worker) == 0
    environment.forget("worker")

    again = await environment.start()
    await environment.topics.observe(an_event("later"))
    await environment.settled()
    prefix = environment.settings.topics.prefix
    async with Client(bootstrap=environment.bootstrap, prefix=prefix) as client:
        answer = await client.score("asked", an_observation(), timeout_s=WAIT_S_MAX)
    assert again.exit_status() is None
    assert "were not written by stream-scorer and were skipped" in again.log()
    assert isinstance(answer, Predicted)

    commands = (("audit",), ("quality",), ("trace", "known"), ("dead-letters", "list"), ("dead-letters", "producers"))
    said = {command: await asyncio.to_thread(run, environment, tmp_path / "cli", *command) for command in commands}
    audited = said["audit",]
    assert (audited["unaccounted"], audited["duplicated"], audited["lost_replays"]) == (0, 0, 0)
    assert audited["strays"] > 0
    assert audited["unreadable_acts"] >= written // 2
    assert said["quality",]["unreadable"] > written
    async with an_office(environment, tmp_path / "office") as office:
        everything = Filter(states=EVERY_STATE)
        for listed in await office.find(everything, limit=10_000):
            await office.show(listed.place)
        for listed in await office.find(everything, limit=40):
            await office.history(listed.place)
        await office.groups(everything)
        await office.producers(everything)
        await office.check(everything)
    assert await stopped(again) == 0
