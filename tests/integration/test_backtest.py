"""Backtests on a real Kafka: decisions and outcomes that are known by hand, and predictions forged in every way."""

import asyncio
import json
import multiprocessing
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from numpy.typing import NDArray

from stream_scorer.core.contract.observation_code import encode_columns, observation_columns
from stream_scorer.core.contract.observation_events import decode_event
from stream_scorer.core.records.model_control import DeployedModels, ServedModel
from stream_scorer.core.records.model_switch import FirstOffsets, ModelSwitch, encode_switch
from stream_scorer.core.records.outcome_update import Joined, encode_update
from stream_scorer.core.records.prediction import ModelIdentity, encode_predictions
from stream_scorer.core.records.record import ProducerRecord, Source, rfc3339
from stream_scorer.core.rollout.published_rows import ACTUAL, OBSERVED, PUBLISHED, with_outcomes
from stream_scorer.core.state.model_ids import ModelIds
from stream_scorer.errors import OutageError
from stream_scorer.models.artifacts.model_card import library_versions
from stream_scorer.models.registry.default_model import ensure_default_model
from stream_scorer.models.registry.model_directory import LoadedModel
from stream_scorer.models.synthetic.generator import Generator
from stream_scorer.operations.audit.evidence import At
from stream_scorer.operations.backtest.as_served import AsServedReport, as_served
from stream_scorer.operations.backtest.candidate import AcceptanceLimits, BacktestReport, backtest, compare_predictions
from stream_scorer.operations.backtest.drawing import drawing_of
from stream_scorer.operations.backtest.retained_rows import PartitionRows, Range, Retained, RetainedReader
from stream_scorer.operations.reading.topic_reader import Reader
from tests.integration.broker_sources import Broker
from tests.integration.test_documented_commands import in_the_shell, run
from tests.integration.topic_writer import Hand, Written, home, now_ms, writing
from tests.support.builders import an_event, an_outcome
from tests.support.workers import Environment, stopped

EVERYTHING = Range(At(), At())
EVENT_BYTES_MAX = 65_536
SERVED = ModelIdentity("served@aaaaaaaaaaaa", "champion", 0.5)


@pytest.fixture
async def hand(broker: Broker, prefix: str) -> AsyncIterator[Hand]:
    async with writing(broker.bootstrap, prefix) as hand:
        yield hand


def by_age(codes: NDArray[np.int64]) -> NDArray[np.float64]:
    """As likely as the driver is old: 0.1 to 1."""
    ages = [observation_columns(code)["SubjectAge"] for code in codes.tolist()]
    return np.array(ages, dtype=np.float64) / 100


def a_model(name: str = SERVED.model, threshold: float = 0.5, score: Any = by_age) -> LoadedModel:
    return LoadedModel(name, threshold, score, False, {}, "a" * 64, "additive", Path())


async def observed(hand: Hand, id_: str, age: int) -> Written:
    return await hand.observe(an_event(id_, SubjectAge=age), home(id_))


async def predicted(hand: Hand, event: Written, id_: str, **changes: Any) -> None:
    """Publish what the served model says of an observation, or something else."""
    columns = json.loads(event.value or b"")["observation"]
    said = {"proba": columns["SubjectAge"] / 100, "code": encode_columns(columns), "speaker": SERVED, **changes}
    (value,) = encode_predictions(
        [id_.encode()],
        [said["code"]],
        [said["proba"]],
        [event.offset],
        partition=event.partition,
        speaker=said["speaker"],
        scored_at=rfc3339(event.timestamp),
    )
    if "decision" in said:
        value = value.replace(b'"prediction":true', b'"prediction":false')
    await hand.write(hand.names.predictions, event.partition, ProducerRecord(id_.encode(), value, event.timestamp))


async def asked_of(hand: Hand, model: LoadedModel, asked: Range = EVERYTHING, **how: Any) -> BacktestReport:
    return await backtest(hand.options, hand.names, model, asked, event_bytes_max=EVENT_BYTES_MAX, **how)


async def served(hand: Hand, *models: LoadedModel) -> AsServedReport:
    return await as_served(hand.options, hand.names, models, EVERYTHING, event_bytes_max=EVENT_BYTES_MAX)


