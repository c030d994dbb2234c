"""The page on a server of its own, beside a real Kafka."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from aiohttp import ClientSession

from stream_scorer.models.synthetic.generator import Generator
from stream_scorer.operations.console.app import PAGES_AT_ONCE_EACH, PAGES_WAITING_EACH_MAX
from stream_scorer.operations.console.server import FORM_BYTES_MAX, serve_console
from stream_scorer.runtime.cluster.topic_admin import apply
from stream_scorer.runtime.settings.settings import Settings, load_settings
from tests.integration.broker_sources import Broker
from tests.page.conftest import Serve
from tests.support.workers import Environment


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


async def test_who_asks_for_too_many_pages_is_refused_and_the_overview_still_answers(serve: Serve) -> None:
    # Kafka is away, so every page that reads dead letters waits for a while
    async with serve() as client:
        asked = [asyncio.create_task(client.get("/dead-letters")) for _ in range(40)]
        while not any(task.done() for task in asked):
            overview = await client.get("/")
            assert overview.status == 200
        statuses = [(await task).status for task in asked]
        assert statuses.count(429) >= 40 - PAGES_AT_ONCE_EACH - PAGES_WAITING_EACH_MAX
        assert set(statuses) == {429, 503}
        assert (await client.get("/")).status == 200


async def test_a_form_larger_than_any_of_ours_is_refused(settings: Settings) -> None:
    form = {"patch": "x" * 2 * FORM_BYTES_MAX}
    async with (
        serve_console(settings) as (host, port),
        ClientSession(f"http://{host}:{port}") as session,
        session.post("/dead-letters/act", data=form) as answer,
    ):
        assert answer.status == 413


async def test_several_workers_are_shown_and_one_that_is_gone_is_named(environment: Environment) -> None:
    one, other = await environment.start("one"), await environment.start("other")
    addresses = [str(worker.http_address) for worker in (one, other)]
    given = {
        "kafka.bootstrap": environment.bootstrap,
        "topics.prefix": environment.settings.topics.prefix,
        "worker.state_folder": str(environment.folder / "console"),
        "console.http_port": 0,
        "console.workers": [f"http://{address}" for address in addresses],
    }
    served = serve_console(load_settings(None, {}, given))
    async with served as (host, port), ClientSession(f"http://{host}:{port}") as session:
        page = await until_there(session, "/", "2 of 2 workers ready")
        assert all(address in page for address in addresses)
        await environment.topics.observe(*(event.value for event in Generator(1).events(200, 0, "ev-")))
        await environment.settled()
        await until_there(session, "/", "200 since the workers started")
        other.kill()
        page = await until_there(session, "/", "1 of 2 workers ready")
        assert "unreachable" in page
        # what the one that is gone has counted stays counted
        assert "200 since the workers started" in page
