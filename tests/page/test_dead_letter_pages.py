"""The page of a real worker over hostile dead letters: what is shown, what is masked, what is done."""

import asyncio
import re
import time
from html import unescape

import msgspec
import pytest
from aiohttp import ClientSession

from stream_scorer.core.records.dead_letter_reader import Position
from stream_scorer.operations.dead_letters.query.filters import Filter, State
from stream_scorer.operations.dead_letters.service import open_service
from stream_scorer.runtime.worker.status import WorkerStatus
from tests.page.conftest import WorkerPage
from tests.page.hostile import IMAGE, RECORDS, SCRIPT

WAIT_S_MAX = 30.0
PAGES = ("/", "/dead-letters", "/dead-letters/list", "/producers", "/models", "/jobs")


async def text(session: ClientSession, path: str) -> str:
    """A page, once the letters are open."""
    deadline = time.monotonic() + WAIT_S_MAX
    while True:
        async with session.get(path) as answer:
            if answer.status == 200:
                return await answer.text()
            assert answer.status == 503, (path, answer.status)
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


async def job(session: ClientSession, place: str, **form: str) -> str:
    """Ask for a job on one letter, and wait for what came of it."""
    page = await text(session, f"/dead-letters/{place}")
    found = re.search(r'name="form_token" value="(\w+)"', page)
    assert found is not None
    data = {"form_token": found[1], "place": place, **form}
    async with session.post("/dead-letters/act", data=data, allow_redirects=False) as answer:
        assert answer.status == 303, await answer.text()
        path = answer.headers["Location"]
    deadline = time.monotonic() + WAIT_S_MAX
    while re.search(">(waiting|running)<", page := await text(session, path)):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    return page


@pytest.mark.parametrize("path", PAGES)
async def test_no_page_lets_anything_out_of_its_place(session: ClientSession, path: str) -> None:
    page = await text(session, path)
    assert SCRIPT not in page
    assert IMAGE not in page
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b]", page)


@pytest.mark.parametrize("name", RECORDS)
async def test_a_letter_is_shown_whatever_it_holds(session: ClientSession, worker_page: WorkerPage, name: str) -> None:
    place = worker_page.places[name]
    masked = await text(session, f"/dead-letters/{place}")
    found = re.search(r'name="form_token" value="(\w+)"', masked)
    assert found is not None
    async with session.post(f"/dead-letters/{place}/reveal", data={"form_token": found[1]}) as answer:
        assert answer.status == 200
        revealed = await answer.text()
    for page in (masked, revealed):
        assert SCRIPT not in page
        assert IMAGE not in page
        assert not re.search("[\x00-\x09\x0b-\x1f\u202a-\u202e\u2066-\u2069\u200b]", page)
        assert len(page) < 200_000
        assert 'class="reasons"' in page


async def test_personal_data_is_masked_until_it_is_revealed_and_the_ledger_knows(
    session: ClientSession, worker_page: WorkerPage
) -> None:
    place = worker_page.places["unmendable"]
    masked = await text(session, f"/dead-letters/{place}")
    assert "h-unmendable" in masked
    assert "No such reason" not in masked
    found = re.search(r'name="form_token" value="(\w+)"', masked)
    assert found is not None
    async with session.post(f"/dead-letters/{place}/reveal", data={"form_token": found[1]}) as answer:
        revealed = await answer.text()
    assert "No such reason" in revealed
    assert "<b><bdi>reveal</bdi></b>" in revealed
    assert "No such reason" not in await text(session, f"/dead-letters/{place}")


async def test_a_preview_needs_a_letter_that_was_revealed(session: ClientSession, worker_page: WorkerPage) -> None:
    place = worker_page.places["unmendable"]
    masked = await text(session, f"/dead-letters/{place}")
    found = re.search(r'name="form_token" value="(\w+)"', masked)
    assert found is not None
    token, part = found[1], {"X-Part": "preview"}
    form = {"form_token": token, "set_column": "hour", "set_value": "7"}
    for seal in ("", "0" * 64, token):
        async with session.post(f"/dead-letters/{place}/preview", data=form | {"seal": seal}, headers=part) as answer:
            shown = await answer.text()
        # what a fix makes of a letter tells what it says
        assert "Reveal the dead letter first" in shown
        assert "still fails" not in shown
        assert "No such reason" not in shown
    async with session.post(f"/dead-letters/{place}/reveal", data={"form_token": token}) as answer:
        sealed = re.search(r'name="seal" value="(\w+)"', await answer.text())
    assert sealed is not None
    async with session.post(f"/dead-letters/{place}/preview", data=form | {"seal": sealed[1]}, headers=part) as answer:
        assert "No such reason" in await answer.text()
    other = worker_page.places["mendable"]
    async with session.post(f"/dead-letters/{other}/preview", data=form | {"seal": sealed[1]}, headers=part) as answer:
        assert "Stop sign" not in await answer.text()


