"""Letters found on a real Kafka: by every filter, from a new index and from one that others fill; and the commands."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from typer.testing import CliRunner

from stream_scorer.commands.main import app
from stream_scorer.core.contract import reasons
from stream_scorer.core.contract.reasons import Reason, Stage
from stream_scorer.core.records.dead_letter_reader import Position
from stream_scorer.errors import NotFoundError
from stream_scorer.operations.dead_letters.index.index import Index
from stream_scorer.operations.dead_letters.index.parallel_read import read_on_together
from stream_scorer.operations.dead_letters.query.aggregation import ReasonGroup
from stream_scorer.operations.dead_letters.query.filters import Filter
from stream_scorer.operations.dead_letters.service import DeadLetterService, open_service
from stream_scorer.operations.reading.topic_reader import Reader
from stream_scorer.runtime.cluster.topic_admin import apply
from stream_scorer.runtime.settings.settings import Settings, load_settings
from tests.integration.broker_sources import Broker
from tests.integration.topic_writer import Hand, Written, now_ms, writing
from tests.support.builders import an_event

HOUR, AGE = reasons.out_of_range("hour", 0, 24), reasons.not_an_integer("SubjectAge")
NO_JSON = reasons.not_json("Expecting value", 3)


@pytest.fixture
async def hand(broker: Broker, prefix: str) -> AsyncIterator[Hand]:
    async with writing(broker.bootstrap, prefix) as hand:
        yield hand


def operator(hand: Hand, folder: Path) -> Settings:
    given = {"kafka.bootstrap": hand.settings.kafka.bootstrap, "topics.prefix": hand.settings.topics.prefix}
    return load_settings(None, {}, given | {"worker.state_folder": str(folder)})


@asynccontextmanager
async def an_office(hand: Hand, folder: Path) -> AsyncIterator[DeadLetterService]:
    async with open_service(operator(hand, folder), who="ann") as office:
        await office.refresh()
        yield office


async def letter(
    hand: Hand,
    partition: int,
    offset: int,
    found: Reason,
    *,
    id_: str = "ev-1",
    stage: Stage = Stage.CONTRACT,
    producer: bytes = b"",
) -> Written:
    headers = (("client-id", producer),) if producer else ()
    record = Written(hand.names.observations, partition, offset, now_ms(), None, an_event(id_), headers)
    return await hand.reject(record, found, stage)


async def some_letters(hand: Hand) -> list[Position]:
    async with hand.producer.transaction():
        written = [
            await letter(hand, 0, 5, HOUR, id_="a", producer=b"p1"),
            await letter(hand, 0, 6, HOUR, id_="b", producer=b"p2"),
            await letter(hand, 1, 7, AGE, id_="a"),
            await letter(hand, 3, 8, NO_JSON, id_="c", stage=Stage.DECODE),
        ]
    return [Position(one.partition, one.offset) for one in written]


# what is asked for, and which of `some_letters` it means
FILTERS: list[tuple[Filter, list[int]]] = [
    (Filter(), [0, 1, 2, 3]),
    (Filter(code="out_of_range"), [0, 1]),
    (Filter(code="unreadable"), []),
    (Filter(field="SubjectAge"), [2]),
    # code and field must be those of one fault
    (Filter(code="out_of_range", field="SubjectAge"), []),
    (Filter(stage=Stage.DECODE), [3]),
    (Filter(partition=1), [2]),
    (Filter(partition=99), []),
    (Filter(id="a"), [0, 2]),
    (Filter(producer="p2"), [1]),
    (Filter(text="not between"), [0, 1]),
    (Filter(text="not valid JSON"), [3]),
    # a message is looked into as it is shown, unless the ledger is told
    (Filter(text="Expecting"), []),
    (Filter(text="Expecting", revealed=True), [3]),
    (Filter(text="not between", id="b"), [1]),
    (Filter(since_ms=1), [0, 1, 2, 3]),
    (Filter(until_ms=1), []),
    (Filter(places=(Position(0, 0), Position(3, 0), Position(3, 5))), [0, 3]),
]


async def test_a_filter_finds_what_it_names(hand: Hand, tmp_path: Path) -> None:
    places = await some_letters(hand)
    async with an_office(hand, tmp_path) as office:
        for wanted, expected in FILTERS:
            found = await office.find(wanted)
            assert {one.place for one in found} == {places[number] for number in expected}, wanted
            assert await office.count(wanted) == len(expected), wanted
            assert sum(group.count for group in await office.groups(wanted)) == len(expected), wanted


async def test_an_index_goes_on_where_another_process_left_it_and_leaves_out_what_was_aborted(
    hand: Hand, tmp_path: Path
) -> None:
    await some_letters(hand)
    async with an_office(hand, tmp_path) as one:
        assert await one.count() == 4
        await hand.producer.begin_transaction()
        await letter(hand, 2, 9, AGE)
        await one.refresh()
        assert await one.count() == 4, "an open transaction is not waited for"
        await hand.producer.abort_transaction()
        async with hand.producer.transaction():
            last = await letter(hand, 2, 10, AGE)
        async with an_office(hand, tmp_path) as other:
            assert await other.count() == 5
            assert (await other.find(limit=1))[0].place == Position(2, last.offset)
        await one.refresh()
        assert await one.count() == 5
    groups = {(group.code, group.field): group.count for group in await groups_of(hand, tmp_path / "anew")}
    assert groups == {("out_of_range", "hour"): 2, ("not_an_integer", "SubjectAge"): 2, ("not_json", None): 1}


async def groups_of(hand: Hand, folder: Path) -> list[ReasonGroup]:
    async with an_office(hand, folder) as office:
        return await office.groups()


async def test_letters_are_listed_newest_first_page_by_page(hand: Hand, tmp_path: Path) -> None:
    async with hand.producer.transaction():
        for number in range(12):
            await letter(hand, number % 4, number, HOUR)
    async with an_office(hand, tmp_path) as office:
        everything = await office.find(limit=100)
        assert everything == sorted(everything, key=lambda one: (one.failed_at, one.place), reverse=True)
        pages, before = [], None
        while page := await office.find(limit=5, before=before):
            pages.append(len(page))
            before = page[-1].place
            assert page == everything[sum(pages) - len(page) : sum(pages)]
        assert pages == [5, 5, 2]


async def test_counts_over_time_add_up(hand: Hand, tmp_path: Path) -> None:
    began_ms = now_ms()
    await some_letters(hand)
    async with an_office(hand, tmp_path) as office:
        counts = await office.over_time(Filter(), since_ms=began_ms - 1_000, until_ms=now_ms() + 1_000, buckets=3)
        assert len(counts) == 3
        sums: dict[str, int] = {}
        for _, each in counts:
            for code, count in each.items():
                sums[code] = sums.get(code, 0) + count
        assert sums == {"out_of_range": 2, "not_an_integer": 1, "not_json": 1}


async def command(hand: Hand, folder: Path, *arguments: str) -> tuple[int, str]:
    """Exit status and standard output of `stream-scorer dead-letters …`."""
    variables = {
        "STREAM_SCORER_KAFKA_BOOTSTRAP": hand.settings.kafka.bootstrap,
        "STREAM_SCORER_TOPICS_PREFIX": hand.settings.topics.prefix,
        "STREAM_SCORER_WORKER_STATE_FOLDER": str(folder),
        "STREAM_SCORER_OPERATOR_NAME": "ben",
    }
    # a command has an event loop of its own, and so a thread
    result = await asyncio.to_thread(CliRunner().invoke, app, ["dead-letters", *arguments], env=variables)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


async def test_the_commands_tell_people_and_scripts(hand: Hand, tmp_path: Path) -> None:
    async with hand.producer.transaction():
        record = Written(hand.names.observations, 0, 3, now_ms(), None, an_event("a", hour="\x1b[2J"))
        await hand.reject(record, reasons.not_an_integer("hour"), Stage.CONTRACT)
    status, out = await command(hand, tmp_path, "list", "--json")
    assert (status, [(one["code"], one["count"]) for one in json.loads(out)]) == (0, [("not_an_integer", 1)])
    status, out = await command(hand, tmp_path, "list", "--code", "not_an_integer")
    assert (status, "0@0" in out) == (0, True)
    status, out = await command(hand, tmp_path, "show", "0@0")
    assert (status, "•••[1]" in out, "2J" in out) == (0, True, False)
    status, out = await command(hand, tmp_path, "show", "0@0", "--reveal")
    assert status == 0
    assert '"\\u001b[2J"[1]' in out
    status, out = await command(hand, tmp_path, "check", "0@0")
    assert (status, "still fails" in out) == (1, True)
    status, out = await command(hand, tmp_path, "check", "0@0", "--set", "hour=3", "--json")
    assert (status, json.loads(out)["verdicts"]) == (0, {"passes": 1})
    status, out = await command(hand, tmp_path, "discard", "0@0", "--note", "a test", "--yes")
    assert (status, out) == (0, "1 dead letters discarded\n")
    status, out = await command(hand, tmp_path, "history", "0@0", "--json")
    assert [(event["what"], event["who"]) for event in json.loads(out)["events"]] == [
        ("failed", ""),
        ("reveal", "ben"),
        ("check", "ben"),
        ("check", "ben"),
        ("discard", "ben"),
    ]
    status, out = await command(hand, tmp_path, "list")
    assert (status, out) == (0, "no dead letters\n")


async def test_a_letter_that_is_not_there_is_said(hand: Hand, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"there is no dead letter 0@5"):
        await command(hand, tmp_path, "show", "0@5")


async def test_a_topic_that_was_made_anew_is_read_anew(hand: Hand, tmp_path: Path) -> None:
    await some_letters(hand)
    async with an_office(hand, tmp_path) as office:
        assert await office.count() == 4
    await made_anew(hand)
    async with hand.producer.transaction():
        await letter(hand, 0, 1, AGE)
    async with an_office(hand, tmp_path) as office:
        assert [group.code for group in await office.groups()] == ["not_an_integer"]
        assert await office.count() == 1


async def test_a_topic_made_anew_that_is_longer_than_before_is_read_anew_under_an_open_office(
    hand: Hand, tmp_path: Path
) -> None:
    """Its positions say nothing: what was read of the one before lies below its end."""
    await some_letters(hand)
    async with an_office(hand, tmp_path) as office:
        await made_anew(hand)
        async with hand.producer.transaction():
            for offset in range(40):
                await letter(hand, 0, offset, AGE)
        await office.refresh()
        assert [(group.code, group.count) for group in await office.groups()] == [("not_an_integer", 40)]
    async with an_office(hand, tmp_path) as office:
        assert await office.count() == 40


async def test_acts_of_a_ledger_that_was_made_anew_count_no_more(hand: Hand, tmp_path: Path) -> None:
    await some_letters(hand)
    async with an_office(hand, tmp_path) as office:
        await office.discard(Filter(), note="a test", yes=True)
        await office.refresh()
        assert await office.count() == 0
        await made_anew(hand, hand.names.ledger)
        for _ in range(5):
            await office.reveal(Position(0, 0), why="the new ledger is longer than the one before")
        await office.refresh()
        assert await office.count() == 4


async def made_anew(hand: Hand, topic: str | None = None) -> None:
    """Delete a topic, that of dead letters if nothing else is said, and make it again."""
    topic = topic or hand.names.dead_letters
    admin = AIOKafkaAdminClient(**hand.options)
    await admin.start()
    try:
        await admin.delete_topics([topic])
        while topic in await admin.list_topics():
            await asyncio.sleep(0.05)
    finally:
        await admin.close()
    await apply(hand.settings)


async def test_several_processes_read_what_one_would(hand: Hand, tmp_path: Path) -> None:
    async with hand.producer.transaction():
        for number in range(40):
            await letter(hand, number % 4, number, HOUR if number % 3 else AGE, producer=b"p%d" % (number % 2))
    settings = operator(hand, tmp_path / "together")
    async with Reader(hand.options) as reader:
        index = Index(settings.state_path / "dead-letters", hand.names, await reader.cluster_id())
        spans = await reader.spans([hand.names.dead_letters])
        told: list[tuple[int, int]] = []
        await read_on_together(settings.kafka, index, reader, spans, lambda *read: told.append(read), records_min=1)
        assert [index.shelf(key.partition).position for key in spans] == [span.end for span in spans.values()]
    assert told[-1][0] == told[-1][1] > 40
    async with an_office(hand, tmp_path / "together") as together, an_office(hand, tmp_path / "alone") as alone:
        assert await together.groups() == await alone.groups()
        assert await together.find() == await alone.find()
