"""`stream-scorer quality` on a real Kafka: the figures of what is in the topics, for people and for scripts."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from stream_scorer.commands import quality as command
from stream_scorer.core.records.timestamps import rfc3339
from stream_scorer.errors import SettingsError, TopicsError
from tests.integration.broker_sources import Broker
from tests.integration.topic_writer import Hand, Written, home, now_ms, writing
from tests.support.builders import an_event, an_outcome


@pytest.fixture
async def hand(broker: Broker, prefix: str) -> AsyncIterator[Hand]:
    async with writing(broker.bootstrap, prefix) as hand:
        yield hand


def run(*arguments: str) -> Result:
    app = typer.Typer()
    app.callback()(lambda: None)
    command.register(app)
    return CliRunner().invoke(app, ["quality", *arguments])


async def said_of(hand: Hand, *arguments: str) -> Any:
    bootstrap = hand.settings.kafka.bootstrap
    given = ("--bootstrap", bootstrap, "--prefix", hand.settings.topics.prefix, "--json", *arguments)
    result = await asyncio.to_thread(run, *given)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


async def play(hand: Hand, classes: dict[str, list[bool]]) -> dict[str, Written]:
    """Predict each id, and join each of its outcomes with it, in one transaction; where each id was predicted."""
    predicted = {}
    async with hand.producer.transaction():
        for id_, outcomes in classes.items():
            observed = await hand.observe(an_event(id_), home(id_))
            predicted[id_] = await hand.predict(observed)
            scored_at = json.loads(predicted[id_].value or b"")["scored_at"]
            for revision, true_class in enumerate(outcomes, 1):
                reported = await hand.report(an_outcome(id_, true_class), home(id_))
                joined = {"revision": revision, "correct": true_class, "scored_at": scored_at}
                await hand.update(reported, "joined", **joined)
    return predicted


async def test_a_corrected_outcome_counts_once_with_its_last_class(hand: Hand) -> None:
    await play(hand, {"a": [True], "b": [True, False], "c": [False, True], "d": []})
    said = await said_of(hand)
    assert (said["predictions"], said["joined"], said["corrections"]) == (4, 3, 2)
    assert said["success_rate"]["value"] == pytest.approx(2 / 3)
    assert said["coverage"]["value"] == 0.75
    assert said["models"][0]["model"] == "model@0123456789ab"
    black = next(group for group in said["groups"] if group["value"] == "B")
    assert black["predicted_positive"] == 3


async def test_what_was_not_committed_does_not_count(hand: Hand) -> None:
    await play(hand, {"a": [True]})
    await hand.producer.begin_transaction()
    await hand.predict(await hand.observe(an_event("lost"), home("lost")))
    await hand.producer.abort_transaction()
    assert (await said_of(hand))["predictions"] == 1


async def test_a_window_holds_its_begin_and_not_its_end(hand: Hand) -> None:
    predicted = await play(hand, {"a": [True]})
    at_ms = predicted["a"].timestamp
    inside = await said_of(hand, "--from", rfc3339(at_ms), "--to", rfc3339(at_ms + 1))
    before = await said_of(hand, "--to", rfc3339(at_ms))
    after = await said_of(hand, "--from", rfc3339(now_ms() + 60_000))
    assert (inside["predictions"], before["predictions"], after["predictions"]) == (1, 0, 0)
    assert after["success_rate"] is None


async def test_people_get_a_table(hand: Hand) -> None:
    await play(hand, {"a": [True], "b": [False]})
    given = ("--bootstrap", hand.settings.kafka.bootstrap, "--prefix", hand.settings.topics.prefix)
    result = await asyncio.to_thread(run, *given)
    assert result.exit_code == 0
    assert "success rate" in result.stdout
    assert "50.0% (9.5 to 90.5)" in result.stdout
    (black,) = [line.split() for line in result.stdout.splitlines() if line.split()[:2] == ["SubjectRaceCode", "B"]]
    assert black[2:] == ["2", "100.0%", "2", "50.0%", "(9.5", "to", "90.5)"]


async def test_topics_that_are_not_there_are_named(broker: Broker, prefix: str) -> None:
    result = await asyncio.to_thread(run, "--bootstrap", broker.bootstrap, "--prefix", prefix)
    assert isinstance(result.exception, TopicsError)
    assert f"{prefix}stops.predictions" in str(result.exception)


@pytest.mark.parametrize("time", ["yesterday", "2026-11-22T08:00:00"], ids=["no time", "no zone"])
def test_a_time_must_be_one_with_a_zone(time: str) -> None:
    result = run("--from", time)
    assert isinstance(result.exception, SettingsError)
    assert "--from" in str(result.exception)
