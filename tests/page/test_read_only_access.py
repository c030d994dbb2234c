"""The page on loopback where no token to act is set: everything can be looked at, nothing be done, and it says why."""

import re
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession

from stream_scorer.operations.console.server import serve_console
from stream_scorer.operations.dead_letters.query.filters import EVERY_STATE, Filter
from stream_scorer.operations.dead_letters.service import open_service
from stream_scorer.runtime.settings.settings import Settings, load_settings
from tests.page.conftest import WorkerPage
from tests.page.test_dead_letter_pages import text

ADVICE = "To replay, discard or reveal here, set"


@pytest.fixture
async def onlooker(worker_page: WorkerPage) -> AsyncIterator[ClientSession]:
    """A browser without a screen at a page over the worker's letters that has no token to act."""
    served = serve_console(without_tokens(worker_page.settings))
    async with served as (host, port), ClientSession(f"http://{host}:{port}") as session:
        yield session


def without_tokens(settings: Settings) -> Settings:
    given = {
        "kafka.bootstrap": settings.kafka.bootstrap,
        "topics.prefix": settings.topics.prefix,
        "worker.state_folder": settings.worker.state_folder,
        "console.http_port": 0,
        "console.workers": (),
    }
    return load_settings(None, {}, given)


async def states(settings: Settings) -> list[tuple[str, str]]:
    """Every letter with its state."""
    async with open_service(settings) as office:
        await office.refresh()
        found = await office.find(Filter(states=EVERY_STATE), limit=100)
    return sorted((str(each.place), str(each.state)) for each in found)


async def test_on_loopback_without_a_token_to_act_nobody_acts_and_all_hear_how(
    onlooker: ClientSession, worker_page: WorkerPage
) -> None:
    place = worker_page.places["unmendable"]
    found = re.search(r'name="form_token" value="(\w+)"', await text(onlooker, f"/dead-letters/{place}"))
    assert found is not None
    before = await states(worker_page.settings)
    form = {"form_token": found[1], "place": place, "failing_too": "1", "why": "a test"}
    for path, do in (
        ("/dead-letters/act", "replay"),
        ("/dead-letters/act", "discard"),
        (f"/dead-letters/{place}/reveal", ""),
    ):
        async with onlooker.post(path, data=form | {"do": do}) as answer:
            page = await answer.text()
        assert answer.status == 403
        assert ADVICE in page
        assert "STREAM_SCORER_HTTP_ACT_TOKEN" in page
        assert "No such reason" not in page
    assert await states(worker_page.settings) == before


async def test_where_nobody_can_act_the_page_says_how_instead_of_buttons(
    onlooker: ClientSession, worker_page: WorkerPage
) -> None:
    for path in (f"/dead-letters/{worker_page.places['unmendable']}", "/dead-letters/list"):
        page = await text(onlooker, path)
        assert ADVICE in page
        assert re.findall(r'name="do" value="([\w-]+)"', page) == []
        assert "/reveal" not in page


async def test_who_may_only_look_asks_nothing_whose_answer_depends_on_masked_bytes(
    onlooker: ClientSession, worker_page: WorkerPage
) -> None:
    place = worker_page.places["unmendable"]
    page = await text(onlooker, f"/dead-letters/{place}")
    found = re.search(r'name="form_token" value="(\w+)"', page)
    assert found is not None
    assert "still fails" not in page
    patch = '[{"op": "test", "path": "/observation/SubjectRaceCode", "value": "W"}]'
    form = {"form_token": found[1], "place": place, "patch": patch, "why": "a test"}
    asked = [("/dead-letters/act", do) for do in ("check", "dry-run", "discard-dry-run")] + [
        (f"/dead-letters/{place}/preview", "")
    ]
    for path, do in asked:
        async with onlooker.post(path, data=form | {"do": do}) as answer:
            assert answer.status == 403
            assert ADVICE in await answer.text()


async def test_where_a_token_to_act_is_set_the_page_asks_for_it(worker_page: WorkerPage) -> None:
    place = worker_page.places["unmendable"]
    async with ClientSession(worker_page.url) as session:
        page = await text(session, f"/dead-letters/{place}")
        found = re.search(r'name="form_token" value="(\w+)"', page)
        assert found is not None
        assert "with the act token" in page
        for path in ("/dead-letters/act", f"/dead-letters/{place}/reveal"):
            async with session.post(path, data={"form_token": found[1], "place": place, "do": "replay"}) as answer:
                assert answer.status == 403
                assert "with the act token" in await answer.text()