async def test_decisions_that_a_candidate_changes_are_counted_where_something_was_published(hand: Hand) -> None:
    async with hand.producer.transaction():
        for number, age in enumerate((20, 45, 45, 60, 80)):
            await predicted(hand, await observed(hand, f"id-{number}", age), f"id-{number}")
        await observed(hand, "id-0", 20)  # a redelivery
        await hand.observe(b"{", 2)
    report = await asked_of(hand, a_model("candidate@bbbbbbbbbbbb", threshold=0.4))
    assert (report.observations, report.unreadable, report.positives) == (6, 1, 4)
    assert (report.compared, report.changed, report.became_positive, report.became_negative) == (5, 2, 2, 0)
    assert report.published_by == (SERVED.model,)
    assert sum(group.changed for group in report.groups if group.column == "SubjectSexCode") == 2


async def test_a_range_of_offsets_leaves_the_others_out(hand: Hand) -> None:
    async with hand.producer.transaction():
        places = [await observed(hand, "same", age) for age in (20, 45, 60)]
        for event in places:
            await predicted(hand, event, "same")
    asked = Range(At(offset=places[1].offset), At(offset=places[2].offset))
    report = await asked_of(hand, a_model(threshold=0.4), asked)
    assert (report.observations, report.compared, report.changed) == (1, 1, 1)


async def test_without_an_outcome_no_limit_on_quality_holds(hand: Hand) -> None:
    async with hand.producer.transaction():
        await predicted(hand, await observed(hand, "a", 60), "a")
    report = await asked_of(
        hand, a_model(), limits=AcceptanceLimits(changed_share_max=0.0, success_rate_min=0.5, gap_max=0.05)
    )
    assert [fault.split(" can't")[0] for fault in report.faults] == ["the success rate", "the largest gap"]


async def test_what_came_out_as_it_was_published_is_the_same(hand: Hand) -> None:
    async with hand.producer.transaction():
        for number in range(50):
            await predicted(hand, await observed(hand, f"id-{number}", 20 + number), f"id-{number}")
    report = await served(hand, a_model())
    assert report.is_same
    assert (report.predictions, report.same, report.switches) == (50, 50, 0)


FORGED: dict[str, tuple[dict[str, Any], str]] = {
    "a probability": ({"proba": 0.600_000_01}, "other_proba"),
    "a decision": ({"decision": False}, "other_decision"),
    "an observation": ({"code": 0, "proba": 0.1}, "other_observation"),
}


@pytest.mark.parametrize(("changes", "fault"), FORGED.values(), ids=FORGED)
async def test_a_forged_prediction_is_named(hand: Hand, changes: dict[str, Any], fault: str) -> None:
    async with hand.producer.transaction():
        await predicted(hand, await observed(hand, "good", 60), "good")
        forged = await observed(hand, "forged", 60)
        await predicted(hand, forged, "forged", **changes)
    report = await served(hand, a_model())
    assert not report.is_same
    assert (report.predictions, report.same, getattr(report, fault)) == (2, 1, 1)
    assert report.places == (forged.name,)


async def test_a_model_that_was_not_given_is_no_success(hand: Hand) -> None:
    async with hand.producer.transaction():
        await predicted(hand, await observed(hand, "a", 60), "a")
    report = await served(hand, a_model("another@cccccccccccc"))
    assert not report.is_same
    assert report.unloaded == {SERVED.model: 1}


async def test_no_prediction_is_no_success(hand: Hand) -> None:
    assert not (await served(hand, a_model())).is_same


async def switched(hand: Hand, first: int, model: ServedModel, **versions: str) -> None:
    """Write that the partition of `same` is served by a model from this offset on."""
    switch = ModelSwitch(
        partition=home("same"),
        control_offset=None,
        state="serving",
        first=FirstOffsets(first, 0),
        models=DeployedModels(champion=model),
        versions=library_versions() | versions,
        worker="w",
        at=rfc3339(now_ms()),
    )
    await hand.write(hand.names.model_switches, 0, ProducerRecord(switch.key, encode_switch(switch), now_ms()))


