"""A roll-out from the shell with a real worker: what commands upload it loads, and every lane says that it serves."""

import asyncio
import json
import secrets
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from stream_scorer.commands.main import app
from stream_scorer.models.synthetic.generator import Generator
from tests.support.models import save_additive
from tests.support.workers import Environment


async def with_traffic(environment: Environment, *arguments: object) -> Any:
    """What a command says while observations come: lanes switch with their next batches."""
    settings = environment.settings
    given = ("--bootstrap", settings.kafka.bootstrap, "--prefix", settings.topics.prefix, "--json")
    command = asyncio.create_task(asyncio.to_thread(CliRunner().invoke, app, ["model", *map(str, arguments), *given]))
    while not command.done():
        events = Generator(secrets.randbits(20)).events(40, 0, f"ev-{secrets.token_hex(4)}-")
        await environment.topics.observe(*(event.value for event in events))
        await asyncio.sleep(0.1)
    ran = command.result()
    assert ran.exit_code == 0, (ran.output, ran.exception)
    return json.loads(ran.stdout)


async def test_a_worker_serves_what_was_deployed_promoted_and_rolled_back(
    environment: Environment, tmp_path: Path
) -> None:
    for name, seed in (("own", 1), ("first", 2), ("second", 3)):
        save_additive(tmp_path / name, name, seed=seed)
    await environment.start(model__folder=str(tmp_path / "own"))
    wait = ("--wait", "--timeout", "90")
    deployed = await with_traffic(environment, "deploy", tmp_path / "first", "--as", "champion", *wait)
    assert [lane["state"] for lane in deployed["lanes"]] == ["serving"] * 4
    await with_traffic(environment, "deploy", tmp_path / "second", "--as", "canary", "--share", "30", *wait)
    shared = await with_traffic(environment, "status")
    assert [(model["role"], model["name"], model["loaded"]) for model in shared["models"]] == [
        ("champion", "first", 4),
        ("canary", "second", 4),
    ]
    promoted = await with_traffic(environment, "promote", *wait)
    assert {lane["serving"]["models"]["champion"]["name"] for lane in promoted["lanes"]} == {"second"}
    back = await with_traffic(environment, "rollback", *wait)
    assert {lane["serving"]["models"]["champion"]["name"] for lane in back["lanes"]} == {"first"}
    assert (shared["passed_over"], shared["late"]) == (0, 0)
