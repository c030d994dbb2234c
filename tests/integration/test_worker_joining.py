"""Observations and outcomes on a real Kafka, in every order that they can come in, and what comes of them."""

import asyncio
import secrets
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.integration.broker_sources import Broker
from tests.support.builders import an_event, an_outcome
from tests.support.kafka_environment import Account
from tests.support.reference_audit import Place, body, codes_of, home_of, reasons_of, source_of
from tests.support.workers import Environment, an_environment, stopped

BROKEN_OUTCOMES: dict[str, tuple[bytes | None, list[str]]] = {
    "nothing": (None, ["not_json"]),
    "no JSON": (b"{", ["not_json"]),
    "a list": (b"[]", ["not_an_object"]),
    "an empty object": (b"{}", ["missing_id", "missing_true_class"]),
    "no id": (b'{"true_class": true}', ["missing_id"]),
    "an empty id": (b'{"id": "", "true_class": true}', ["invalid_id"]),
    "no class": (b'{"id": "b-1"}', ["missing_true_class"]),
    "a class in words": (b'{"id": "b-1", "true_class": "true"}', ["invalid_true_class"]),
    "a class of 1.0": (b'{"id": "b-1", "true_class": 1.0}', ["invalid_true_class"]),
    "a class of 2": (b'{"id": "b-1", "true_class": 2}', ["invalid_true_class"]),
    "no class at all": (b'{"id": "b-1", "true_class": null}', ["invalid_true_class"]),
    "nested too deep": (b'{"id":' + b"[" * 10_000, ["not_json"]),
    "everything wrong": (b'{"id": 1.5, "true_class": []}', ["invalid_id", "invalid_true_class"]),
}


class Told(NamedTuple):
    """What became of it all; `broken`: where the broken outcomes lie."""

    account: Account
    environment: Environment
    broken: dict[str, Place]
    conflicts: dict[str, Place]

    def updates_of(self, id_: str) -> list[tuple[Any, ...]]:
        """Status, revision and class of each update of the id, in their order."""
        updates = [body(record) for record in self.account.read.updates if record.key == id_.encode()]
        return [(update["status"], update.get("revision"), update["true_class"]) for update in updates]

    def reasons_at(self, topic: str, here: Place) -> list[dict[str, Any]]:
        """The reasons of the dead letter of the record there."""
        (letter,) = [one for one in self.account.read.letters if source_of(one) == (topic, here)]
        return reasons_of(letter)