async def test_where_other_versions_scored_decisions_are_compared_and_probabilities_are_not(hand: Hand) -> None:
    model = ServedModel(name="served", digest="a" * 64, threshold=0.5)
    async with hand.producer.transaction():
        events = [await observed(hand, "same", age) for age in (40, 60, 60, 80)]
        await switched(hand, events[0].offset, model)
        await switched(hand, events[1].offset, model, numpy="1.0")
        await predicted(hand, events[0], "same", proba=0.4)
        await predicted(hand, events[1], "same", proba=0.600_001)
        await predicted(hand, events[2], "same", proba=0.400_001)
        await predicted(hand, events[3], "same")
    report = await served(hand, a_model())
    assert (report.predictions, report.other_versions, report.same) == (4, 3, 3)
    assert (report.other_proba, report.other_decision, report.places) == (0, 1, (events[2].name,))


async def test_an_observation_that_retention_has_deleted_is_scored_by_its_number_and_said(hand: Hand) -> None:
    async with hand.producer.transaction():
        for number in range(4):
            await predicted(hand, await observed(hand, "same", 20 + number), "same")
    admin = AIOKafkaAdminClient(**hand.options)
    await admin.start()
    await admin.delete_records({TopicPartition(hand.names.observations, home("same")): RecordsToDelete(2)})
    await admin.close()
    report = await served(hand, a_model())
    assert (report.predictions, report.same, report.not_retained) == (4, 4, 2)


async def test_who_served_follows_from_the_switches(hand: Hand) -> None:
    """Two models, switched at an offset; one prediction too late by the model from before the switch."""
    before, after = (
        ServedModel(name="served", digest="a" * 64, threshold=0.5),
        ServedModel(name="served", digest="b" * 64, threshold=0.3),
    )
    later = ModelIdentity(after.label, "champion", 0.3)
    async with hand.producer.transaction():
        events = [await observed(hand, "same", age) for age in (40, 41, 42, 43)]
        for event, speaker in zip(events, (SERVED, SERVED, SERVED, later), strict=True):
            await predicted(hand, event, "same", speaker=speaker)
        for first, model in ((events[0].offset, before), (events[2].offset, after)):
            await switched(hand, first, model)
    report = await served(hand, a_model(), a_model(after.label, 0.3))
    assert (report.switches, report.predictions, report.same, report.other_model) == (2, 4, 3, 1)
    assert report.places == (events[2].name,)


async def test_several_processes_read_what_one_reads(hand: Hand) -> None:
    """Rows by rows: ids have other numbers there, as they would in any other process, so outcomes show they agree."""
    speakers = SERVED, ModelIdentity("another@bbbbbbbbbbbb", "canary", 0.3)
    async with hand.producer.transaction():
        for number in range(60):
            id_, speaker = f"id-{number}", speakers[number % 2]
            event = await observed(hand, id_, 20 + number)
            await predicted(hand, event, id_, speaker=speaker)
            await joined(hand, event, id_, found=number % 3 == 0)
        await hand.observe(b"{", 2)
    (alone, _), (together, processes) = [await retained(hand, records_min) for records_min in (10**9, 0)]
    assert processes > 1
    assert (alone.unreadable, alone.records_read) == (together.unreadable, together.records_read) == (1, 181)
    for ours, theirs in zip(alone.partitions, together.partitions, strict=True):
        assert ours.number == theirs.number
        assert ours.observed[["offset", "code"]].tolist() == theirs.observed[["offset", "code"]].tolist()
        assert ours.probas.tolist() == theirs.probas.tolist()
        assert [said(row, alone) for row in ours.published] == [said(row, together) for row in theirs.published]
        rows, actual = with_outcomes(ours.published, alone.actual)
        rows_of_theirs, actual_of_theirs = with_outcomes(theirs.published, together.actual)
        assert rows.tolist() == rows_of_theirs.tolist() == list(range(len(ours.published)))
        assert actual.tolist() == actual_of_theirs.tolist()


async def test_a_reading_process_that_is_killed_is_an_outage_and_leaves_none_behind(hand: Hand) -> None:
    async with hand.producer.transaction():  # which is still open, so that all of them wait
        for number in range(12):
            await observed(hand, f"id-{number}", 40)
        reading = asyncio.create_task(retained(hand, records_min=0))
        while not (processes := multiprocessing.active_children()):
            await asyncio.sleep(0.01)
            assert not reading.done()
        processes[0].kill()
        with pytest.raises(OutageError, match="a process that reads the topics has ended"):
            await reading
    assert multiprocessing.active_children() == []


