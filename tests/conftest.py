"""Fixtures for resources only: Kafka, in the three ways that tests need it, and topic names that nobody else uses."""

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from stream_scorer.errors import BrokerError
from stream_scorer.operations.local_broker import LocalBroker
from tests.integration.broker_sources import SOURCES, Broker, SourceError, chosen_source
from tests.support.reliability_report import (  # noqa: F401  # hooks that pytest finds here
    pytest_addoption,
    pytest_configure,
    pytest_runtest_makereport,
)
from tests.support.workers import Environment, an_environment

# A property says nothing of time: a machine may be busy
hypothesis_settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("any machine")

KAFKA_FIXTURES = {"broker", "own_broker", "three_brokers"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that asks for Kafka is a Kafka test; nobody has to say it twice."""
    for item in items:
        if KAFKA_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.kafka)


@pytest.fixture(scope="session")
def broker(pytestconfig: pytest.Config) -> Iterator[Broker]:
    """One Kafka for the whole run, from whichever source was asked for. Tests keep apart by their prefixes."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def say(text: str) -> None:
        with capture.global_and_fixture_disabled():  # a download of half a minute must not look like a test that hangs
            print(f"\n{text}", flush=True)  # noqa: T201

    with ExitStack() as stack:
        try:
            running = stack.enter_context(SOURCES[chosen_source()](say))
        except (SourceError, BrokerError) as error:
            pytest.fail(str(error), pytrace=False)
        yield running


@pytest.fixture
def prefix() -> str:
    """A prefix of topic names (and of groups) that no other test has, nor an earlier run on the same Kafka."""
    return f"t-{secrets.token_hex(4)}."


@pytest.fixture
async def environment(broker: Broker, prefix: str, tmp_path: Path) -> AsyncIterator[Environment]:
    """Fresh topics for worker processes, which end with the test."""
    async with an_environment(broker.bootstrap, prefix, tmp_path) as environment:
        yield environment


@pytest.fixture
def own_broker() -> Iterator[LocalBroker]:
    """A local broker of the test's own, to be killed, paused and started again."""
    with LocalBroker() as running:
        yield running


@pytest.fixture
def three_brokers() -> Iterator[LocalBroker]:
    """A cluster of three nodes on this machine, of the test's own."""
    with LocalBroker(nodes=3) as running:
        yield running
