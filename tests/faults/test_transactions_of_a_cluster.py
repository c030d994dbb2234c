"""What happens to a cluster while workers commit to it: a coordinator dies, a partition has no leader, the version of
its transactions changes, and producer ids change.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import CoordinationType

from stream_scorer.operations.harness.worker_process import WorkerProcess
from stream_scorer.operations.local_broker import LocalBroker
from stream_scorer.runtime.cluster.topic_definitions import definitions_for
from stream_scorer.runtime.kafka.protocol.client import ProtocolClient
from stream_scorer.runtime.publishing.producer_identity import initialise
from tests.runtime.publishing.features import set_transaction_version
from tests.support.traffic import feed, send, traffic
from tests.support.workers import Environment, an_environment, stopped, until

OUTAGE = 75
SETTINGS: dict[str, Any] = {"worker__batch_records_max": 100, "worker__session_timeout_ms": 6_000}
# An epoch is a signed 16-bit number, and a producer gets another id before it is used up
EPOCH_MAX = 32_767


@pytest.mark.long
@pytest.mark.fault("the transaction coordinator of three brokers is killed", promise="nothing lost, nothing doubled")
async def test_the_coordinator_of_the_worker_s_transactions_is_killed(
    three_brokers: LocalBroker, prefix: str, tmp_path: Path
) -> None:
    settings = SETTINGS | {"topics__replication": 3}
    async with an_environment(three_brokers.bootstrap, prefix, tmp_path, **settings) as environment:
        topics = environment.topics
        worker = await environment.start()
        feeding = asyncio.create_task(feed(topics, traffic(4_000)))
        await topics.read_until(lambda read: len(read.predictions) > 500, "the worker is at work")
        three_brokers.kill(await coordinator(environment))
        await feeding
        if worker.exit_status() == OUTAGE:
            await environment.start()
        result = await environment.account()
        assert result.ended["prediction"] > 3_500
        assert worker.exit_status() in (None, OUTAGE)


async def coordinator(environment: Environment) -> int:
    """The node that decides the transactions of the first lane's id."""
    client = ProtocolClient({"bootstrap_servers": environment.bootstrap}, request_timeout_ms=10_000)
    await client.start()
    id_ = environment.settings.transactional_id(0)
    node: int = await client._client.coordinator_lookup(CoordinationType.TRANSACTION, id_)
    await client.close()
    return node


@pytest.mark.long
@pytest.mark.fault("one partition has no leader", promise="the other lanes go on")
async def test_a_partition_without_a_leader_holds_up_its_own_lane_only(
    three_brokers: LocalBroker, prefix: str, tmp_path: Path
) -> None:
    settings = SETTINGS | {"worker__transaction_timeout_ms": 8_000, "topics__replication": 1}
    environment = Environment(three_brokers.bootstrap, prefix, tmp_path, dotted(settings))
    lanes = environment.topics.partitions
    # all on the first two nodes, but for the last lane's predictions
    await make_topics(environment, {number: [number % 2] for number in range(lanes)}, lonely=(lanes - 1, 2))
    async with environment:
        topics = environment.topics
        worker = await environment.start()
        await send(topics, traffic(1_000))
        await environment.settled()
        three_brokers.kill(2)
        # the counts of the reader need all nodes; the worker's own figures do not
        before = committed(worker)
        feeding = asyncio.create_task(feed(topics, traffic(4_000, id_prefix="later-")))
        await until(lambda: committed(worker) > before + 2_000, "the other lanes go on")
        assert worker.exit_status() is None
        await asyncio.to_thread(three_brokers.restart, 2)
        await feeding
        await until(worker.is_ready, "all lanes are open again")
        result = await environment.account()
        assert result.ended["prediction"] > 4_500
        assert await stopped(worker) == 0


def dotted(settings: dict[str, Any]) -> dict[str, Any]:
    return {name.replace("__", "."): value for name, value in settings.items()}