async def retained(hand: Hand, records_min: int) -> tuple[Retained, int]:
    """What is read, and the most processes that were at it."""
    most = 0

    def count(read: int, offsets: int) -> None:
        nonlocal most
        most = max(most, len(multiprocessing.active_children()))

    async with Reader(hand.options) as reader:
        how: dict[str, Any] = {"event_bytes_max": EVENT_BYTES_MAX, "framed": False}
        retained_reader = RetainedReader(reader, hand.names, **how, on_read=count, kafka=hand.settings.kafka)
        return await retained_reader.read(EVERYTHING, by_age, records_min=records_min), most


def said(row: Any, found: Retained) -> tuple[Any, ...]:
    columns = ("source", "scored_ms", "code", "proba", "threshold", "prediction")
    return (*(row[column].item() for column in columns), found.models[int(row["model"])])


async def joined(hand: Hand, event: Written, id_: str, *, found: bool) -> None:
    update = Joined(
        id=id_,
        revision=1,
        true_class=found,
        prediction=found,
        proba=0.5,
        correct=True,
        model=SERVED.model,
        role=SERVED.role,
        observation=decode_event(event.value or b"").observation,
        scored_at=rfc3339(event.timestamp),
        outcome_at=rfc3339(event.timestamp),
        delay_s=0.0,
        source=Source(event.partition, 0),
    )
    record = ProducerRecord(id_.encode(), encode_update(update), event.timestamp)
    await hand.write(hand.names.outcome_updates, event.partition, record)


async def test_the_command_on_what_a_worker_published(environment: Environment, tmp_path: Path) -> None:
    await environment.start()
    generator = Generator(11)
    codes = generator.codes(400)
    outcomes = generator.outcomes_of(codes)
    events = [an_event(f"e{n}", **observation_columns(code)) for n, code in enumerate(codes.tolist())]
    await environment.topics.observe(*events)
    await environment.topics.report(*(an_outcome(f"e{n}", bool(found)) for n, found in enumerate(outcomes)))
    await environment.settled()
    for worker in environment._started.values():
        assert await stopped(worker) == 0
    variables = in_the_shell(
        STREAM_SCORER_KAFKA_BOOTSTRAP=environment.bootstrap,
        STREAM_SCORER_TOPICS_PREFIX=environment.settings.topics.prefix,
    )
    again = json.loads(run("stream-scorer backtest --as-served --json", tmp_path, variables))
    assert (again["passed"], again["predictions"], again["same"]) == (True, 400, 400)
    model = ensure_default_model()
    line = f"stream-scorer backtest --model {model} --threshold 0.6 --plot drawn.svg --min-success-rate 0.2 --json"
    report = json.loads(run(line, tmp_path, variables))
    assert (report["compared"], report["candidate"]["rows"], report["published"]["rows"]) == (400, 400, 400)
    assert (report["became_positive"], report["became_negative"]) == (0, report["changed"])
    assert report["candidate"]["auc"] == pytest.approx(report["published"]["auc"], abs=1e-12)
    assert report["candidate"]["recall"]["value"] < report["published"]["recall"]["value"]
    assert (tmp_path / "drawn.svg").read_bytes().startswith(b"<svg ")
    line = f"stream-scorer model recalibrate {model} --out recalibrated --json"
    recalibrated = json.loads(run(line, tmp_path, variables))
    assert (recalibrated["form"], recalibrated["rows"]) == ("additive", 400)
    slope = recalibrated["slope"]
    assert slope["low"] < slope["value"] < slope["high"]
    kept = json.loads(run("stream-scorer backtest --model recalibrated --json", tmp_path, variables))
    assert (kept["compared"], kept["changed"]) == (400, 0)


def test_a_drawing_without_outcomes_is_drawn() -> None:
    empty = PartitionRows(0, np.empty(0, dtype=OBSERVED), np.empty(0), np.empty(0, dtype=PUBLISHED))
    nothing = Retained((empty,), np.empty(0, dtype=ACTUAL), ModelIds(), 0, 0)
    assert b"</svg>" in drawing_of(compare_predictions(nothing, a_model(), 0.5, 1))
