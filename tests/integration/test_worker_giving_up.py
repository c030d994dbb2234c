"""A join window of seconds: outcomes that wait in vain, ids that are forgotten, records too odd to be carried along."""

import asyncio
import json
import secrets
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.integration.broker_sources import Broker
from tests.support.builders import an_event, an_outcome
from tests.support.kafka_environment import Account
from tests.support.reference_audit import Read, body, codes_of, header, home_of, reasons_of
from tests.support.workers import Environment, an_environment, stopped

WINDOW_S = 3.0
LARGE = json.dumps({"id": "large", "true_class": True, "padding": "x" * 900_000}).encode()

# Outcomes that nobody will ever be able to join, and how they are sent
IN_VAIN: dict[str, dict[str, Any]] = {
    "plain": {},
    "with a key of its own": {"key": b"\xff\x00"},
    "without a key": {"key": None},
    "with headers": {"headers": [("client", b"p-1"), ("client", b"p-2")]},
    "with a header without a value": {"headers": [("h", None), ("", b"")]},
    "with a name that JSON must escape": {"headers": [("\x00" * 150_000, b"")]},
    "with 200,000 headers": {"headers": [("h", b"")] * 200_000},
    "with a header of 900 KB": {"headers": [("h", b"v" * 900_000)]},
}


class Told(NamedTuple):
    """What became of it all."""

    account: Account
    environment: Environment

    def letter_of(self, id_: str) -> Any:
        """The dead letter of the outcome of that id."""
        (letter,) = [one for one in self.account.read.letters if names(one, id_)]
        return letter

    def updates_of(self, id_: str) -> list[str]:
        """The statuses of its updates, in their order."""
        return [body(record)["status"] for record in self.account.read.updates if record.key == id_.encode()]


def names(letter: Any, id_: str) -> bool:
    return bool(reasons_of(letter)[0]["message"] == f'Observation ID: "{id_}" does not exist')


@pytest.fixture(scope="module")
def told(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Told:
    return asyncio.run(play(broker.bootstrap, tmp_path_factory.mktemp("giving-up")))


async def play(bootstrap: str, folder: Path) -> Told:
    prefix = f"t-{secrets.token_hex(4)}."
    async with an_environment(bootstrap, prefix, folder, worker__join_window_s=WINDOW_S) as environment:
        topics = environment.topics
        worker = await environment.start()
        for id_, how in IN_VAIN.items():
            await topics.report(an_outcome(id_), partition=home_of(id_), **how)
        await topics.report(LARGE, key=b"k", partition=home_of("large"))
        await topics.report(an_outcome("contradicted", True), an_outcome("contradicted", False))
        await topics.observe(an_event("forgotten"))
        await topics.read_until(lambda read: unknown(read) == len(IN_VAIN) + 3, "they are given up")
        # outcomes wait while no worker runs, and the next one has nothing but the topics
        await topics.report(an_outcome("waiting"))
        await topics.read_until(lambda read: waits(read, "waiting"), "it waits")
        assert await stopped(worker) == 0
        await topics.report(an_outcome("unseen"), timestamp_ms=int((time.time() - 2 * WINDOW_S) * 1000))
        await asyncio.sleep(WINDOW_S)  # the window is real time, there is nothing to be seen meanwhile
        environment.forget("worker")
        worker = await environment.start()
        await topics.read_until(lambda read: unknown(read) == len(IN_VAIN) + 5, "those are given up too")
        # what has been forgotten is new again
        await topics.observe(an_event("forgotten", hour=5), an_event("plain"))
        await topics.report(an_outcome("plain", False))
        account = await environment.account(forgets=True)
        assert await stopped(worker) == 0
        return Told(account, environment)


def unknown(read: Read) -> int:
    return sum(body(record)["status"] == "unknown" for record in read.updates)


def waits(read: Read, id_: str) -> bool:
    return any(record.key == id_.encode() for record in read.updates)


@pytest.mark.parametrize("id_", [*IN_VAIN, "large", "waiting", "unseen"])
def test_an_outcome_in_vain_ends_as_one_dead_letter_and_one_update(told: Told, id_: str) -> None:
    assert codes_of(told.letter_of(id_)) == ["unknown_id"]
    assert header(told.letter_of(id_), "scorer.stage") == b"outcome"
    assert told.updates_of(id_)[:2] == ["awaiting_prediction", "unknown"]


@pytest.mark.parametrize("id_", [id_ for id_ in IN_VAIN if not id_.endswith(("escape", "KB", "200,000 headers"))])
def test_its_dead_letter_is_the_record_as_it_was_sent(told: Told, id_: str) -> None:
    letter = told.letter_of(id_)
    assert header(letter, "scorer.truncated") is None
    assert letter.value == an_outcome(id_)


@pytest.mark.parametrize("id_", ["large", "with a header of 900 KB", "with 200,000 headers"])
def test_one_too_large_to_be_carried_along_says_what_was_cut(told: Told, id_: str) -> None:
    cut = json.loads(header(told.letter_of(id_), "scorer.truncated") or b"")
    assert cut["bytes"] + cut["headers_bytes"] >= 900_000


def test_both_of_two_outcomes_that_contradict_each_other_are_given_up(told: Told) -> None:
    assert told.updates_of("contradicted") == ["awaiting_prediction"] * 2 + ["unknown"] * 2


def test_a_forgotten_id_is_predicted_again(told: Told) -> None:
    predictions = [record for record in told.account.read.predictions if record.key == b"forgotten"]
    assert len(predictions) == 2


def test_an_outcome_after_the_one_given_up_is_joined(told: Told) -> None:
    assert told.updates_of("plain")[:2] == ["awaiting_prediction", "unknown"]
    assert told.updates_of("plain")[-1] == "joined"
