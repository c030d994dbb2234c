"""The local broker is a real Kafka, can be killed and paused, and never outlives its owner."""

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from stream_scorer.operations.local_broker import LocalBroker
from stream_scorer.operations.local_broker.metadata_probe import live_nodes
from tests.integration.broker_sources import Broker

PATIENCE_S = 60.0

pytestmark = pytest.mark.kafka


@asynccontextmanager
async def producing(bootstrap: str, **options: object) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", **options)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def make_topic(bootstrap: str, name: str, copies: int = 1) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(name, num_partitions=1, replication_factor=copies)])
    await admin.close()


async def read(bootstrap: str, topic: str, count: int) -> list[bytes]:
    """The first `count` committed values of a topic with one partition."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, isolation_level="read_committed", auto_offset_reset="earliest"
    )
    await consumer.start()
    consumer.assign([TopicPartition(topic, 0)])
    values = [(await consumer.getone()).value for _ in range(count)]
    await consumer.stop()
    return values


def wait_for(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"waited in vain until {what}"
        time.sleep(0.05)


def has_ended(process: psutil.Process) -> bool:
    """Whether it is gone, or nothing but an entry that its parent has not read yet."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


async def test_transactions_groups_and_headers_work(broker: Broker, prefix: str) -> None:
    topic, group = f"{prefix}topic", f"{prefix}group"
    await make_topic(broker.bootstrap, topic)
    async with producing(broker.bootstrap, transactional_id=f"{prefix}0") as producer:
        await producer.begin_transaction()
        await (await producer.send(topic, b"never seen"))
        await producer.abort_transaction()
        async with producer.transaction():
            await (await producer.send(topic, b"seen", key=b"k", headers=[("h", b"\x00\xff")]))
            await producer.send_offsets_to_transaction({TopicPartition(topic, 0): 7}, group)
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=broker.bootstrap,
        group_id=f"{prefix}readers",
        isolation_level="read_committed",
        auto_offset_reset="earliest",
    )
    await consumer.start()
    record = await consumer.getone()
    await consumer.commit()
    assert (record.key, record.value, record.headers) == (b"k", b"seen", (("h", b"\x00\xff"),))
    assert await consumer.committed(TopicPartition(topic, 0)) == record.offset + 1
    await consumer.stop()
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    assert (await admin.list_consumer_group_offsets(group))[TopicPartition(topic, 0)].offset == 7
    await admin.close()


async def test_killed_node_comes_back_at_the_same_address_with_its_records(own_broker: LocalBroker) -> None:
    address = own_broker.bootstrap
    await make_topic(address, "kept")
    async with producing(address) as producer:
        await producer.send_and_wait("kept", b"before")
        own_broker.kill()
        assert live_nodes("127.0.0.1", own_broker.ports[0].client, 1.0) == frozenset()
        own_broker.restart()
        await producer.send_and_wait("kept", b"after")
    assert own_broker.bootstrap == address
    assert await read(address, "kept", 2) == [b"before", b"after"]


def test_paused_node_keeps_connections_waiting_until_it_is_resumed(own_broker: LocalBroker) -> None:
    port = own_broker.ports[0].client
    own_broker.pause()
    assert live_nodes("127.0.0.1", port, 0.3) == frozenset()
    own_broker.resume()
    wait_for(lambda: live_nodes("127.0.0.1", port, 1.0) == {0}, "the resumed node answers")


def test_paused_node_can_be_stopped(tmp_path: Path) -> None:
    broker = LocalBroker(tmp_path)
    broker.start()
    process = psutil.Process(pid_of(broker))
    broker.pause()
    broker.stop()
    assert has_ended(process)


async def test_three_nodes_go_on_without_one_and_take_it_back(three_brokers: LocalBroker) -> None:
    await make_topic(three_brokers.bootstrap, "copied", copies=3)
    async with producing(three_brokers.bootstrap) as producer:
        await producer.send_and_wait("copied", b"by three")
        three_brokers.kill(1)
        await producer.send_and_wait("copied", b"by two")
        three_brokers.restart(1)
        wait_for(lambda: live_nodes("127.0.0.1", three_brokers.ports[0].internal, 1.0) == {0, 1, 2}, "all are back")
        await producer.send_and_wait("copied", b"by three again")
    assert await read(three_brokers.bootstrap, "copied", 3) == [b"by three", b"by two", b"by three again"]


async def test_folder_keeps_records_from_one_start_to_the_next(tmp_path: Path) -> None:
    with LocalBroker(tmp_path) as broker:
        await make_topic(broker.bootstrap, "kept")
        async with producing(broker.bootstrap) as producer:
            await producer.send_and_wait("kept", b"from the first start")
    with LocalBroker(tmp_path) as broker:
        assert await read(broker.bootstrap, "kept", 1) == [b"from the first start"]


