"""A worker with hostile dead letters and a console over them, and the page on a server of the test's own."""

import asyncio
import contextlib
import secrets
import shutil
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import NamedTuple

import pytest
from aiohttp import ClientSession, CookieJar, web
from aiohttp.test_utils import TestClient, TestServer
from aiokafka import AIOKafkaProducer

from stream_scorer.errors import OutageError
from stream_scorer.operations.console.app import add_pages
from stream_scorer.operations.console.snapshots.snapshot import PartitionNow, Snapshot, WorkerNow
from stream_scorer.operations.dead_letters.service import DeadLetterService, open_service
from stream_scorer.operations.harness.console_process import ConsoleProcess
from stream_scorer.operations.harness.worker_process import WorkerProcess
from stream_scorer.runtime.cluster.topic_admin import TopicNames, apply
from stream_scorer.runtime.settings.settings import Settings, load_settings
from tests.integration.broker_sources import Broker
from tests.page.hostile import RECORDS, SENDER
from tests.support.programs import program

WAIT_S_MAX = 60.0
ACT_TOKEN = "7be1-token-to-act-here"
NAME = "Ann Other"

Client = TestClient[web.Request, web.Application]
Serve = Callable[..., AbstractAsyncContextManager[Client]]


class FixedFigures:
    """A worker that always says the same."""

    async def now(self) -> Snapshot:
        workers = [WorkerNow("127.0.0.1:1", True, "ready, 1 lanes", lanes=(0,))]
        return Snapshot(partitions=[PartitionNow(0, "open", observations_unread=7)], workers=workers)


@asynccontextmanager
async def closed_office() -> AsyncIterator[DeadLetterService]:
    """An office on a Kafka that is away."""
    raise OutageError("Kafka does not answer at nowhere:1.")
    yield  # pragma: no cover  # makes it a generator


@asynccontextmanager
async def served(**settings: object) -> AsyncIterator[Client]:
    """The page on a server of its own; settings are named `section__name`. It has no dead letters: Kafka is away."""
    given = {key.replace("__", "."): value for key, value in settings.items()}
    with tempfile.TemporaryDirectory() as folder:
        given.setdefault("worker.state_folder", folder)
        app = web.Application()
        add_pages(app, load_settings(None, {}, given), FixedFigures(), closed_office)
        async with TestClient(TestServer(app)) as client:
            yield client


@pytest.fixture
def serve() -> Serve:
    return served


class WorkerPage(NamedTuple):
    """A console over a worker's dead letters, and what one needs to look behind it."""

    url: str
    worker_url: str
    settings: Settings
    places: dict[str, str]  # where the letter of each record lies


@pytest.fixture(scope="package")
def worker_page(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerPage]:
    """A worker that has buried every hostile record."""
    folder = tmp_path_factory.mktemp("page")
    given = {
        "kafka.bootstrap": broker.bootstrap,
        "topics.prefix": f"t-{secrets.token_hex(4)}.",
        "worker.state_folder": str(folder / "state"),
    }
    settings = load_settings(None, {}, given)
    asyncio.run(_send(settings))
    environ = {"STREAM_SCORER_WORKER_STATE_FOLDER": str(folder / "state")}
    acting = {"STREAM_SCORER_HTTP_ACT_TOKEN": ACT_TOKEN}
    prefix = settings.topics.prefix
    with WorkerProcess(broker.bootstrap, prefix=prefix, folder=folder, environ=environ) as worker:
        worker.wait_ready()
        places = asyncio.run(_places(settings))
        console = ConsoleProcess(
            broker.bootstrap, [worker.http_address or ""], prefix=prefix, folder=folder, environ=environ | acting
        )
        with console:
            console.wait_ready()
            url = f"http://{console.http_address}"
            _wait_open(f"{url}/dead-letters")
            yield WorkerPage(url, f"http://{worker.http_address}", settings, places)


async def _send(settings: Settings) -> None:
    await apply(settings)
    names = TopicNames(settings.topics.prefix)
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka.bootstrap) as producer:
        for name, value in RECORDS.items():
            headers = [("client-id", SENDER.encode()), ("x-kept", name.encode())]
            await producer.send_and_wait(names.observations, value, name.encode(), headers=headers)


async def _places(settings: Settings) -> dict[str, str]:
    """Where every record's letter lies, once all are dead letters."""
    deadline = time.monotonic() + WAIT_S_MAX
    async with open_service(settings) as office:
        while await office.count() < len(RECORDS):
            assert time.monotonic() < deadline, "waited in vain until all records were dead letters"
            await asyncio.sleep(0.05)
            await office.refresh()
        letters = [await office.letter(each.place) for each in await office.find(limit=len(RECORDS))]
    names = {value: name for name, value in RECORDS.items()}
    return {names[letter.value or b""]: str(letter.place) for letter in letters}


def _wait_open(url: str) -> None:
    """Wait until the page has the letters open, so that no test must."""
    deadline = time.monotonic() + WAIT_S_MAX
    while True:
        with contextlib.suppress(urllib.error.HTTPError):
            urllib.request.urlopen(url, timeout=10).close()
            return
        assert time.monotonic() < deadline, "waited in vain until the dead letters were open"
        time.sleep(0.1)


@pytest.fixture
async def session(worker_page: WorkerPage) -> AsyncIterator[ClientSession]:
    """A browser without a screen, at the worker's page, logged in to act."""
    # `unsafe`: cookies of an address, as browsers keep them
    async with ClientSession(worker_page.url, cookie_jar=CookieJar(unsafe=True)) as session:
        form = {"token": ACT_TOKEN, "name": NAME, "next": "/"}
        async with session.post("/login", data=form, allow_redirects=False) as answer:
            assert answer.status == 303
        yield session


@pytest.fixture(scope="session")
def chromium() -> str:
    """Debian's Chromium, or another one that is there."""
    found = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )
    return found or program("chromium", "chromium")