async def make_topics(environment: Environment, replicas: dict[int, list[int]], lonely: tuple[int, int]) -> None:
    """The topics of lanes with their partitions on these nodes, before anybody else makes them."""
    partition, node = lonely
    topics = []
    for topic in definitions_for(environment.settings):
        placed = dict(replicas) if topic.lanes else {number: [0] for number in range(topic.partitions)}
        if topic.name == environment.names.predictions:
            placed[partition] = [node]
        config = topic.config | {"min.insync.replicas": "1"}
        topics.append(NewTopic(topic.name, -1, -1, replica_assignments=placed, topic_configs=config))
    admin = AIOKafkaAdminClient(bootstrap_servers=environment.bootstrap)
    await admin.start()
    made = await admin.create_topics(topics)
    assert not any(code for _, code, *_ in made.topic_errors), made
    await admin.close()


def committed(worker: WorkerProcess) -> int:
    """Observations whose batches were committed, by the worker's own count."""
    lines = worker.metrics().splitlines()
    return sum(
        int(float(line.rpartition(" ")[2])) for line in lines if line.startswith("stream_scorer_observations_total{")
    )


@pytest.fixture
def version_1() -> Iterator[LocalBroker]:
    with LocalBroker() as running:
        asyncio.run(set_transaction_version(running.bootstrap, 1))
        yield running


@pytest.mark.fault("transaction.version goes from 1 to 2 under a worker", promise="nothing lost, nothing doubled")
async def test_transactions_of_version_2_are_finalized_while_a_worker_runs(
    version_1: LocalBroker, prefix: str, tmp_path: Path
) -> None:
    async with an_environment(version_1.bootstrap, prefix, tmp_path, **SETTINGS) as environment:
        topics = environment.topics
        worker = await environment.start()
        feeding = asyncio.create_task(feed(topics, traffic(4_000)))
        await topics.read_until(lambda read: len(read.predictions) > 500, "the worker is at work")
        await set_transaction_version(version_1.bootstrap, 2)
        # one more, so that both open their lanes anew
        other = await environment.start("other")
        await until(lambda: "transactions of version 2" in other.log(), "the new version is used")
        await feeding
        result = await environment.account()
        assert result.ended["prediction"] > 3_500
        assert [await stopped(one) for one in (worker, other)] == [0, 0]


@pytest.mark.long
@pytest.mark.fault("the epochs of a producer id are used up", promise="the worker goes on under the next id")
async def test_a_producer_id_is_used_up(own_broker: LocalBroker, prefix: str, tmp_path: Path) -> None:
    async with an_environment(own_broker.bootstrap, prefix, tmp_path, **SETTINGS) as environment:
        client = ProtocolClient({"bootstrap_servers": own_broker.bootstrap}, request_timeout_ms=10_000)
        await client.start()
        lane_id = environment.settings.transactional_id(0)
        producers = await asyncio.gather(*(nearly_used_up(client, lane_id + suffix) for suffix in ("", "+")))
        await client.close()
        worker = await environment.start()
        await feed(environment.topics, traffic(6_000))
        result = await environment.account()
        assert result.ended["prediction"] > 5_500
        assert worker.exit_status() is None
        assert await stopped(worker) == 0
        client = ProtocolClient({"bootstrap_servers": own_broker.bootstrap}, request_timeout_ms=10_000)
        await client.start()
        for suffix, before in zip(("", "+"), producers, strict=True):
            assert (await initialise(client, lane_id + suffix, 10_000)).id != before, "its epochs were not used up"
        await client.close()


async def nearly_used_up(client: ProtocolClient, transactional_id: str) -> int:
    """Initialise an id until few epochs are left of its producer id."""
    producer = await initialise(client, transactional_id, 10_000)
    while producer.epoch < EPOCH_MAX - 20:
        producer = await initialise(client, transactional_id, 10_000)
    return producer.id
