"""`stream-scorer produce` on a real Kafka: what it says was delivered is there, byte for byte, on the right partition."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from aiokafka import TopicPartition
from typer.testing import CliRunner

from stream_scorer.commands import produce
from stream_scorer.core.contract import COLUMN_NAMES
from stream_scorer.core.partitioning import partition_of
from stream_scorer.errors import OutageError, SettingsError
from stream_scorer.operations.reading import Reader, Record
from stream_scorer.runtime.settings import Settings, load_settings
from stream_scorer.runtime.topics import TopicNames, apply
from tests.builders import an_event, an_outcome
from tests.integration.broker_sources import Broker

ROW = "B,M,N,Stop Sign,V,False,N,20,0,Tuesday"


@pytest.fixture
async def names(broker: Broker, prefix: str) -> TopicNames:
    """An environment's topics, empty."""
    await apply(settings_of(broker, prefix))
    return TopicNames(prefix)


def settings_of(broker: Broker, prefix: str) -> Settings:
    return load_settings(None, {}, {"kafka.bootstrap": broker.bootstrap, "topics.prefix": prefix})


def run_produce(arguments: Sequence[str], *, stdin: bytes | None = None) -> tuple[int, Any]:
    """Exit status and what `--json` printed. A known error is raised, as the command line's boundary gets it."""
    app = typer.Typer()
    app.callback()(lambda: None)
    produce.register(app)
    ended = CliRunner().invoke(app, ["produce", *arguments, "--json"], input=stdin, catch_exceptions=False)
    return ended.exit_code, json.loads(ended.stdout.splitlines()[-1])


async def records_of(broker: Broker, topic: str) -> list[Record]:
    async with Reader({"bootstrap_servers": broker.bootstrap}) as reader:
        spans = await reader.spans([topic])
        return [record async for _, records in reader.read(spans) for record in records]


def on(broker: Broker, names: TopicNames, *more: str) -> list[str]:
    return ["--bootstrap", broker.bootstrap, "--prefix", names.prefix, *more]


async def test_generated_events_are_delivered_keyed_on_the_partition_of_their_id(broker: Broker, names: TopicNames) -> None:
    status, said = run_in_thread(on(broker, names, "--count", "5000", "--broken-share", "0.1"))
    records = await records_of(broker, names.observations)
    partitions = max(record.partition for record in records) + 1
    assert (status, said["delivered"], len(records)) == (0, 5_000, 5_000)
    assert len({record.key for record in records}) == 5_000
    assert all(record.partition == partition_of(record.key or b"", partitions) for record in records)


def run_in_thread(arguments: Sequence[str], *, stdin: bytes | None = None) -> tuple[int, Any]:
    """The command runs an event loop of its own, and a test that awaits has one already."""
    script = "import sys, typer; from stream_scorer.commands import produce; app = typer.Typer(); "
    script += "app.callback()(lambda: None); produce.register(app); app()"
    ended = subprocess.run(
        [sys.executable, "-c", script, "produce", *arguments, "--json"], input=stdin, capture_output=True, timeout=60, check=False
    )
    return ended.returncode, json.loads(ended.stdout.splitlines()[-1])
