"""Records that no worker should ever see, each sent to a real one among ordinary traffic, and what became of them."""

import asyncio
import json
import secrets
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiokafka import AIOKafkaProducer

from tests.integration.broker_sources import Broker
from tests.support.builders import an_event, an_observation
from tests.support.kafka_environment import Account
from tests.support.reference_audit import Place, codes_of, header, home_of, place, source_of
from tests.support.traffic import send, traffic
from tests.support.workers import Environment, an_environment, stopped

MIB = 1024 * 1024
DEPTH = 10_000
FORGED = [
    ("scorer.errors", b"[]"),
    ("scorer.stage", b"none"),
    ("scorer.source", b'{"topic":"elsewhere","partition":0,"offset":0,"timestamp":0}'),
    ("scorer.replays", b"99"),
    ("scorer.truncated", b"{}"),
    ("__streams.errors.offset", b"-1"),
]
TRACEPARENT = ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


class Hostile(NamedTuple):
    """A record, how it is sent, and where it must end: `codes` of its dead letter, none if it is predicted."""

    value: bytes | None
    codes: tuple[str, ...] = ()
    how: dict[str, Any] = {}  # noqa: RUF012  # never written to
    compression: str | None = None
    end: str = ""

    @property
    def expected_end(self) -> str:
        return self.end or ("dead_letter" if self.codes else "prediction")


def nested(opening: bytes, closing: bytes = b"") -> bytes:
    return b'{"id":"nested","observation":' + opening * DEPTH + closing * DEPTH + (b"}" if closing else b"")


def at_home(id_: str, **how: Any) -> dict[str, Any]:
    return {"partition": home_of(id_), **how}


def astray(id_: str, **how: Any) -> dict[str, Any]:
    return {"partition": (home_of(id_) + 1) % 4, **how}


HOSTILE = {
    "an empty value": Hostile(b"", ("not_json",)),
    "no value": Hostile(None, ("not_json",), {"key": b"k"}),
    "no key and no value": Hostile(None, ("not_json",), {"key": None}),
    "no key": Hostile(an_event("no-key"), how=at_home("no-key", key=None)),
    "another key": Hostile(an_event("other-key"), how=at_home("other-key", key=b"\xff\xfe")),
    "a key of 900 KB": Hostile(an_event("long-key"), how=at_home("long-key", key=b"k" * 900_000)),
    "binary garbage": Hostile(bytes(range(256)) * 16, ("not_json",)),
    "a lone surrogate": Hostile(b'{"id": "\\ud800", "observation": {}}', ("not_json",)),
    "bad UTF-8": Hostile(b'{"id": "\xff", "observation": {}}', ("not_json",)),
    "open lists 10,000 deep": Hostile(nested(b"["), ("not_json",)),
    "closed lists 10,000 deep": Hostile(nested(b"[", b"]"), ("not_json",)),
    "open objects 10,000 deep": Hostile(nested(b'{"a":'), ("not_json",)),
    "an event of 1 MiB": Hostile(an_event("x" * (MIB - 1_000)), ("too_large",), {"key": b"k"}),
    "an event of 1 MiB, all blanks": Hostile(b" " * (MIB - 1_000), ("too_large",)),
    "50 MiB in a tiny batch": Hostile(b"\0" * (50 * MIB), ("too_large",), compression="gzip"),
    "headers of 900 KB": Hostile(an_event("long-header"), how=at_home("long-header", headers=[("h", b"v" * 900_000)])),
    "a million headers in a tiny batch": Hostile(
        an_event("many-headers"), how=at_home("many-headers", headers=[("h", b"")] * 1_000_000), compression="gzip"
    ),
    "a million headers, broken": Hostile(
        b"[]", ("not_an_object",), {"headers": [("h", b"")] * 1_000_000}, compression="gzip"
    ),
    "headers of 20 MB, astray": Hostile(
        an_event("heavy-stray"),
        ("too_large",),
        astray("heavy-stray", headers=[("h", b"v" * 20_000_000)]),
        compression="gzip",
    ),
    "a trace of 3 MB": Hostile(
        an_event("long-trace"),
        how=at_home("long-trace", headers=[("tracestate", b"v" * 3_000_000)]),
        compression="gzip",
        end="prediction",
    ),
    "a header without a value": Hostile(an_event("no-header-value"), how={"headers": [("h", None), ("", b"")]}),
    "forged headers on a broken event": Hostile(b"{}", ("missing_id", "missing_observation"), {"headers": FORGED}),
    "forged headers on a good event": Hostile(an_event("forged"), how={"headers": FORGED}),
    "a forged move": Hostile(
        an_event("never-moved"), how={"headers": [("scorer.moved-from", b'{"partition":0,"offset":0}')]}
    ),
    "a forged move that can't be read": Hostile(
        an_event("never-moved-2"), how={"headers": [("scorer.moved-from", b"\xff")]}
    ),
    "astray with forged headers": Hostile(
        an_event("forged-stray"), how=astray("forged-stray", headers=FORGED), end="move"
    ),
    "astray with a trace": Hostile(
        an_event("traced-stray"), how=astray("traced-stray", headers=[TRACEPARENT]), end="move"
    ),
    "a trace": Hostile(an_event("traced"), how={"headers": [TRACEPARENT]}),
    "an id that JSON must escape": Hostile(an_event('"\\\n\t\x00\x7f\u2028é🚔')),
    "an id of 200 bytes": Hostile(an_event("é" * 100)),
    "a whole number as the id": Hostile(an_event(12345678901234567890)),
    "an integer of 5,000 digits": Hostile(an_event().replace(b"20", b"2" * 5_000), ("not_json",)),
    "a key that stands twice": Hostile(an_event("twice").replace(b'"hour"', b'"hour": 99, "hour"')),
    "a moment of 40 days ago": Hostile(
        an_event("old"), how={"timestamp_ms": int(time.time() * 1000) - 40 * 86_400_000}
    ),
    "a moment to come": Hostile(an_event("new"), how={"timestamp_ms": int(time.time() * 1000) + 1_800_000}),
    "gzip": Hostile(an_event("gzip"), compression="gzip"),
    "snappy": Hostile(an_event("snappy"), compression="snappy"),
    "lz4": Hostile(an_event("lz4"), compression="lz4"),
    "zstd": Hostile(an_event("zstd"), compression="zstd"),
}


