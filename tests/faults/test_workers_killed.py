"""Workers killed, joined by others, stopped and woken, in the midst of their work: nothing is lost or said twice."""

import asyncio
import random
from typing import Any

import pytest

from stream_scorer.operations.harness.worker_process import WorkerProcess
from tests.support.kafka_environment import Topics
from tests.support.traffic import feed, send, traffic
from tests.support.workers import Environment, stopped, woken_without_a_commit

# Many transactions, so that a kill finds one open
SMALL_BATCHES: dict[str, Any] = {"worker__batch_records_max": 100}


async def progressed(topics: Topics, predictions: int) -> None:
    """Wait until so many more predictions were committed."""
    before = len((await topics.read()).predictions)
    await topics.read_until(
        lambda read: len(read.predictions) >= before + predictions, f"{predictions} more predictions are there"
    )


async def killed_again_and_again(environment: Environment, times: int) -> None:
    topics, moments = environment.topics, random.Random(7)
    await send(topics, traffic(3_000 * times))
    left_open = kills = 0
    while kills < times or not left_open:
        kills += 1
        assert kills < 5 * times, "no kill came in the midst of a transaction"
        # under one name, so that the group does not wait for the one before
        worker = await environment.start(worker__group_instance_id="w", **SMALL_BATCHES)
        await asyncio.sleep(moments.uniform(0.0, 0.2))  # the moment is the point: any will do
        worker.kill()
        left_open += await topics.open_transactions()
    await environment.start(worker__group_instance_id="w")
    result = await environment.account()
    assert result.ended["prediction"] > 2_800 * times
    assert result.ended["joined"] > 1_000 * times


@pytest.mark.fault("kill -9 three times, once at least inside a transaction", promise="nothing lost, nothing doubled")
async def test_a_worker_killed_again_and_again_loses_and_doubles_nothing(environment: Environment) -> None:
    await killed_again_and_again(environment, 3)


@pytest.mark.long
@pytest.mark.fault("kill -9 ten times", promise="nothing lost, nothing doubled")
async def test_a_worker_killed_ten_times_loses_and_doubles_nothing(environment: Environment) -> None:
    await killed_again_and_again(environment, 10)


@pytest.mark.fault("one of two workers is killed, a third joins", promise="nothing lost, nothing doubled")
async def test_one_of_two_workers_is_killed_and_another_joins(environment: Environment) -> None:
    topics = environment.topics
    settings = SMALL_BATCHES | {"worker__session_timeout_ms": 6_000}
    one, two = (environment.worker(name, **settings).start() for name in ("one", "two"))
    for worker in (one, two):
        await asyncio.to_thread(worker.wait_ready)
    feeding = asyncio.create_task(feed(topics, traffic(6_000)))
    await progressed(topics, 500)
    one.kill()
    three = await environment.start("three")
    await feeding
    result = await environment.account()
    assert result.ended["prediction"] > 5_500
    assert [await stopped(worker) for worker in (two, three)] == [0, 0]


async def pause_in_a_transaction(worker: WorkerProcess, topics: Topics) -> None:
    """What it holds then is what another one must not say again."""
    for _ in range(200):
        worker.pause()
        await asyncio.sleep(0.1)  # what it had sent is answered now
        if await topics.open_transactions():
            return
        worker.resume()
        await asyncio.sleep(0.05)
    raise AssertionError("no transaction was ever open")


@pytest.mark.fault(
    "a worker is suspended beyond its session and woken inside a transaction",
    promise="the previous owner commits nothing more",
)
async def test_a_worker_stopped_beyond_its_session_and_woken_commits_nothing_more(environment: Environment) -> None:
    topics = environment.topics
    stalled = await environment.start("stalled", worker__session_timeout_ms=6_000, **SMALL_BATCHES)
    feeding = asyncio.create_task(feed(topics, traffic(4_000)))
    await topics.read_until(lambda read: len(read.predictions) > 300, "it is at work")
    await pause_in_a_transaction(stalled, topics)
    other = await environment.start("other")
    await feeding
    await environment.settled()
    await woken_without_a_commit(stalled)
    await environment.account()
    assert other.exit_status() is None


@pytest.mark.fault("SIGTERM under load", promise="exit status 0, nothing lost")
async def test_sigterm_under_load_ends_with_0_and_loses_nothing(environment: Environment) -> None:
    worker = await environment.start(**SMALL_BATCHES)
    feeding = asyncio.create_task(feed(environment.topics, traffic(3_000)))
    await progressed(environment.topics, 300)
    assert await stopped(worker) == 0
    await feeding
    await environment.start()
    await environment.account()