async def test_a_letter_is_checked_mended_replayed_and_followed(
    session: ClientSession, worker_page: WorkerPage
) -> None:
    place = worker_page.places["mendable"]
    assert "still fails" in await job(session, place, do="check")
    dry = await job(session, place, do="dry-run", fix="match-case")
    assert "1 would be replayed" in dry
    assert 'value="replay"' in dry
    done = await job(session, place, do="replay", fix="match-case", why="wrong case")
    assert "1 replayed" in done
    again = await job(session, place, do="replay", fix="match-case")
    assert "0 replayed" in again
    assert "already replayed" in again
    deadline = time.monotonic() + WAIT_S_MAX
    while "predicted" not in (page := await text(session, f"/dead-letters/{place}")):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)
    assert "wrong case" in unescape(page)


async def test_a_discard_needs_a_note_and_is_final(session: ClientSession, worker_page: WorkerPage) -> None:
    place = worker_page.places["nothing"]
    page = await text(session, f"/dead-letters/{place}")
    found = re.search(r'name="form_token" value="(\w+)"', page)
    assert found is not None
    data = {"form_token": found[1], "place": place, "do": "discard"}
    async with session.post("/dead-letters/act", data=data) as answer:
        assert answer.status == 400
        assert "needs a note" in await answer.text()
    dry = await job(session, place, do="discard-dry-run", why="empty")
    assert "1 would be discarded" in dry
    assert "1 discarded" in await job(session, place, do="discard", why="empty")
    async with open_service(worker_page.settings) as office:
        await office.refresh()
        assert await office.count(Filter(states=frozenset((State.DISCARDED,)))) == 1


async def test_a_group_leads_to_its_letters_and_only_to_them(session: ClientSession) -> None:
    page = await text(session, "/dead-letters?code=not_json")
    link = re.search(r'href="(/dead-letters/list\?code=not_json[^"]*)"', page)
    assert link is not None
    listing = await text(session, unescape(link[1]))
    assert "not_json" in listing
    assert "invalid_value" not in listing.split("</thead>")[1]


async def test_who_sent_it_is_text_and_leads_to_its_letters(session: ClientSession) -> None:
    page = await text(session, "/producers")
    assert "&lt;script&gt;" in page
    link = re.search(r'href="(/dead-letters\?producer=[^"]+)"', page)
    assert link is not None
    assert "No dead letter matches" not in await text(session, unescape(link[1]))


@pytest.mark.parametrize(
    "path", ["/dead-letters/9@9", "/dead-letters/0@99999999", "/dead-letters/x", "/dead-letters/..%2f..", "/jobs/none"]
)
async def test_what_is_not_there_is_said(session: ClientSession, path: str) -> None:
    await text(session, "/dead-letters")
    async with session.get(path) as answer:
        assert answer.status in (404, 410, 503)
        assert "<h1" in await answer.text()


async def test_the_console_has_probes_and_metrics_of_its_own_and_none_of_a_worker(session: ClientSession) -> None:
    for path in ("/livez", "/readyz"):
        async with session.get(path) as answer:
            assert answer.status == 200
            assert "stream-scorer</a>" not in await answer.text()
    async with session.get("/metrics") as answer:
        assert answer.status == 200
        assert "stream_scorer_observations_total" not in await answer.text()


async def test_the_worker_serves_figures_and_no_page(worker_page: WorkerPage) -> None:
    async with ClientSession(worker_page.worker_url) as session:
        for path in ("/livez", "/readyz", "/metrics", "/status"):
            async with session.get(path) as answer:
                assert answer.status == 200
        for path in ("/", "/dead-letters", "/jobs", "/login", "/producers"):
            async with session.get(path) as answer:
                assert answer.status == 404


async def test_the_overview_shows_the_worker_and_what_it_counted(
    session: ClientSession, worker_page: WorkerPage
) -> None:
    page = await text(session, "/")
    assert "1 of 1 worker ready" in page
    assert worker_page.worker_url.removeprefix("http://") in page
    assert "unreachable" not in page
    status = await worker_status(worker_page)
    assert status.observations["dead_lettered"] >= len(RECORDS)
    assert [lane.partition for lane in status.lanes] == [0, 1, 2, 3]


async def worker_status(worker_page: WorkerPage) -> WorkerStatus:
    async with ClientSession(worker_page.worker_url) as session, session.get("/status") as answer:
        return msgspec.json.decode(await answer.read(), type=WorkerStatus)


async def test_whoever_gives_up_waiting_leaves_the_others_their_reader(worker_page: WorkerPage) -> None:
    places = [place for place in map(Position.parse, worker_page.places.values()) if place is not None]
    async with open_service(worker_page.settings) as office:
        await office.refresh()
        for number in range(30):
            given_up = asyncio.create_task(office.history(places[number % len(places)]))
            await asyncio.sleep(0.002 * (number % 10))
            given_up.cancel()
            wanted = places[-1 - number % len(places)]
            assert (await office.letter(wanted)).place == wanted
