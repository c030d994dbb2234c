"""Who does not belong into the workers' group is named: client id, host, topics; nothing is lost without a word."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

from tests.support.builders import an_event
from tests.support.workers import Environment, ended, stopped, until


@asynccontextmanager
async def a_stranger(environment: Environment, *topics: str, **options: Any) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer of somebody else in the workers' group."""
    consumer = AIOKafkaConsumer(
        *topics,
        bootstrap_servers=environment.bootstrap,
        group_id=environment.settings.group_name,
        client_id="console-consumer",
        **{"partition_assignment_strategy": (RangePartitionAssignor,), **options},
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def test_a_stranger_that_takes_one_of_our_topics_is_named_when_the_worker_ends(environment: Environment) -> None:
    worker = await environment.start()
    async with a_stranger(environment, environment.names.observations):
        assert await ended(worker) == 1
    log = worker.log()
    assert f"is in the group {environment.settings.group_name} and has partition" in log
    assert "client id 'console-consumer' at 127.0.0.1 on " + environment.names.observations in log
    assert "must have the same number of partitions" not in log


async def test_a_stranger_that_takes_whole_lanes_is_named_and_the_worker_is_not_ready(environment: Environment) -> None:
    worker = await environment.start()
    async with a_stranger(environment, environment.names.observations, environment.names.outcomes):
        await until(lambda: "A consumer that is not a worker is in the group" in worker.log(), "the stranger is named")
        assert "client id 'console-consumer' at 127.0.0.1" in worker.log()
        await until(lambda: worker.http_status("/readyz") == 503, "the worker is not ready")
        assert worker.exit_status() is None
    await until(worker.is_ready, "the stranger has left")
    assert await stopped(worker) == 0


async def test_a_stranger_on_other_topics_is_named_and_does_no_harm(environment: Environment) -> None:
    worker = await environment.start()
    async with a_stranger(environment, environment.names.predictions):
        await until(lambda: "A consumer that is not a worker is in the group" in worker.log(), "the stranger is named")
        await until(worker.is_ready, "the lanes are open again")
        await environment.topics.observe(an_event("a"))
        await environment.settled()
    await environment.account(prediction=1)


async def test_strangers_that_share_out_otherwise_are_named(environment: Environment) -> None:
    async with a_stranger(
        environment,
        environment.names.observations,
        partition_assignment_strategy=(RoundRobinPartitionAssignor,),
    ) as stranger:
        await until(stranger.assignment, "the stranger has joined")
        worker = environment.worker().start()
        assert await ended(worker) == 1
    assert (
        "share out partitions by another rule than the workers' (range): client id 'console-consumer'" in worker.log()
    )


async def test_two_workers_of_one_static_name_are_told_of_each_other(environment: Environment) -> None:
    names = {"worker__group_instance_id": "pod-0", "worker__session_timeout_ms": 6_000}
    workers = [await environment.start("first", **names), environment.worker("second", **names).start()]
    await until(lambda: any(worker.exit_status() is not None for worker in workers), "one of them has ended")
    out = next(worker for worker in workers if worker.exit_status() is not None)
    assert out.exit_status() == 1
    assert "Another worker has the same worker.group_instance_id 'pod-0': client id 'stream-scorer'" in out.log()


@pytest.mark.parametrize("workers", [2])
async def test_workers_are_no_strangers_to_each_other(environment: Environment, workers: int) -> None:
    started = [await environment.start(f"w{number}") for number in range(workers)]
    await environment.topics.observe(*(an_event(f"id-{n}") for n in range(50)))
    await environment.settled()
    assert all("no worker" not in worker.log() for worker in started)
