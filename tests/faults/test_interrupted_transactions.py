"""A worker is killed, or stopped and woken, between two steps of a transaction that holds records of all its lanes, in
both versions of transactions: nothing is lost or said twice.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from stream_scorer.operations.harness.worker_process import WorkerProcess
from stream_scorer.operations.local_broker import LocalBroker
from tests.faults.interrupted_worker import NUMBER, SIGNAL, STEP
from tests.runtime.publishing.features import set_transaction_version
from tests.support.traffic import feed, traffic
from tests.support.workers import Environment, an_environment, ended, until, woken_without_a_commit

SMALL_BATCHES: dict[str, Any] = {"worker__batch_records_max": 100, "worker__session_timeout_ms": 6_000}
STEPS = ("records", "offsets", "end")


@pytest.fixture(scope="module", params=[1, 2], ids=["version 1", "version 2"])
def versioned(request: pytest.FixtureRequest) -> Iterator[LocalBroker]:
    with LocalBroker() as running:
        asyncio.run(set_transaction_version(running.bootstrap, request.param))
        yield running


@pytest.fixture
async def environment(versioned: LocalBroker, prefix: str, tmp_path: Path) -> AsyncIterator[Environment]:
    async with an_environment(versioned.bootstrap, prefix, tmp_path, **SMALL_BATCHES) as environment:
        yield environment


def interrupted(environment: Environment, step: str, transaction: int, by: str, name: str = "one") -> WorkerProcess:
    """A worker that gets this signal, from itself, after that step of its so-manieth transaction."""
    worker = environment.worker(name)
    at = worker.command.index("stream_scorer")
    worker.command[at] = "tests.faults.interrupted_worker"
    worker._environ |= {STEP: step, NUMBER: str(transaction), SIGNAL: by}
    return worker


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.fault(
    "kill -9 after the records, after the offsets, after the end of a transaction",
    promise="nothing lost, nothing doubled",
)
async def test_a_worker_killed_between_two_steps_loses_and_doubles_nothing(environment: Environment, step: str) -> None:
    topics = environment.topics
    worker = interrupted(environment, step, random.Random(step).randrange(2, 5), "SIGKILL").start()
    feeding = asyncio.create_task(feed(topics, traffic(2_000)))
    assert await ended(worker) == -9
    await environment.start("two")
    await feeding
    result = await environment.account()
    assert result.ended["prediction"] > 1_800


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.fault(
    "a worker suspended after each of these steps and woken", promise="the previous owner commits nothing more"
)
async def test_a_worker_woken_between_two_steps_commits_nothing_more(environment: Environment, step: str) -> None:
    topics = environment.topics
    worker = interrupted(environment, step, random.Random(step).randrange(2, 5), "SIGSTOP").start()
    feeding = asyncio.create_task(feed(topics, traffic(2_000)))
    await until(lambda: is_stopped(worker), "it has stopped itself")
    other = await environment.start("two")
    await feeding
    await environment.settled()
    await woken_without_a_commit(worker)
    result = await environment.account()
    assert result.ended["prediction"] > 1_800
    assert other.exit_status() is None


def is_stopped(worker: WorkerProcess) -> bool:
    return Path(f"/proc/{worker.pid}/stat").read_text().rpartition(") ")[2].startswith("T")


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.fault("kill -9 at random steps, one after the other", promise="nothing lost, nothing doubled")
async def test_kills_at_random_steps_one_behind_the_other_lose_and_double_nothing(
    environment: Environment, seed: int
) -> None:
    topics, moments = environment.topics, random.Random(seed)
    feeding = asyncio.create_task(feed(topics, traffic(4_000, seed=seed)))
    for number in range(3):
        step, transaction = moments.choice(STEPS), moments.randrange(1, 4)
        worker = interrupted(environment, step, transaction, "SIGKILL", f"worker-{number}").start()
        assert await ended(worker) == -9
    await environment.start("last")
    await feeding
    await environment.account()
