"""The audit on a real Kafka: what was lost, doubled or forged on purpose is found by name, and nothing else is."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from typer import Typer
from typer.testing import CliRunner

from stream_scorer.commands import audit as command
from stream_scorer.core.contract import reasons
from stream_scorer.core.contract.reasons import Stage
from stream_scorer.core.records.record import ProducerRecord
from stream_scorer.errors import OutageError, TopicsError
from stream_scorer.operations.audit.report import At, AuditReport, audit
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from tests.integration.broker_sources import Broker
from tests.integration.topic_writer import Hand, elsewhere, home, now_ms, writing
from tests.support.builders import an_event, an_outcome


@pytest.fixture
async def hand(broker: Broker, prefix: str) -> AsyncIterator[Hand]:
    async with writing(broker.bootstrap, prefix) as hand:
        yield hand


async def asked(
    hand: Hand, *, begin: At | None = None, end: At | None = None, count_unread: bool = False
) -> AuditReport:
    return await audit(hand.options, hand.names, hand.group, begin=begin, end=end, count_unread=count_unread)


def ended(report: AuditReport) -> dict[str, int]:
    """Where inputs ended, without the places where none did."""
    return {end: count for end, count in report.ended.items() if count}


async def test_topics_without_a_record_are_accounted_for(hand: Hand) -> None:
    report = await asked(hand)
    assert report.is_fine
    assert report.inputs == {"observations": 0, "outcomes": 0}


async def test_every_way_to_end_is_told_apart(hand: Hand) -> None:
    async with hand.producer.transaction():
        predicted = await hand.observe(an_event("a"), home("a"))
        again = await hand.observe(an_event("a"), home("a"))
        other = await hand.observe(an_event("a", hour=9), home("a"))
        astray = await hand.observe(an_event("m"), elsewhere("m"))
        broken = await hand.observe(b"\xff", 2)
        joined = await hand.report(an_outcome("a"), home("a"))
        repeat = await hand.report(an_outcome("a"), home("a"))
        early = await hand.report(an_outcome("early"), home("early"))
        unknown = await hand.report(an_outcome("nobody"), home("nobody"))
        astray_outcome = await hand.report(an_outcome("m"), elsewhere("m"))
        bad_outcome = await hand.report(b"[]", 1)
    async with hand.producer.transaction():
        await hand.predict(predicted)
        await hand.reject(other, reasons.conflict("a", 0, ["hour"]), Stage.CONFLICT)
        moved = await hand.move(astray, home("m"))
        await hand.predict(moved)
        await hand.reject(broken)
        await hand.update(joined, "joined")
        await hand.update(early, "awaiting_prediction")
        await hand.update(unknown, "awaiting_prediction")
        await hand.update(unknown, "unknown")
        await hand.reject(unknown, reasons.unknown_id("nobody"), Stage.OUTCOME)
        moved_outcome = await hand.move(astray_outcome, home("m"))
        await hand.update(moved_outcome, "joined")
        await hand.reject(bad_outcome, stage=Stage.OUTCOME)
        observations = predicted, again, other, astray, broken, moved
        outcomes = joined, repeat, early, unknown, astray_outcome, bad_outcome, moved_outcome
        await hand.commit_all(*observations, *outcomes)
    report = await asked(hand)
    assert report.is_fine
    assert report.inputs == {"observations": 6, "outcomes": 7}
    assert ended(report) == {
        "prediction": 2,
        "redelivery": 1,
        "dead_letter": 3,
        "move": 2,
        "joined": 2,
        "repeat": 1,
        "awaiting": 1,
        "unknown": 1,
    }
    assert report.not_yet_read == report.forged_moves == report.predicted_twice == 0


async def test_losses_and_doubles_are_named_and_nothing_else(hand: Hand) -> None:
    async with hand.producer.transaction():
        events = [await hand.observe(an_event(f"id-{number}"), home(f"id-{number}")) for number in range(200)]
        broken = await hand.observe(b"{", 3)
        outcomes = [await hand.report(an_outcome(f"id-{number}"), home(f"id-{number}")) for number in range(50)]
    lost, doubled = {17, 90}, {5, 123}
    async with hand.producer.transaction():
        for number, event in enumerate(events):
            for _ in range(0 if number in lost else 2 if number in doubled else 1):
                await hand.predict(event)
        for number, outcome in enumerate(outcomes):
            for _ in range(0 if number == 33 else 2 if number == 44 else 1):
                await hand.update(outcome, "joined")
        await hand.commit_all(*events, broken, *outcomes)
    report = await asked(hand)
    assert not report.is_fine
    assert set(report.unaccounted_offsets) == {events[17].name, events[90].name, broken.name, outcomes[33].name}
    assert set(report.duplicated_offsets) == {events[5].name, events[123].name, outcomes[44].name}
    assert (report.unaccounted, report.duplicated, report.strays) == (4, 3, 0)


async def test_what_was_aborted_counts_neither_as_input_nor_as_output(hand: Hand) -> None:
    async with hand.producer.transaction():
        event = await hand.observe(an_event("a"), home("a"))
    await hand.producer.begin_transaction()
    await hand.observe(an_event("a", hour=3), home("a"))
    await hand.predict(event)
    await hand.producer.abort_transaction()
    async with hand.producer.transaction():
        after = await hand.observe(an_event("a", hour=4), home("a"))
        await hand.predict(after)
        await hand.commit_all(after)
    report = await asked(hand)
    assert after.offset > event.offset + 2
    assert report.inputs["observations"] == 2
    assert report.unaccounted_offsets == (event.name,)
    assert report.duplicated == report.strays == 0


async def test_a_prediction_of_what_is_no_record_is_a_stray(hand: Hand) -> None:
    async with hand.producer.transaction():
        event = await hand.observe(an_event("a"), home("a"))
    async with hand.producer.transaction():
        after = await hand.observe(an_event("a"), home("a"))
        await hand.predict(event)
        stray = await hand.predict(event._replace(offset=event.offset + 1))  # the marker of the first transaction
        await hand.commit_all(after)
    report = await asked(hand)
    assert report.stray_offsets == (stray.name,)
    assert not report.is_fine
    assert report.unaccounted == 0


async def test_a_forged_move_is_named_and_hides_no_loss(hand: Hand) -> None:
    async with hand.producer.transaction():
        at_home = await hand.observe(an_event("a"), home("a"))
        astray = await hand.observe(an_event("b"), elsewhere("b"))
    async with hand.producer.transaction():
        source = json.dumps({"partition": at_home.partition, "offset": at_home.offset}).encode()
        forged = await hand.write(
            hand.names.observations,
            home("a"),
            ProducerRecord(b"a", at_home.value, now_ms(), [("scorer.moved-from", source)]),
        )
        altered = await hand.move(astray._replace(value=an_event("b", SubjectAge=99)), home("b"))
        await hand.predict(forged)
        await hand.predict(altered)
        await hand.commit_all(at_home, astray, forged, altered)
    report = await asked(hand)
    assert set(report.forged_move_offsets) == {forged.name, altered.name}
    assert set(report.unaccounted_offsets) == {at_home.name, astray.name}
    assert ended(report) == {"prediction": 2}


async def test_a_moved_from_header_that_says_nothing_disturbs_nobody(hand: Hand) -> None:
    async with hand.producer.transaction():
        event = await hand.write(
            hand.names.observations,
            home("a"),
            ProducerRecord(b"a", an_event("a"), now_ms(), [("scorer.moved-from", b"\xff")]),
        )
        await hand.predict(event)
        await hand.commit_all(event)
    report = await asked(hand)
    assert report.is_fine
    assert report.forged_moves == 0


async def test_what_lies_behind_the_committed_offset_is_not_yet_read(hand: Hand) -> None:
    async with hand.producer.transaction():
        read = await hand.observe(an_event("a"), home("a"))
        waiting = await hand.observe(an_event("a", hour=2), home("a"))
        elsewhere_waiting = await hand.report(an_outcome("a"), home("a"))
        await hand.predict(read)
        await hand.commit_all(read)
    report = await asked(hand)
    assert report.is_fine
    assert report.inputs == {"observations": 1, "outcomes": 0}
    assert report.not_yet_read == 2
    report = await asked(hand, count_unread=True)
    assert report.unaccounted_offsets == (waiting.name, elsewhere_waiting.name)
    assert report.not_yet_read == 0


async def test_a_range_asks_about_its_own_inputs_only(hand: Hand) -> None:
    async with hand.producer.transaction():
        same_home = [id_ for id_ in map(str, range(200)) if home(id_) == 0][:6]
        events = [await hand.observe(an_event(id_), 0) for id_ in same_home]
        for event in events[2:]:
            await hand.predict(event)
        await hand.commit_all(*events)
    whole = await asked(hand)
    assert whole.unaccounted_offsets == (events[0].name, events[1].name)
    later = await asked(hand, begin=At(offset=events[2].offset))
    assert later.is_fine
    assert later.inputs["observations"] == 4
    middle = await asked(hand, begin=At(offset=1), end=At(offset=3))
    assert middle.inputs["observations"] == 2
    assert middle.unaccounted_offsets == (events[1].name,)


async def test_a_range_of_time_begins_with_the_first_record_of_that_time(hand: Hand) -> None:
    old, new = now_ms() - 3_600_000, now_ms()
    async with hand.producer.transaction():
        lost = await hand.write(hand.names.observations, home("a"), ProducerRecord(None, an_event("a"), old))
        kept = await hand.write(hand.names.observations, home("a"), ProducerRecord(None, an_event("a", hour=3), new))
        await hand.predict(kept)
        await hand.commit_all(lost, kept)
    assert (await asked(hand)).unaccounted_offsets == (lost.name,)
    recent = await asked(hand, begin=At(time_ms=new - 60_000))
    assert recent.is_fine
    assert recent.inputs["observations"] == 1
    past = await asked(hand, end=At(time_ms=new - 60_000))
    assert past.unaccounted_offsets == (lost.name,)


async def test_a_redelivery_is_found_when_its_first_lies_before_the_range(hand: Hand) -> None:
    async with hand.producer.transaction():
        first = await hand.observe(an_event("a"), home("a"))
        again = await hand.observe(an_event("a"), home("a"))
        other = await hand.observe(an_event("a", hour=5), home("a"))
        await hand.predict(first)
        await hand.commit_all(first, again, other)
    report = await asked(hand, begin=At(offset=again.offset))
    assert ended(report) == {"redelivery": 1}
    assert report.unaccounted_offsets == (other.name,)
    assert report.inputs["observations"] == 2


async def test_a_move_is_found_when_its_copy_lies_outside_the_range(hand: Hand) -> None:
    async with hand.producer.transaction():
        for _ in range(5):
            await hand.predict(await hand.observe(an_event("m"), home("m")))
        astray = await hand.observe(an_event("m", hour=2), elsewhere("m"))
        copy = await hand.move(astray, home("m"))
        await hand.predict(copy)
        await hand.commit_all(astray, copy)
    report = await asked(hand, end=At(offset=1))
    assert report.is_fine
    assert ended(report) == {"prediction": 1, "move": 1}


async def test_an_input_whose_output_may_be_gone_by_retention_is_not_called_lost(hand: Hand) -> None:
    ids = [id_ for id_ in map(str, range(200)) if home(id_) == 1][:6]
    async with hand.producer.transaction():
        events = [await hand.observe(an_event(id_), 1) for id_ in ids]
        predictions = [await hand.predict(event) for event in events if event is not events[4]]
        await hand.commit_all(*events)
    admin = AIOKafkaAdminClient(**hand.options)
    await admin.start()
    first_left = TopicPartition(hand.names.predictions, 1)
    await admin.delete_records({first_left: RecordsToDelete(before_offset=predictions[2].offset)})
    await admin.close()
    report = await asked(hand)
    assert report.beyond_retention == 2
    assert report.unaccounted_offsets == (events[4].name,)
    assert ended(report) == {"prediction": 3}


async def test_topics_that_are_not_there_are_named(broker: Broker, prefix: str) -> None:
    with pytest.raises(TopicsError, match=f"{prefix}stops.observations"):
        await audit({"bootstrap_servers": broker.bootstrap}, TopicNames(prefix), f"{prefix}stream-scorer")


async def test_a_broker_that_is_not_there_is_an_outage() -> None:
    with pytest.raises(OutageError, match=r"127\.0\.0\.1:1"):
        await audit({"bootstrap_servers": "127.0.0.1:1"}, TopicNames(""), "stream-scorer")


# The command


def run(*arguments: str) -> tuple[int, str]:
    app = Typer()
    app.callback()(lambda: None)
    command.register(app)
    result = CliRunner().invoke(app, ["audit", *arguments])
    return result.exit_code, result.stdout


async def test_the_command_says_in_one_object_what_the_audit_found(hand: Hand) -> None:
    async with hand.producer.transaction():
        lost, kept = await hand.observe(an_event("a"), home("a")), await hand.observe(an_event("a", hour=1), home("a"))
        await hand.predict(kept)
        await hand.commit_all(lost, kept)
    options = ["--bootstrap", hand.options["bootstrap_servers"], "--prefix", hand.settings.topics.prefix]
    status, printed = await asyncio.to_thread(run, *options, "--json")
    assert status == 1
    report = json.loads(printed)
    assert report["unaccounted_offsets"] == [lost.name]
    assert report["ended"]["prediction"] == 1
    status, printed = await asyncio.to_thread(run, *options, "--json", "--from", str(kept.offset))
    assert status == 0
    status, printed = await asyncio.to_thread(run, *options)
    assert status == 1
    assert lost.name in printed
