"""Two dead letters that differ only in masked bytes look the same to whoever may only look: on every page, with every
filter and by every form. An oracle, because an answer that differs tells something of what is masked."""

import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

import pytest
from aiohttp import ClientSession

from stream_scorer.core.contract import reasons
from stream_scorer.core.contract.batch_decoding import ValidEvent
from stream_scorer.core.contract.observation_events import stage_of, validate_observation
from stream_scorer.core.contract.quarantined_batch import KEPT_OF_BATCH_BYTES, BatchSummary, QuarantinedBatch
from stream_scorer.core.contract.reasons import Reason
from stream_scorer.core.records.dead_letter import dead_letter
from stream_scorer.operations.console.server import serve_console
from stream_scorer.operations.dead_letters.query.filters import Filter
from stream_scorer.operations.dead_letters.service import open_service
from stream_scorer.runtime.settings.settings import Settings, load_settings
from tests.integration.broker_sources import Broker
from tests.integration.topic_writer import Written, now_ms, writing
from tests.page.test_dead_letter_pages import text
from tests.support.builders import an_event

LONG = "Ms Jones of 12 Elm Street, born in 1970"


class Twin(NamedTuple):
    """What of a letter is masked: its value and its headers, and reasons where no event makes them."""

    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    found: tuple[Reason, ...] = ()


def a_quarantined_twin(raw: bytes) -> Twin:
    """A batch that was not unfolded, of these bytes."""
    reason = reasons.batch_too_large(len(raw), "zstd", 1 << 26, 250_000, 250_000)
    summary = BatchSummary("zstd", len(raw), hashlib.sha256(raw).hexdigest(), 5, 7, 3)
    return Twin(QuarantinedBatch.of(raw[:KEPT_OF_BATCH_BYTES], summary, reason), found=(reason,))


# Pairs that differ in masked bytes only
PAIRS = {
    "a value": (Twin(an_event("a", SubjectRaceCode="x")), Twin(an_event("a", SubjectRaceCode=LONG))),
    "a value that is right": (Twin(an_event("a", hour=99)), Twin(an_event("a", hour=99, SubjectAge=77))),
    "a number": (Twin(an_event("a", hour=-1)), Twin(an_event("a", hour=99_999))),
    "a kind of value": (Twin(an_event("a", SubjectAge="20")), Twin(an_event("a", SubjectAge=[LONG, None]))),
    "a name too many": (Twin(an_event("a", x=1)), Twin(an_event("a", **{LONG: {"y": 2}}))),
    "no JSON": (Twin(b"{"), Twin(b'{"id": "a", "name": "' + LONG.encode())),
    "no text": (Twin(b"\xff"), Twin(LONG.encode() + b"\xff")),
    "no object": (Twin(b"[1]"), Twin(b'["' + LONG.encode() + b'"]')),
    "a member too many": (
        Twin(b'{"id": "a", "observation": {}, "n": 1}'),
        Twin(b'{"id": "a", "observation": {}, "' + LONG.encode() + b'": [2, 3]}'),
    ),
    "an id that is none": (Twin(b'{"id": [1], "observation": {}}'), Twin(b'{"id": {"n": "x"}, "observation": {}}')),
    "an id that is too long": (
        Twin(b'{"id": "' + b"a" * 201 + b'", "observation": {}}'),
        Twin(b'{"id": "' + b"b" * 300 + b'", "observation": {}}'),
    ),
    "a class": (Twin(b'{"id": "a", "true_class": "x"}'), Twin(b'{"id": "a", "true_class": "' + LONG.encode() + b'"}')),
    "a header's value": (Twin(b"[]", (("x", b"1"),)), Twin(b"[]", (("x", LONG.encode()),))),
    "a header's name": (Twin(b"[]", (("x", b"1"),)), Twin(b"[]", ((LONG, b"1"),))),
    "a content type": (Twin(b"[]", (("content-type", b"a b"),)), Twin(b"[]", (("content-type", LONG.encode()),))),
    "columns of a conflict": (
        Twin(an_event("a", hour=1), found=(reasons.conflict("a", 7, ["hour"]),)),
        Twin(an_event("a", hour=1), found=(reasons.conflict("a", 7, ["SubjectAge", "hour"]),)),
    ),
    "what a model quotes": (
        Twin(an_event("a"), found=(reasons.scoring_failed("x"),)),
        Twin(an_event("a"), found=(reasons.scoring_failed(LONG),)),
    ),
    "what a model said": (
        Twin(an_event("a"), found=(reasons.invalid_output(2.0),)),
        Twin(an_event("a"), found=(reasons.invalid_output(-31.5),)),
    ),
    "a size": (
        Twin(b"[]", found=(reasons.too_large(70_000, 65_536),)),
        Twin(b"[]", found=(reasons.too_large(99_999, 65_536),)),
    ),
    "what was cut off": (Twin(b"x" * 70_000), Twin(b"y" * 99_999)),
    "a batch": (a_quarantined_twin(b"x" * 70_000), a_quarantined_twin(b"y" * 99_999)),
}


