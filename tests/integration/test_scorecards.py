"""Scorecards on a real Kafka: shares are of what each producer sent, and what retention has left counts nowhere."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from typer import Typer
from typer.testing import CliRunner

from stream_scorer.commands.dead_letters import producers
from stream_scorer.core.contract import reasons
from stream_scorer.core.contract.reasons import Stage
from stream_scorer.core.dead_letters.producer_scorecards import UNNAMED, Scorecard
from stream_scorer.core.records.record import ProducerRecord, rfc3339
from stream_scorer.operations.reports.producer_scorecards import scorecards
from tests.integration.broker_sources import Broker
from tests.integration.topic_writer import Hand, Written, elsewhere, home, now_ms, writing
from tests.support.builders import an_event, an_outcome

HOUR_MS = 3_600_000
OUT_OF_RANGE = reasons.out_of_range("hour", 0, 24)


@pytest.fixture
async def hand(broker: Broker, prefix: str) -> AsyncIterator[Hand]:
    async with writing(broker.bootstrap, prefix) as hand:
        yield hand


async def sent(hand: Hand, producer: str, id_: str, *, age_ms: int = 0, topic: str = "", **changes: Any) -> Written:
    record = ProducerRecord(None, an_event(id_, **changes), now_ms() - age_ms, [("client-id", producer.encode())])
    return await hand.write(topic or hand.names.observations, home(id_), record)


async def cards(hand: Hand, since_ms: int | None = None) -> dict[str, Scorecard]:
    return {card.producer: card for card in (await scorecards(hand.options, hand.names, since_ms=since_ms)).cards}


async def test_producers_are_told_apart_over_both_topics(hand: Hand) -> None:
    async with hand.producer.transaction():
        await sent(hand, "east", "a")
        broken = await sent(hand, "east", "b", hour=99)
        await hand.reject(broken, OUT_OF_RANGE, Stage.CONTRACT)
        outcome = await hand.report(an_outcome("a", "yes"), home("a"))
        await hand.reject(outcome, reasons.invalid_value("true_class", "yes", (True, False)), Stage.OUTCOME)
        astray = await hand.observe(an_event("c"), elsewhere("c"))
        await hand.move(astray, home("c"))
    found = await cards(hand)
    assert (found["east"].sent, found["east"].broken, found["east"].moved) == (2, 1, 0)
    assert (found[UNNAMED].sent, found[UNNAMED].broken, found[UNNAMED].moved) == (2, 1, 1)
    (fault,) = found["east"].ranked_faults
    assert [str(example.origin) for example in fault.examples] == [broken.name]
    assert fault.first_ms == broken.timestamp


async def test_what_was_aborted_counts_nowhere(hand: Hand) -> None:
    await hand.producer.begin_transaction()
    await hand.reject(await sent(hand, "east", "a", hour=99))
    await hand.producer.abort_transaction()
    assert await cards(hand) == {}


async def test_from_a_time_on_letters_of_older_records_do_not_count(hand: Hand) -> None:
    async with hand.producer.transaction():
        old = await sent(hand, "east", "a", age_ms=HOUR_MS, hour=99)
        await sent(hand, "east", "a")
        letter = await hand.reject(old, OUT_OF_RANGE, Stage.CONTRACT)
        # the same letter with the time of now: a range of times may hold letters of records that it does not hold
        await hand.write(
            letter.topic, letter.partition, ProducerRecord(letter.key, letter.value, now_ms(), [*letter.headers])
        )
    found = await cards(hand, now_ms() - HOUR_MS // 2)
    assert (found["east"].sent, found["east"].broken) == (1, 0)


def run(hand: Hand, *arguments: str) -> tuple[int, str]:
    app = Typer()
    app.callback()(lambda: None)
    producers.register(app)
    options = ["--bootstrap", hand.options["bootstrap_servers"], "--prefix", hand.settings.topics.prefix]
    result = CliRunner().invoke(app, ["producers", *arguments, *options], catch_exceptions=False)
    return result.exit_code, result.stdout


async def test_the_command_shows_a_table_and_scripts_everything(hand: Hand) -> None:
    async with hand.producer.transaction():
        await sent(hand, "west", "b")
        broken = await sent(hand, "east[bold]", "a", hour=99)
        await hand.reject(broken, OUT_OF_RANGE, Stage.CONTRACT)
    status, printed = await asyncio.to_thread(run, hand)
    assert status == 0
    assert "east[bold]" in printed
    assert "100.00%" in printed
    assert rfc3339(broken.timestamp)[:19] in printed
    status, printed = await asyncio.to_thread(run, hand, "--json")
    first, second = json.loads(printed)["producers"]
    assert (status, first["producer"], second["producer"]) == (0, "east[bold]", "west")
    assert (first["broken_share"], first["faults"][0]["code"], second["faults"]) == (1.0, "out_of_range", [])
    assert broken.name in first["message"]


async def test_the_command_prints_the_message_to_one_producer(hand: Hand) -> None:
    async with hand.producer.transaction():
        await hand.reject(await sent(hand, "east", "a", hour=99), OUT_OF_RANGE, Stage.CONTRACT)
    status, printed = await asyncio.to_thread(run, hand, "east")
    assert status == 0
    assert printed.startswith("To east\n\nOf 1 record that you sent")
    assert (await asyncio.to_thread(run, hand, "nobody"))[0] == 1
