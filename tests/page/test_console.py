"""The page on a server of its own, beside a real Kafka."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from aiohttp import ClientSession

from stream_scorer.operations.console.server import serve_console
from stream_scorer.runtime.cluster.topic_admin import apply
from stream_scorer.runtime.settings.settings import Settings, load_settings
from tests.integration.broker_sources import Broker


@pytest.fixture
async def settings(broker: Broker, prefix: str, tmp_path: Path) -> Settings:
    given = {
        "kafka.bootstrap": broker.bootstrap,
        "topics.prefix": prefix,
        "worker.state_folder": str(tmp_path),
        "console.http_port": 0,
        "console.workers": (),
    }
    settings = load_settings(None, {}, given)
    await apply(settings)
    return settings


async def until_there(session: ClientSession, path: str, wanted: str) -> str:
    """A page, once it says what is wanted."""
    async with asyncio.timeout(30):
        while True:
            async with session.get(path) as answer:
                page = await answer.text()
            if wanted in page:
                return page
            await asyncio.sleep(0.1)


async def test_without_a_worker_the_overview_shows_what_the_group_has_committed(settings: Settings) -> None:
    async with serve_console(settings) as (host, port), ClientSession(f"http://{host}:{port}") as session:
        page = await until_there(session, "/", "no figures from workers")
        assert page.count(">unknown<") == 4


async def test_without_dead_letters_the_page_says_so(settings: Settings) -> None:
    async with serve_console(settings) as (host, port), ClientSession(f"http://{host}:{port}") as session:
        await until_there(session, "/dead-letters", "No dead letters: every record so far was accepted.")


async def test_beyond_loopback_without_tokens_probes_stay_open(settings: Settings) -> None:
    overrides = {
        "kafka.bootstrap": settings.kafka.bootstrap,
        "topics.prefix": settings.topics.prefix,
        "worker.state_folder": settings.worker.state_folder,
        "http.host": "0.0.0.0",
        "console.http_port": 0,
        "console.workers": (),
    }
    open_to_all = load_settings(None, {}, overrides)
    statuses = {}
    async with serve_console(open_to_all) as (_, port), ClientSession(f"http://127.0.0.1:{port}") as session:
        for path in ("/", "/dead-letters", "/livez", "/readyz"):
            async with session.get(path) as answer:
                statuses[path] = answer.status
    assert statuses == {"/": 403, "/dead-letters": 403, "/livez": 200, "/readyz": 200}


async def test_a_worker_that_does_not_answer_is_named_and_kafkas_figures_are_shown(settings: Settings) -> None:
    console = msgspec.structs.replace(settings.console, workers=("http://127.0.0.1:1",))
    settings = msgspec.structs.replace(settings, console=console)
    async with serve_console(settings) as (host, port), ClientSession(f"http://{host}:{port}") as session:
        page = await until_there(session, "/", "No worker answers at http://127.0.0.1:1")
        assert "unreachable" in page
        assert page.count(">unknown<") == 4