class Pages(NamedTuple):
    """A page for viewers, and where the letters of each pair lie."""

    session: ClientSession
    places: dict[str, tuple[str, str]]


@pytest.fixture
async def pages(broker: Broker, prefix: str, tmp_path: Path) -> AsyncIterator[Pages]:
    async with writing(broker.bootstrap, prefix) as hand:
        at_ms, written = now_ms(), []
        async with hand.producer.transaction():
            for number, pair in enumerate(PAIRS.values()):
                for twin in pair:
                    record = Written(hand.names.observations, 0, number, at_ms, None, twin.value, twin.headers)
                    found = twin.found or found_in(twin.value)
                    letter = dead_letter(
                        record,
                        found,
                        stage_of(found),
                        topic=record.topic,
                        partition=0,
                        failed_at_ms=at_ms,
                        version="1",
                        limit_bytes=65_536,
                    )
                    written.append(await hand.write(hand.names.dead_letters, 0, letter))
    given = {"kafka.bootstrap": broker.bootstrap, "topics.prefix": prefix, "http.port": 0}
    settings: Settings = load_settings(None, {}, given | {"worker.state_folder": str(tmp_path)})
    places = {
        name: (f"0@{written[2 * number].offset}", f"0@{written[2 * number + 1].offset}")
        for number, name in enumerate(PAIRS)
    }
    async with serve_console(settings) as (host, port), ClientSession(f"http://{host}:{port}") as session:
        yield Pages(session, places)


def found_in(value: bytes | None) -> tuple[Reason, ...]:
    found = validate_observation(value, 65_536)
    assert not isinstance(found, ValidEvent)
    return found


async def masked_page(pages: Pages, place: str) -> str:
    """A letter's page without what must differ: its own address, the form's token, and how long ago a time is."""
    page = re.sub(r'value="[0-9a-f]{64}"', "", await text(pages.session, f"/dead-letters/{place}"))
    page = re.sub(r"<time[^>]*>[^<]*</time>", "<time>", page)
    return re.sub(rf"(?<![\w-]){place}(?!\d)", "HERE", page)


async def test_two_letters_that_differ_in_masked_bytes_look_the_same(pages: Pages) -> None:
    for name, (one, other) in pages.places.items():
        shown = await masked_page(pages, one), await masked_page(pages, other)
        assert shown[0] == shown[1], name
        assert "Elm" not in shown[1], name


QUESTIONS = [
    "x",
    LONG,
    "Elm",
    "byte 1",
    "70000",
    "hour",
    "2.0",
    "a" * 201,
    "SubjectAge",
    "[1]",
    "{'n'",
    "•••",
    "Ms Jones",
]


@pytest.mark.parametrize("field", ["text", "id", "field", "producer", "code"])
async def test_no_filter_tells_them_apart(pages: Pages, field: str) -> None:
    for asked in QUESTIONS:
        listed = await text(pages.session, f"/dead-letters/list?{urlencode({field: asked})}")
        for name, pair in pages.places.items():
            there = [f'href="/dead-letters/{place}"' in listed for place in pair]
            assert there[0] == there[1], (name, field, asked)


async def test_no_form_answers_who_may_only_look(pages: Pages) -> None:
    page = await text(pages.session, f"/dead-letters/{pages.places['a value'][0]}")
    token = re.search(r'name="form_token" value="(\w+)"', page)
    assert token is None or token[1]
    patch = '[{"op": "test", "path": "/observation/SubjectRaceCode", "value": "x"}]'
    for pair in pages.places.values():
        for place in pair:
            form = {"form_token": token[1] if token else "", "place": place, "patch": patch, "why": "w"}
            for path in (f"/dead-letters/{place}/preview", f"/dead-letters/{place}/reveal"):
                async with pages.session.post(path, data=form) as answer:
                    assert answer.status == 403
            for do in ("check", "dry-run", "replay", "discard-dry-run", "discard"):
                async with pages.session.post("/dead-letters/act", data=form | {"do": do}) as answer:
                    assert answer.status == 403


async def test_commands_tell_them_apart_only_where_they_are_told_to_and_the_ledger_knows(
    broker: Broker, prefix: str, tmp_path: Path, pages: Pages
) -> None:
    given = {"kafka.bootstrap": broker.bootstrap, "topics.prefix": prefix, "worker.state_folder": str(tmp_path)}
    async with open_service(load_settings(None, {}, given), who="ann") as office:
        await office.refresh()
        for asked in QUESTIONS:
            for wanted in (Filter(text=asked), Filter(id=asked), Filter(field=asked)):
                found = {str(one.place) for one in await office.find(wanted, limit=100)}
                for name, (one, other) in pages.places.items():
                    assert (one in found) == (other in found), (name, asked)
        await office.refresh()
        assert len(office._access.index.acts.rows) == 0
        found = {str(one.place) for one in await office.find(Filter(text="Elm", revealed=True), limit=100)}
        assert pages.places["a value"][1] in found
        await office.refresh()
        assert len(office._access.index.acts.rows) == 1
