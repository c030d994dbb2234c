"""The rights that the page for deployers names are enough for a worker, and those that matter are needed."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest

from stream_scorer.errors import OutageError
from stream_scorer.operations.local_broker import LocalBroker
from stream_scorer.operations.worker_process import WorkerProcess
from stream_scorer.runtime.topics import load_topics
from tests.contracts.reading_docs import ROOT, text_of
from tests.traffic import send, traffic
from tests.workers import an_environment, stopped

pytestmark = pytest.mark.kafka

# Kafka's numbers
KINDS = {"topic": 2, "group": 3, "transactional": 5}
OPERATIONS = {"Read": 3, "Write": 4, "Describe": 8, "DescribeConfigs": 10}
LITERAL, PREFIXED, ALLOW = 3, 4, 3
JAAS = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_worker="secret";'
SETTINGS = {
    "STREAM_SCORER_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
    "STREAM_SCORER_KAFKA_SASL_MECHANISM": "PLAIN",
    "STREAM_SCORER_KAFKA_SASL_USERNAME": "worker",
    "STREAM_SCORER_KAFKA_SASL_PASSWORD": "secret",
}


class Right(NamedTuple):
    """One line of an access list."""

    kind: str
    name: str
    operation: str


def documented_rights() -> Iterator[Right]:
    """What the page's table says, without the prefix."""
    section = text_of(ROOT / "docs" / "deployers.md").split("## Rights")[1].split("\n## ")[0]
    named: set[str] = set()
    for resource, operations in re.findall(r"^\| (?!resource|--)(.+?) \| (.+?) \|$", section, re.MULTILINE):
        kind = next(kind for kind in KINDS if kind in resource)
        names = [name for name in re.findall(r"`([^`]+)`", resource) if name.startswith("st")]
        if resource.startswith("the other"):
            names = [topic.name for topic in load_topics() if topic.name not in named]
        named |= set(names)
        for name in names:
            for operation in re.sub(r" \(.*?\)", "", operations).split(", "):
                yield Right(kind, name, operation)


async def grant(bootstrap: str, rights: list[Right], prefix: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        for right in rights:
            pattern = PREFIXED if right.kind == "transactional" else LITERAL
            place = KINDS[right.kind], prefix + right.name, pattern
            request = CreateAclsRequest(*place, "User:worker", "*", OPERATIONS[right.operation], ALLOW)
            response = await admin._send_to_controller(request)
            assert [code for code, _ in response.creation_responses] == [0]
    finally:
        await admin.close()


@pytest.fixture(scope="module")
def guarded_broker() -> Iterator[LocalBroker]:
    """A Kafka that lets its clients' listener do only what was granted; its inner one may do all."""
    properties = {
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.client.plain.sasl.jaas.config": JAAS,
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }
    with LocalBroker(security="SASL_PLAINTEXT", properties=properties) as broker:
        yield broker


async def test_a_worker_with_the_rights_of_the_page_does_its_work(
    guarded_broker: LocalBroker, prefix: str, tmp_path: Path
) -> None:
    rights = list(documented_rights())
    assert len(rights) > 25
    async with an_environment(guarded_broker.internal_bootstrap, prefix, tmp_path) as environment:
        await grant(guarded_broker.internal_bootstrap, rights, prefix)
        await send(environment.topics, traffic(500))
        worker = WorkerProcess(guarded_broker.bootstrap, prefix=prefix, folder=tmp_path, environ=SETTINGS)
        with worker.start():
            await asyncio.to_thread(worker.wait_ready)
            await environment.account()
            assert await stopped(worker) == 0


async def test_a_worker_without_a_right_ends_and_says_which(
    guarded_broker: LocalBroker, prefix: str, tmp_path: Path
) -> None:
    rights = [right for right in documented_rights() if right.kind != "transactional"]
    async with an_environment(guarded_broker.internal_bootstrap, prefix, tmp_path):
        await grant(guarded_broker.internal_bootstrap, rights, prefix)
        worker = WorkerProcess(guarded_broker.bootstrap, prefix=prefix, folder=tmp_path, environ=SETTINGS)
        with worker.start(), pytest.raises(OutageError):  # it ended before it was ready
            await asyncio.to_thread(worker.wait_ready)
        assert "TransactionalIdAuthorizationFailed" in worker.log()
