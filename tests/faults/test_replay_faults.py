"""Replays that are killed, that meet each other, that run while workers come and go: each letter is replayed once."""

import asyncio
import json
import os
import random
import sys
from collections import Counter
from pathlib import Path

import pytest

from stream_scorer.core.dead_letters.repair import Fix, parse_fix
from stream_scorer.core.records.audit_log import Action
from stream_scorer.operations.dead_letters.query.filters import State
from tests.support.dead_letters import an_office, buried, delete_letters, ledger, predicted_ids, settings_of, wrong
from tests.support.workers import ROOT, WAIT_S_MAX, Environment, text, variable

LETTERS = 400


async def replaying(environment: Environment, folder: Path, *arguments: str) -> asyncio.subprocess.Process:
    """The command as a person gives it, in a process of its own."""
    settings = settings_of(environment, folder)
    given = {
        "kafka.bootstrap": settings.kafka.bootstrap,
        "topics.prefix": settings.topics.prefix,
        "worker.state_folder": settings.worker.state_folder,
    }
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "stream_scorer", "dead-letters", "replay"),
        *("--all", "--fix", "match-case", "--yes", "--json", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | {variable(key): text(value) for key, value in given.items()},
    )


async def said(process: asyncio.subprocess.Process) -> tuple[int, dict[str, int]]:
    """Exit status, and what became of the letters."""
    async with asyncio.timeout(WAIT_S_MAX):
        out, err = await process.communicate()
    assert out, err.decode()
    report = json.loads(out)
    return process.returncode or 0, {"replayed": report["replayed"], **report["skipped"]}


async def each_was_replayed_once(environment: Environment, ids: list[str]) -> None:
    entries = await ledger(environment)
    assert Counter(entry.act for entry in entries) == {Action.REPLAY: len(ids)}
    assert len({entry.origin for entry in entries}) == len(ids)
    await environment.settled()
    assert await predicted_ids(environment) == sorted(ids)
    published = {(entry.became.partition, entry.became.offset) for entry in entries if entry.became is not None}
    inputs = (await environment.topics.read()).observations
    replayed = {(record.partition, record.offset) for record in inputs if "scorer.replays" in dict(record.headers)}
    assert published == replayed
    await environment.account(prediction=len(ids), dead_letter=len(ids))


@pytest.mark.fault("a replay of dead letters is killed and run again", promise="each dead letter is replayed once")
async def test_a_replay_that_is_killed_and_said_again_replays_each_letter_once(
    environment: Environment, tmp_path: Path
) -> None:
    await environment.start()
    ids, moments = [f"ev-{number}" for number in range(LETTERS)], random.Random(3)
    await buried(environment, *map(wrong, ids))
    cut_short = 0
    for _ in range(3):
        done = len(await ledger(environment))
        process = await replaying(environment, tmp_path / "operator", "--rate", "150")
        async with asyncio.timeout(WAIT_S_MAX):
            while len(await ledger(environment)) == done:
                await asyncio.sleep(0.01)
        await asyncio.sleep(moments.uniform(0, 0.2))
        process.kill()
        await process.communicate()
        cut_short += len(await ledger(environment)) < LETTERS
    assert cut_short == 3
    status, counts = await said(await replaying(environment, tmp_path / "operator"))
    assert (status, sum(counts.values())) == (0, LETTERS)
    assert 0 < counts["replayed"] < LETTERS
    await each_was_replayed_once(environment, ids)


@pytest.mark.fault("two operators replay the same dead letters at once", promise="each dead letter is replayed once")
async def test_two_operators_who_replay_the_same_letters_at_once_replay_each_once(
    environment: Environment, tmp_path: Path
) -> None:
    await environment.start()
    ids = [f"ev-{number}" for number in range(LETTERS)]
    await buried(environment, *map(wrong, ids))
    both = [await replaying(environment, tmp_path / name, "--rate", "300") for name in ("ann", "ben")]
    (first, ann), (second, ben) = await asyncio.gather(*map(said, both))
    assert (first, second) == (0, 0)
    assert ann["replayed"] + ben["replayed"] == LETTERS
    assert sum(ann.values()) == sum(ben.values()) == LETTERS
    await each_was_replayed_once(environment, ids)


@pytest.mark.fault("workers come and go during a replay", promise="each dead letter is replayed once")
async def test_a_replay_goes_on_while_workers_come_and_go(environment: Environment, tmp_path: Path) -> None:
    one = await environment.start("one")
    ids = [f"ev-{number}" for number in range(LETTERS)]
    await buried(environment, *map(wrong, ids))
    process = await replaying(environment, tmp_path / "operator", "--rate", "150")
    two = await environment.start("two")
    await asyncio.sleep(0.3)
    one.kill()
    assert await said(process) == (0, {"replayed": LETTERS})
    await each_was_replayed_once(environment, ids)
    assert two.exit_status() is None


@pytest.mark.fault("retention deletes a dead letter during a replay", promise="the command says that it is gone")
async def test_a_letter_that_retention_deletes_in_the_meantime_is_said_to_be_gone(
    environment: Environment, tmp_path: Path
) -> None:
    await environment.start()
    await buried(environment, *[wrong(f"ev-{number}") for number in range(40)])
    fix = parse_fix(named=["match-case"])
    assert isinstance(fix, Fix)
    async with an_office(environment, tmp_path / "operator") as office:
        before = await office.states()
        await delete_letters(environment, 5)
        report = await office.replay(fix=fix, yes=True)
        await office.refresh()
        left = await office.states()
    assert before[State.OPEN] == 40
    assert report.replayed == left[State.REPLAYED] == sum(left.values()) < 40
    await environment.settled()
    assert len(await predicted_ids(environment)) == report.replayed