async def test_clients_can_be_asked_for_a_password_while_the_inner_listener_stays_open(prefix: str) -> None:
    users = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="right";'
    asked = {"sasl.enabled.mechanisms": "PLAIN", "listener.name.client.plain.sasl.jaas.config": users}
    with LocalBroker(security="SASL_PLAINTEXT", properties=asked) as broker:
        await make_topic(broker.internal_bootstrap, prefix)
        alice = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN", "sasl_plain_username": "alice"}
        async with producing(broker.bootstrap, **alice, sasl_plain_password="right") as producer:
            await producer.send_and_wait(prefix, b"hers")
        stranger = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, **alice, sasl_plain_password="wrong")
        with pytest.raises(KafkaError):
            await stranger.start()
        await stranger.stop()
        assert await read(broker.internal_bootstrap, prefix, 1) == [b"hers"]


def test_temporary_folder_is_gone_after_stop() -> None:
    with LocalBroker() as broker:
        folder = broker.nodes[0].folder.parent
        assert folder.exists()
    assert not folder.exists()


def test_broker_outlives_the_thread_that_started_it() -> None:
    broker = LocalBroker()
    thread = threading.Thread(target=broker.start)
    thread.start()
    thread.join()
    try:
        time.sleep(1.0)  # a wrong answer comes at once: the kernel's signal, when the thread ends
        assert broker.nodes[0].running
        assert live_nodes("127.0.0.1", broker.ports[0].client, 2.0) == {0}
    finally:
        broker.stop()


def pid_of(broker: LocalBroker) -> int:
    process = broker.nodes[0].process
    assert process is not None
    return process.pid


OWNER = """
import os, time
from stream_scorer.operations.local_broker import LocalBroker
with LocalBroker() as broker:
    fork = os.fork() if {fork} else None
    if fork != 0:
        os.write(1, f"{{broker.nodes[0].process.pid}} {{fork}} {{broker.nodes[0].folder}}\\n".encode())
    time.sleep(600)
"""


@dataclass(frozen=True)
class Owner:
    """A program that owns a broker; its fork; its broker's process; and that one's folder."""

    program: subprocess.Popen[str]
    fork: psutil.Process | None
    java: psutil.Process
    folder: Path

    def kill(self) -> None:
        self.program.kill()
        self.program.wait(PATIENCE_S)


@pytest.fixture
def owner(request: pytest.FixtureRequest) -> Iterator[Owner]:
    """An owner, with a fork of its own where the test's parameter says so; nothing of it is left after the test."""
    program = OWNER.format(fork=getattr(request, "param", False))
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        java, fork, folder = started.stdout.readline().split()
        made = Owner(
            started, psutil.Process(int(fork)) if fork != "None" else None, psutil.Process(int(java)), Path(folder)
        )
        yield made
        made.kill()
        if made.fork is not None:
            made.fork.kill()
        wait_for(lambda: has_ended(made.java), "the broker has ended")
        shutil.rmtree(made.folder.parent, ignore_errors=True)


def test_broker_and_its_temporary_folder_go_when_the_owner_is_killed(owner: Owner) -> None:
    assert owner.java.name() == "java"
    owner.kill()
    wait_for(lambda: has_ended(owner.java), "the broker has ended")
    wait_for(lambda: not owner.folder.parent.exists(), "its folder is deleted")


@pytest.mark.parametrize("owner", [True], indirect=True, ids=["with a fork"])
def test_broker_ends_with_its_owner_though_a_fork_of_the_owner_lives_on(owner: Owner) -> None:
    owner.kill()
    wait_for(lambda: has_ended(owner.java), "the broker has ended")
    assert owner.fork is not None
    assert not has_ended(owner.fork)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
def test_broker_ends_when_its_keeper_is_killed(owner: Owner) -> None:
    keeper = owner.java.parent()
    assert keeper is not None
    keeper.kill()
    wait_for(lambda: has_ended(owner.java), "the broker has ended")


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stream_scorer", "broker", *arguments], capture_output=True, text=True, check=False
    )


def statuses(runs: Sequence[subprocess.CompletedProcess[str]]) -> list[int]:
    return [run.returncode for run in runs]


def test_started_on_purpose_it_stays_until_stop(tmp_path: Path) -> None:
    folder = f"--folder={tmp_path}"
    try:
        started = command("start", folder)
        assert started.returncode == 0, started.stderr
        status, second = command("status", folder), command("start", folder)
        assert statuses([status, second]) == [0, 1]
        assert "answers" in status.stdout
        assert "already" in second.stderr
    finally:
        stopped = command("stop", folder)
    assert (stopped.returncode, stopped.stdout) == (0, "Stopped.\n")
    assert statuses([command("status", folder), command("stop", folder)]) == [1, 0]


def test_in_the_foreground_it_ends_with_its_command(tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "stream_scorer", "broker", "start", "--foreground", "--json"]
    with subprocess.Popen([*arguments, f"--folder={tmp_path}"], stdout=subprocess.PIPE, text=True) as started:
        try:
            assert started.stdout is not None
            java = psutil.Process(json.loads(started.stdout.readline())["nodes"][0]["pid"])
            assert command("status", f"--folder={tmp_path}").returncode == 0
        finally:
            started.terminate()
    assert started.returncode == 0
    assert has_ended(java)