@pytest.fixture(scope="module")
def told(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Told:
    return asyncio.run(play(broker.bootstrap, tmp_path_factory.mktemp("joining")))


async def play(bootstrap: str, folder: Path) -> Told:
    async with an_environment(bootstrap, f"t-{secrets.token_hex(4)}.", folder) as environment:
        topics = environment.topics
        # in one batch: all this lies there before the worker starts
        await topics.report(an_outcome("both"))
        await topics.observe(an_event("both"))
        await topics.observe(an_event("twice-at-once"), an_event("twice-at-once"), an_event("twice-at-once", hour=9))
        await topics.report(an_outcome("corrected-at-once", True), an_outcome("corrected-at-once", False))
        await topics.observe(an_event("corrected-at-once"))
        worker = await environment.start()
        await environment.settled()
        # the outcome first
        await topics.report(an_outcome("late"), an_outcome("wavering", True), an_outcome("wavering", False))
        await topics.report(an_outcome("patient", True), an_outcome("patient", True))
        await topics.observe(an_event("prompt"), an_event("corrected"), an_event("whole-number"), an_event("astray"))
        await topics.observe(b'{"id": "dead"}', an_event("sent-again"), an_event("contradicted", hour=1))
        await environment.settled()
        await topics.report(an_outcome("dead"), an_outcome("prompt", False), an_outcome("corrected", True))
        await topics.report(an_outcome("whole-number", 1), an_outcome("corrected", False))
        await topics.report(an_outcome("astray"), partition=(home_of("astray") + 1) % 4)
        await topics.observe(an_event("late"), an_event("wavering"), an_event("patient"), an_event("sent-again"))
        conflicts = await topics.observe(
            an_event("contradicted", hour=2), an_event("contradicted", SubjectAge=30, hour=3)
        )
        broken = {name: (await topics.report(value))[0] for name, (value, _) in BROKEN_OUTCOMES.items()}
        await environment.settled()
        # a worker that begins with nothing but the topics
        assert await stopped(worker) == 0
        environment.forget("worker")
        worker = await environment.start()
        await topics.report(an_outcome("corrected", True), an_outcome("corrected", True), an_outcome("both", True))
        await topics.observe(an_event("dead"), an_event("sent-again"))
        conflicts += await topics.observe(an_event("contradicted", hour=2))
        account = await environment.account()
        return Told(account, environment, broken, dict(zip(("hour", "both", "restored"), conflicts, strict=True)))


JOINED = {
    "both": [("joined", 1, True)],
    "corrected-at-once": [("joined", 1, True), ("joined", 2, False)],
    "prompt": [("joined", 1, False)],
    "whole-number": [("joined", 1, True)],
    "late": [("awaiting_prediction", None, True), ("joined", 1, True)],
    "patient": [("awaiting_prediction", None, True), ("joined", 1, True)],
    "wavering": [
        ("awaiting_prediction", None, True),
        ("awaiting_prediction", None, False),
        ("joined", 1, True),
        ("joined", 2, False),
    ],
    "corrected": [("joined", 1, True), ("joined", 2, False), ("joined", 3, True)],
    "dead": [("awaiting_prediction", None, True), ("joined", 1, True)],
    "astray": [("joined", 1, True)],
}


@pytest.mark.parametrize("id_", JOINED)
def test_outcomes_are_joined_in_whatever_order_they_come(told: Told, id_: str) -> None:
    assert told.updates_of(id_) == JOINED[id_]


def test_nothing_else_is_said(told: Told) -> None:
    assert {record.key.decode() for record in told.account.read.updates} == set(JOINED)
    assert told.account.ended == {
        "prediction": 13,
        "redelivery": 3,
        "joined": 14,
        "repeat": 3,
        "move": 1,
        "dead_letter": 5 + len(BROKEN_OUTCOMES),
    }


@pytest.mark.parametrize("name", BROKEN_OUTCOMES)
def test_a_broken_outcome_gets_every_reason(told: Told, name: str) -> None:
    reasons = told.reasons_at(told.environment.names.outcomes, told.broken[name])
    assert [reason["code"] for reason in reasons] == BROKEN_OUTCOMES[name][1]


@pytest.mark.parametrize(
    ("name", "columns"), [("hour", ["hour"]), ("both", ["SubjectAge", "hour"]), ("restored", ["hour"])]
)
def test_a_conflict_points_at_the_first_one_and_names_what_differs(told: Told, name: str, columns: list[str]) -> None:
    topic = told.environment.names.observations
    (reason,) = told.reasons_at(topic, told.conflicts[name])
    assert reason["message"] == "Observation ID: 'contradicted' already exists"
    (first,) = [body(record) for record in told.account.read.predictions if record.key == b"contradicted"]
    assert reason["details"] == {"first_offset": first["source"]["offset"], "columns": columns}


async def test_every_repeat_is_a_conflict_where_the_settings_say_so(environment: Environment) -> None:
    topics = environment.topics
    await topics.observe(an_event("a"), an_event("a"))
    await environment.start(worker__repeats_are_conflicts=True)
    await environment.settled()
    await topics.observe(an_event("a"))
    result = await environment.account(prediction=1, dead_letter=2)
    assert [codes_of(letter) for letter in result.read.letters] == [["conflict"], ["conflict"]]
    assert [reasons_of(letter)[0]["details"]["columns"] for letter in result.read.letters] == [[], []]