class Told(NamedTuple):
    """What became of it all."""

    account: Account
    places: dict[str, Place]
    environment: Environment


@pytest.fixture(scope="module")
def told(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Told:
    return asyncio.run(play(broker.bootstrap, tmp_path_factory.mktemp("hostile")))


async def play(bootstrap: str, folder: Path) -> Told:
    async with an_environment(bootstrap, f"t-{secrets.token_hex(4)}.", folder) as environment:
        topics, places = environment.topics, {}
        worker = await environment.start()
        await send(topics, traffic(500, id_prefix="before-"))
        plain = topics.producer
        for compression in (None, "gzip", "snappy", "lz4", "zstd"):
            producer = plain
            if compression is not None:
                producer = AIOKafkaProducer(
                    bootstrap_servers=bootstrap,
                    compression_type=compression,
                    max_batch_size=64 * MIB,
                    max_request_size=64 * MIB,
                )
                await producer.start()
            topics.producer = producer
            for name, hostile in HOSTILE.items():
                if hostile.compression == compression:
                    (places[name],) = await topics.observe(hostile.value, **hostile.how)
            if producer is not plain:
                await producer.stop()
        topics.producer = plain
        await send(topics, traffic(500, id_prefix="after-", seed=2))
        account = await environment.account()
        assert worker.exit_status() is None
        assert await stopped(worker) == 0
        return Told(account, places, environment)


@pytest.mark.parametrize("name", HOSTILE)
def test_each_ends_where_it_must(told: Told, name: str) -> None:
    here, topic = told.places[name], told.environment.names.observations
    assert told.account.end_of(topic, here) == HOSTILE[name].expected_end
    letters = [letter for letter in told.account.read.letters if source_of(letter) == (topic, here)]
    assert [tuple(codes_of(letter)) for letter in letters] == [HOSTILE[name].codes] * bool(HOSTILE[name].codes)


def letter_of(told: Told, name: str) -> Any:
    topic = told.environment.names.observations
    (letter,) = [one for one in told.account.read.letters if source_of(one) == (topic, told.places[name])]
    return letter


def test_a_record_of_50_mib_is_kept_as_its_beginning(told: Told) -> None:
    letter = letter_of(told, "50 MiB in a tiny batch")
    assert len(letter.value) == 64 * 1024
    assert json.loads(header(letter, "scorer.truncated") or b"")["bytes"] == 50 * MIB


def test_a_record_of_1_mib_is_kept_whole(told: Told) -> None:
    assert header(letter_of(told, "an event of 1 MiB"), "scorer.truncated") is None


def test_forged_headers_are_outdone_by_ours_and_kept(told: Told) -> None:
    letter = letter_of(told, "forged headers on a broken event")
    assert [*letter.headers][: len(FORGED)] == FORGED
    assert header(letter, "scorer.stage") == b"contract"
    assert header(letter, "scorer.replays") == b"0"


def test_a_trace_is_handed_on_through_a_move(told: Told) -> None:
    (prediction,) = [one for one in told.account.read.predictions if one.key == b"traced-stray"]
    assert [*prediction.headers] == [TRACEPARENT]


def test_a_trace_too_long_to_be_one_is_not_handed_on(told: Told) -> None:
    (prediction,) = [one for one in told.account.read.predictions if one.key == b"long-trace"]
    assert [*prediction.headers] == []


def test_a_forged_move_is_no_move(told: Told) -> None:
    here = told.places["a forged move"]
    (record,) = [one for one in told.account.read.observations if place(one) == here]
    assert header(record, "scorer.moved-from") is not None
    assert told.account.report.forged_moves >= 1


def test_an_observation_at_midnight_is_not_among_the_dead() -> None:
    assert an_observation()["hour"] == 0
