"""Where the tests' Kafka comes from: an address, a container, or the local broker; the tests can't tell which."""

import gc
import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from stream_scorer.operations.local_broker import LocalBroker
from stream_scorer.operations.local_broker.distribution import kafka_version, locked_jars
from stream_scorer.operations.local_broker.metadata_probe import live_nodes
from stream_scorer.operations.local_broker.server_properties import HOST, NodePorts, choose_ports, server_properties

ADDRESS = "STREAM_SCORER_TEST_BROKER"
SOURCE = "STREAM_SCORER_TEST_BROKER_SOURCE"
IMAGE = "STREAM_SCORER_TEST_BROKER_IMAGE"
DEFAULT_IMAGE = f"apache/kafka:{kafka_version(locked_jars())}"
CONTAINER_READY_WITHIN_S = 120.0
LOGS_IN_CONTAINER = "/tmp/kafka-logs"
CLUSTER_ID = "c3RyZWFtLXNjb3Jlci10ZQ"

Say = Callable[[str], None]


class SourceError(Exception):
    """The Kafka that was asked for is not to be had."""


@dataclass(frozen=True)
class Broker:
    """All that a test may know of its Kafka."""

    bootstrap: str
    source: str


@contextmanager
def at_an_address(_: Say) -> Iterator[Broker]:
    """A Kafka that somebody else runs. Its topics stay behind, under the tests' prefixes."""
    yield Broker(os.environ[ADDRESS], "address")


@contextmanager
def in_a_container(say: Say) -> Iterator[Broker]:
    """Kafka's own image, where Docker answers. (The stock class of testcontainers is for another maker's image.)"""
    # the container that cleans up after a killed test run is an image of its own, which can't be pulled offline
    os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
    if fault := why_docker_does_not_answer():
        raise SourceError(f"Docker does not answer ({fault}): start it, or leave {SOURCE} out")
    from testcontainers.core.container import DockerContainer

    image = os.environ.get(IMAGE, DEFAULT_IMAGE)
    (ports,) = choose_ports(1, None)
    say(f"Starting {image}")
    # Kafka tells its clients where it is, so the port outside must be the one that it knows inside
    container = DockerContainer(image).with_bind_ports(ports.client, ports.client)
    for name, value in container_properties(ports).items():
        container = container.with_env(f"KAFKA_{name.upper().replace('.', '_')}", value)
    with container.with_env("CLUSTER_ID", CLUSTER_ID):
        end = time.monotonic() + CONTAINER_READY_WITHIN_S
        while not live_nodes(HOST, ports.client, 2.0):
            if time.monotonic() > end:
                output = b"".join(container.get_logs()).decode(errors="replace")
                raise SourceError(f"Kafka in the container does not answer on port {ports.client}:\n{output[-2000:]}")
            time.sleep(0.2)
        yield Broker(f"{HOST}:{ports.client}", "container")


def why_docker_does_not_answer() -> str | None:
    """What the client says where no daemon answers; None where one does."""
    import docker
    from docker.errors import DockerException

    fault = None
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ResourceWarning
        )  # a client that can't connect leaves its socket to the collector
        try:
            docker.from_env().close()
        except DockerException as error:
            fault = str(error)
        gc.collect()
    return fault


def container_properties(ports: NodePorts) -> dict[str, str]:
    """What the local broker is told too, but listening on all of the container's addresses."""
    properties = server_properties(0, (ports,), Path(LOGS_IN_CONTAINER), "PLAINTEXT", {})
    everywhere = properties["listeners"].replace(HOST, "0.0.0.0")
    return properties | {"listeners": everywhere}


@contextmanager
def on_this_machine(say: Say) -> Iterator[Broker]:
    """The broker that comes with the project."""
    with LocalBroker(progress=say) as broker:
        yield Broker(broker.bootstrap, "local")


SOURCES: dict[str, Callable[[Say], AbstractContextManager[Broker]]] = {
    "address": at_an_address,
    "container": in_a_container,
    "local": on_this_machine,
}


def chosen_source() -> str:
    """The source that the variables ask for: an address beats a name; without either it is the local broker."""
    source = "address" if os.environ.get(ADDRESS) else os.environ.get(SOURCE, "local")
    if source not in SOURCES:
        raise SourceError(f"{SOURCE} is {source!r}: say one of {', '.join(SOURCES)}")
    return source
