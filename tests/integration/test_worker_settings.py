"""What a worker says and does where it can't, or may not, begin."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic

from stream_scorer.runtime.cluster.topic_admin import definitions_for
from stream_scorer.runtime.settings.settings import load_settings
from tests.integration.broker_sources import Broker
from tests.support.traffic import feed, send, traffic
from tests.support.workers import Environment, ended, stopped, until


@asynccontextmanager
async def admin(broker: Broker) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


def never_applied(broker: Broker, prefix: str, tmp_path: Path) -> Environment:
    """An environment whose topics nobody has made."""
    return Environment(broker.bootstrap, prefix, tmp_path, {})


async def test_missing_topics_are_named_with_the_command_that_makes_them(
    broker: Broker, prefix: str, tmp_path: Path
) -> None:
    worker = never_applied(broker, prefix, tmp_path).worker().start()
    assert await ended(worker) == 1
    assert f"{prefix}stops.observations" in worker.log()
    assert "stream-scorer topics apply" in worker.log()


async def test_inputs_with_different_numbers_of_partitions_are_refused(
    broker: Broker, prefix: str, tmp_path: Path
) -> None:
    settings = load_settings(None, {}, {"topics.prefix": prefix})
    async with admin(broker) as client:
        await client.create_topics(
            [
                NewTopic(one.name, 3 if one.name.endswith("stops.outcomes") else one.partitions, 1)
                for one in definitions_for(settings)
            ]
        )
    worker = never_applied(broker, prefix, tmp_path).worker().start()
    assert await ended(worker) == 1
    assert f"{prefix}stops.outcomes" in worker.log()
    assert "partitions" in worker.log()


async def test_a_port_that_is_taken_is_named(environment: Environment) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        worker = environment.worker(http__port=port)
        worker.command[worker.command.index("--http-port") + 1] = str(port)
        worker.start()
        assert await ended(worker) in (1, 2)
    assert str(port) in worker.log()
    assert "Traceback" not in worker.log()


async def test_no_model_is_named_with_the_command_that_makes_one(environment: Environment, tmp_path: Path) -> None:
    worker = environment.worker(model__folder=str(tmp_path / "nowhere")).start()
    assert await ended(worker) == 1
    assert "stream-scorer train" in worker.log()


@pytest.mark.long  # a worker looks at the topics once a minute
async def test_a_worker_stops_before_its_next_commit_where_partitions_were_added(
    broker: Broker, environment: Environment
) -> None:
    topics = environment.topics
    worker = await environment.start()
    await send(topics, traffic(200))
    await environment.settled()
    async with admin(broker) as client:
        await client.create_partitions({topics.names.observations: NewPartitions(5)})
        feeding = asyncio.create_task(feed(topics, traffic(100_000, id_prefix="late-")))
        try:
            assert await asyncio.to_thread(worker.wait, 90) == 1
        finally:
            feeding.cancel()
    assert "number of partitions" in worker.log() or "The number is fixed" in worker.log()
    read = await topics.read()
    assert len(read.predictions) > 150


@pytest.mark.parametrize("signals", [1, 3])
async def test_sigterm_while_joining_the_group_ends_the_worker_with_0(environment: Environment, signals: int) -> None:
    """The group waits for a member that does not answer, and the new one with it."""
    silent = await environment.start("silent", worker__session_timeout_ms=20_000)
    silent.pause()
    joining = environment.worker("joining").start()
    await until(lambda: "is warm" in joining.log(), "the model is warm")
    await until(lambda: joining.http_status("/readyz") == 503, "it says that it is not ready")
    for _ in range(signals - 1):
        joining.send_signal(signal.SIGTERM)  # an impatient supervisor
    assert await stopped(joining) == 0
    silent.resume()
    await environment.account()
