"""Batches that unfold to far more than they weigh, sent to a real worker: each ends as one dead letter, and everything
else goes on."""

import asyncio
import hashlib
import json
import secrets
import time
from pathlib import Path
from typing import Any, NamedTuple

import aiokafka.consumer.fetcher
import pytest

from stream_scorer.core.records.dead_letter_reader import Position
from stream_scorer.operations.audit.report import AuditReport, audit
from stream_scorer.operations.dead_letters.query.filters import EVERY_STATE, Filter
from stream_scorer.operations.dead_letters.query.view import DeadLetterView
from stream_scorer.operations.dead_letters.replay.replay import Skip
from stream_scorer.operations.reading.topic_reader import Reader
from stream_scorer.runtime.kafka.lenient_record_parser import RECORDS_MAX, FetchedRecords
from tests.bombs import a_batch_of, a_record, compressed, send_raw
from tests.integration.broker_sources import Broker
from tests.support.builders import an_event, an_outcome
from tests.support.dead_letters import an_office
from tests.support.reference_audit import header
from tests.support.workers import WAIT_S_MAX, Environment, an_environment, stopped, until

MIB = 1024 * 1024
CODECS = {1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}
PARTITIONS = 4
# 40 records of half a MiB, where a batch may unfold to one
BOMB = b"".join(a_record(bytes(MIB // 2), delta) for delta in range(40))
MANY = b"".join(a_record(b"x", delta) for delta in range(RECORDS_MAX + 1))


class Sent(NamedTuple):
    topic: str
    partition: int
    first: int
    last: int
    codec: str
    raw: bytes


class Told(NamedTuple):
    """What became of it all."""

    sent: list[Sent]
    letters: list[Any]
    predicted: set[str]
    report: AuditReport
    shown: DeadLetterView
    skipped: dict[Skip, int]
    metrics: str
    environment: Environment


@pytest.fixture(scope="module")
def told(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Told:
    return asyncio.run(play(broker.bootstrap, tmp_path_factory.mktemp("bombs")))


def bomb(body: bytes, codec: int, count: int) -> bytes:
    return a_batch_of(compressed(codec, body), codec, count=count, timestamp_ms=int(time.time() * 1000))


async def play(bootstrap: str, folder: Path) -> Told:
    settings = {"kafka__unfolded_batch_bytes_max": MIB}
    async with an_environment(bootstrap, f"t-{secrets.token_hex(4)}.", folder, **settings) as environment:
        names, sent = environment.names, []
        worker = await environment.start()
        await environment.topics.observe(*(an_event(f"before-{number}") for number in range(20)))
        await environment.settled()
        assert await stopped(worker) == 0
        environment.forget("worker")
        for codec, partition in zip(CODECS, range(PARTITIONS), strict=True):
            for topic in (names.observations, names.outcomes, names.predictions, names.outcome_updates):
                raw = bomb(BOMB, codec, 40)
                first = await send_raw(bootstrap, topic, partition, raw, 40)
                sent.append(Sent(topic, partition, first, first + 39, CODECS[codec], raw))
        raw = bomb(MANY, 4, RECORDS_MAX + 1)
        first = await send_raw(bootstrap, names.observations, 1, raw, RECORDS_MAX + 1)
        sent.append(Sent(names.observations, 1, first, first + RECORDS_MAX, "zstd", raw))
        await environment.topics.observe(*(an_event(f"after-{number}") for number in range(20)))
        await environment.topics.report(*(an_outcome(f"after-{number}") for number in range(20)))
        # after a restart on nothing but the topics too
        for _ in range(2):
            worker = await environment.start()
            await environment.settled()
            metrics = worker.metrics()
            assert await stopped(worker) == 0
            environment.forget("worker")
        read = await environment.topics.read()
        report = await audit(
            {"bootstrap_servers": bootstrap}, names, environment.settings.group_name, count_unread=True
        )
        async with an_office(environment, folder / "office", kafka__unfolded_batch_bytes_max=MIB) as office:
            found = await office.find(Filter(code="batch_too_large", states=EVERY_STATE), limit=100)
            shown = await office.show(found[0].place)
            await office.history(Position(found[0].place.partition, found[0].place.offset))
            replayed = await office.replay(Filter(code="batch_too_large"), yes=True)
        letters = [one for one in read.letters if header(one, "scorer.batch") is not None]
        predicted = {json.loads(one.value)["id"] for one in read.predictions if one.key is not None}
        return Told(sent, letters, predicted, report, shown, dict(replayed.skipped), metrics, environment)


def to_inputs(told: Told) -> list[Sent]:
    inputs = told.environment.names.observations, told.environment.names.outcomes
    return [one for one in told.sent if one.topic in inputs]


@pytest.mark.long
def test_everything_around_the_bombs_is_scored(told: Told) -> None:
    assert told.predicted == {f"{when}-{number}" for when in ("before", "after") for number in range(20)}


@pytest.mark.long
def test_each_bomb_in_an_input_is_one_dead_letter_that_says_all_of_it(told: Told) -> None:
    said = []
    for letter in told.letters:
        source = json.loads(header(letter, "scorer.source") or b"")
        batch = json.loads(header(letter, "scorer.batch") or b"")
        (reason,) = json.loads(header(letter, "scorer.errors") or b"")
        assert reason["code"] == "batch_too_large"
        assert source["offset"] == batch["last_offset"]
        assert batch["records"] == batch["last_offset"] - batch["first_offset"] + 1
        where = source["topic"], source["partition"], batch["first_offset"], batch["last_offset"], batch["codec"]
        said.append((*where, batch["bytes"]))
        assert len(batch["sha256"]) == 64
    expected = [(*one[:5], len(one.raw)) for one in to_inputs(told)]
    assert sorted(said) == sorted(expected)


@pytest.mark.long
def test_the_first_64_kib_are_kept_as_they_were(told: Told) -> None:
    for letter in told.letters:
        batch = json.loads(header(letter, "scorer.batch") or b"")
        assert len(letter.value) == min(batch["bytes"], 64 * 1024)
        if batch["bytes"] <= 64 * 1024:
            assert hashlib.sha256(letter.value).hexdigest() == batch["sha256"]


@pytest.mark.long
def test_audit_counts_every_offset_of_a_bomb_as_ended(told: Told) -> None:
    report, inputs = told.report, to_inputs(told)
    assert (report.unaccounted, report.duplicated) == (0, 0)
    assert report.quarantined_batches == len(inputs)
    assert report.quarantined_offsets == sum(one.last - one.first + 1 for one in inputs)
    names = {f"{one.topic}-{one.partition}@{one.first}..{one.last}" for one in inputs}
    assert set(report.quarantined_batch_offsets) == names


@pytest.mark.long
def test_a_bomb_is_shown_and_its_replay_refused_with_the_reason(told: Told) -> None:
    assert told.shown.batch is not None
    assert "was not decompressed" in (told.shown.why_not_replayable or "")
    assert told.skipped == {Skip.TRUNCATED: len(to_inputs(told))}


@pytest.mark.long
def test_the_worker_counts_the_records_of_bombs(told: Told) -> None:
    (line,) = [line for line in told.metrics.splitlines() if line.startswith("stream_scorer_quarantined_records_total")]
    assert float(line.split()[-1]) == 0.0  # the second worker met none: offsets went on behind them


@pytest.mark.long
async def test_a_bomb_that_unfolds_to_hundreds_of_megabytes_takes_no_more_memory_than_its_bound(
    environment: Environment,
) -> None:
    worker = await environment.start()
    await environment.topics.observe(an_event("first"))
    await environment.settled()
    before = worker.memory_peak_bytes()
    raw = bomb(a_record(bytes(400 * MIB)), 4, 1)
    for _ in range(3):
        await send_raw(environment.bootstrap, environment.names.observations, 2, raw, 1)
    await environment.topics.observe(an_event("last"))
    await environment.settled(2 * WAIT_S_MAX)
    assert worker.exit_status() is None
    await until(lambda: "\nstream_scorer_quarantined_records_total 3" in worker.metrics(), "all three are counted")
    assert worker.memory_peak_bytes() - before < 200 * MIB
    assert await stopped(worker) == 0


@pytest.mark.long
async def test_a_small_batch_of_very_many_bad_records_becomes_little_more(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 60_000
    worker = await environment.start()
    await environment.topics.observe(an_event("first"))
    await environment.settled()
    before = worker.memory_peak_bytes()
    raw = bomb(b"".join(a_record(b"x", delta) for delta in range(count)), 4, count)
    assert len(raw) < 100_000
    await send_raw(environment.bootstrap, environment.names.observations, 2, raw, count)
    await environment.topics.observe(an_event("last"))
    await environment.account(prediction=2, dead_letter=count)
    assert worker.exit_status() is None
    assert worker.memory_peak_bytes() - before < 200 * MIB
    assert await bytes_of(environment.bootstrap, environment.names.dead_letters, monkeypatch) < 2_000_000
    assert await stopped(worker) == 0


async def bytes_of(bootstrap: str, topic: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """What a topic weighs as it is fetched."""
    weighed: list[int] = []

    def weighing(raw: bytes) -> FetchedRecords:
        weighed.append(len(raw))
        return FetchedRecords(raw)

    monkeypatch.setattr(aiokafka.consumer.fetcher, "MemoryRecords", weighing)
    async with Reader({"bootstrap_servers": bootstrap}) as reader:
        async for _ in reader.read(await reader.spans([topic]), whole_batches=True):
            pass
    return sum(weighed)
