"""A trace on a real Kafka finds every record of an id, on whichever partition it lies, and no other's."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from typer import Typer
from typer.testing import CliRunner

from stream_scorer.commands import trace as command
from stream_scorer.core.contract import reasons
from stream_scorer.core.contract.reasons import Stage
from stream_scorer.core.records.record import ProducerRecord
from stream_scorer.operations.audit.id_trace import Trace, trace
from tests.integration.broker_sources import Broker
from tests.integration.topic_writer import Hand, Written, elsewhere, home, now_ms, writing
from tests.support.builders import an_event, an_outcome


@pytest.fixture
async def hand(broker: Broker, prefix: str) -> AsyncIterator[Hand]:
    async with writing(broker.bootstrap, prefix) as hand:
        yield hand


def places(found: Trace) -> list[str]:
    return [f"{seen.topic}-{seen.partition}@{seen.offset}" for seen in found.records]


async def a_life(hand: Hand, id_: str) -> list[Written]:
    """An observation sent to a wrong partition, moved, predicted, contradicted, and joined to its outcome."""
    async with hand.producer.transaction():
        astray = await hand.observe(an_event(id_), elsewhere(id_))
        moved = await hand.move(astray, home(id_))
        prediction = await hand.predict(moved)
        other = await hand.observe(an_event(id_, hour=9), home(id_))
        letter = await hand.reject(other, reasons.conflict(id_, moved.offset, ["hour"]), Stage.CONFLICT)
        outcome = await hand.report(an_outcome(id_), home(id_))
        update = await hand.update(outcome, "joined")
    return [astray, moved, prediction, other, letter, outcome, update]


async def test_every_record_of_an_id_is_found_and_none_of_another(hand: Hand) -> None:
    await a_life(hand, "ev-10")
    written = await a_life(hand, "ev-1")
    found = await trace(hand.options, hand.names, "ev-1")
    assert sorted(places(found)) == sorted(record.name for record in written)
    assert found.partition == home("ev-1")
    assert {seen.what for seen in found.records} == {
        "observation",
        "prediction",
        "dead letter",
        "outcome",
        "outcome update",
    }
    whence = [seen.details["moved_from"] for seen in found.records if "moved_from" in seen.details]
    assert whence == [{"partition": written[0].partition, "offset": written[0].offset}]


async def test_times_ascend(hand: Hand) -> None:
    async with hand.producer.transaction():
        for age_ms in (5_000, 9_000, 1_000):
            await hand.write(hand.names.observations, home("a"), ProducerRecord(None, an_event("a"), now_ms() - age_ms))
    found = await trace(hand.options, hand.names, "a")
    assert [seen.offset for seen in found.records] == [1, 0, 2]


async def test_what_was_aborted_is_not_known(hand: Hand) -> None:
    await hand.producer.begin_transaction()
    await hand.observe(an_event("a"), home("a"))
    await hand.producer.abort_transaction()
    assert not (await trace(hand.options, hand.names, "a")).records


async def test_from_a_time_on_older_records_are_not_read(hand: Hand) -> None:
    async with hand.producer.transaction():
        await hand.write(hand.names.observations, home("a"), ProducerRecord(None, an_event("a"), now_ms() - 3_600_000))
        young = await hand.observe(an_event("a"), home("a"))
    found = await trace(hand.options, hand.names, "a", since_ms=now_ms() - 60_000)
    assert places(found) == [young.name]


# The command


def run(hand: Hand, *arguments: str) -> tuple[int, str]:
    app = Typer()
    app.callback()(lambda: None)
    command.register(app)
    options = ["--bootstrap", hand.options["bootstrap_servers"], "--prefix", hand.settings.topics.prefix]
    result = CliRunner().invoke(app, ["trace", *arguments, *options])
    return result.exit_code, result.stdout


async def test_the_command_tells_people_where_and_scripts_everything(hand: Hand) -> None:
    written = await a_life(hand, "[bold]ev-1")
    status, printed = await asyncio.to_thread(run, hand, "[bold]ev-1")
    assert status == 0
    assert all(record.name in printed for record in written)
    assert "[bold]ev-1" in printed
    status, printed = await asyncio.to_thread(run, hand, "[bold]ev-1", "--json")
    assert status == 0
    assert len(json.loads(printed)["records"]) == len(written)


async def test_an_id_that_nobody_knows_ends_with_status_1(hand: Hand) -> None:
    status, printed = await asyncio.to_thread(run, hand, "nobody", "--json")
    assert status == 1
    assert json.loads(printed)["records"] == []
