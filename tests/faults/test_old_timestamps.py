"""Records whose timestamps lie further back than topics keep them, or ahead: refused, or kept with all that came of
them; and what retention took unread is told. On a real Kafka.
"""

import asyncio
import time

import pytest
from aiokafka import TopicPartition
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import InvalidTimestampError

from stream_scorer.core.records.output_timestamps import AHEAD_MS_MAX
from stream_scorer.operations.audit.report import audit
from stream_scorer.runtime.cluster.topic_definitions import BEFORE_MAX
from stream_scorer.runtime.lanes.consumer_lag import LOOK_EVERY_S
from tests.bombs import a_batch_of, a_record, send_raw
from tests.faults.test_lost_offsets import administering, delete_the_group, empty
from tests.support.builders import an_event, an_outcome
from tests.support.reference_audit import home_of
from tests.support.workers import Environment, stopped, until

DAY_MS = 86_400_000


def days_ago(days: float) -> int:
    return int(time.time() * 1000 - days * DAY_MS)


async def configure(environment: Environment, topic: str, config: dict[str, str]) -> None:
    async with administering(environment) as admin:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, config)])


async def test_a_producer_hears_that_its_record_is_too_old(environment: Environment) -> None:
    for days, taken in ((100, False), (60, False), (40, True)):
        try:
            await environment.topics.observe(an_event(f"{days}"), timestamp_ms=days_ago(days))
        except InvalidTimestampError:
            assert not taken
        else:
            assert taken


@pytest.mark.fault("records dated 40 days back", promise="their predictions and dead letters are kept")
async def test_what_comes_of_old_records_is_kept(environment: Environment) -> None:
    """Of a topic that takes any: predictions, updates, dead letters, and moved records with all that comes of them."""
    topics = environment.topics
    for topic in topics.inputs:
        await configure(environment, topic, {"retention.ms": str(200 * DAY_MS)})
    old_ms, least_ms = days_ago(100), days_ago(84)
    worker = await environment.start()
    events = [an_event(f"id-{number}") for number in range(8)]
    await topics.observe(*events[:4], timestamp_ms=old_ms)
    await topics.observe(*events[4:], timestamp_ms=old_ms, partition=0)
    await topics.observe(b"broken", timestamp_ms=old_ms)
    await topics.report(*[an_outcome(f"id-{number}", True) for number in range(8)], timestamp_ms=old_ms)
    before = await environment.account()
    assert before.ended["prediction"] == before.ended["joined"] == 8
    assert min(record.timestamp for record in (*before.read.predictions, *before.read.updates)) >= least_ms
    assert min(record.timestamp for record in before.read.letters) >= days_ago(1)
    # and a state that is made from them alone says the same as one that was kept
    assert await stopped(worker) == 0
    environment.forget("worker")
    await environment.start()
    await topics.observe(*events)
    await topics.report(*[an_outcome(f"id-{number}", False) for number in range(8)], timestamp_ms=old_ms)
    after = (await environment.account()).ended - before.ended
    assert after == {"redelivery": 8, "joined": 8}


@pytest.mark.fault("records dated years ahead, which only the inputs take", promise="they are scored and count as now")
async def test_what_comes_of_records_from_the_future_is_published(environment: Environment) -> None:
    """The outputs take less of it than the inputs: what they refuse would stop the worker at every start."""
    topics = environment.topics
    for topic in topics.inputs:
        await configure(environment, topic, {"message.timestamp.after.max.ms": str((1 << 63) - 1)})
    worker = await environment.start()
    for number, timestamp_ms in enumerate((days_ago(-1), days_ago(-20_000), 1 << 50, 1 << 62)):
        ids = [f"{letter}-{number}" for letter in "abcd"]
        await topics.observe(*map(an_event, ids[:2]), b"broken", timestamp_ms=timestamp_ms)
        await topics.observe(an_event(ids[2]), timestamp_ms=timestamp_ms, partition=(home_of(ids[2], 4) + 1) % 4)
        await topics.report(an_outcome(ids[0]), an_outcome(ids[3]), timestamp_ms=timestamp_ms)
    await environment.settled()
    latest_ms = days_ago(0) + AHEAD_MS_MAX
    read = await topics.read()
    assert (len(read.predictions), len(read.letters), len(read.updates)) == (12, 4, 8)
    assert all(one.timestamp <= latest_ms for one in (*read.predictions, *read.letters, *read.updates))
    # what was said survives a state made anew from the topics alone
    assert await stopped(worker) == 0
    environment.forget("worker")
    await environment.start()
    await topics.observe(*[an_event(f"a-{number}") for number in range(4)])
    await environment.settled()
    assert len((await topics.read()).predictions) == 12


async def test_timestamps_below_zero_are_none(environment: Environment) -> None:
    """Kafka takes them where the topic has no bound: in predictions, letters and outcomes that wait."""
    topics, names = environment.topics, environment.names
    for topic in topics.inputs:
        await configure(environment, topic, {"retention.ms": "-1", BEFORE_MAX: str((1 << 63) - 1)})
    await environment.start()
    for number, timestamp_ms in enumerate((-2, -(1 << 40), -(1 << 62))):
        id_ = f"id-{number}"
        sent = (
            (names.observations, (an_event(id_), b"broken")),
            (names.outcomes, (an_outcome(id_), an_outcome(f"early-{number}"))),
        )
        for topic, values in sent:
            body = b"".join(a_record(value, delta) for delta, value in enumerate(values))
            raw = a_batch_of(body, 0, count=2, timestamp_ms=timestamp_ms)
            await send_raw(environment.bootstrap, topic, home_of(id_, 4), raw, 2)
    await environment.settled()
    read = await topics.read()
    assert (len(read.predictions), len(read.letters), len(read.updates)) == (3, 3, 6)
    assert all(one.timestamp > 0 for one in (*read.predictions, *read.letters, *read.updates))


@pytest.mark.parametrize("committed", [True, False], ids=["after a commit", "before any"])
@pytest.mark.fault(
    "retention deletes records that nobody read", promise="they are told, counted and named by the audit"
)
async def test_what_retention_took_unread_is_told_counted_and_named(environment: Environment, committed: bool) -> None:
    topics, names = environment.topics, environment.names
    worker = await environment.start()
    if committed:
        await topics.observe(an_event("before"))
    await environment.settled()
    assert await stopped(worker) == 0
    if not committed:
        await delete_the_group(environment)
    await topics.observe(*[an_event(f"id-{number}") for number in range(20)], partition=2)
    await empty(environment, TopicPartition(names.observations, 2))
    worker = await environment.start()
    await environment.settled()
    (line,) = [line for line in worker.log().splitlines() if "were deleted by the topic's retention" in line]
    assert "20 records of" in line
    assert 'lost_to_retention_total{input="observations"} 20' in await asyncio.to_thread(worker.metrics)
    report = await audit(
        {"bootstrap_servers": environment.bootstrap},
        names,
        environment.settings.group_name,
        join_window_s=environment.settings.worker.join_window_s,
    )
    assert report.deleted_unread == 20
    assert not report.is_fine


@pytest.mark.fault("retention deletes records under a running worker", promise="they are told and counted")
async def test_what_retention_takes_under_a_worker_is_told(environment: Environment) -> None:
    topics, names = environment.topics, environment.names
    worker = await environment.start()
    await topics.observe(an_event("before"), partition=1)
    await environment.settled()
    await asyncio.sleep(LOOK_EVERY_S * 1.5)  # it has looked where it stands
    worker.pause()
    await topics.observe(an_event("fetched"), partition=1)  # the fetch that is under way takes this one
    await asyncio.sleep(0.5)
    await topics.observe(*[an_event(f"id-{number}") for number in range(20)], partition=1)
    await empty(environment, TopicPartition(names.observations, 1))
    worker.resume()
    # one that was fetched and not handed to the lane yet when it looked is counted too
    counted = tuple(f'lost_to_retention_total{{input="observations"}} {count}' for count in (20, 21))
    await until(lambda: any(line in worker.metrics() for line in counted), "the loss is counted")
    await topics.observe(an_event("after"), partition=1)
    await topics.read_until(lambda read: any(one.key == b"after" for one in read.predictions), "it goes on")
    assert worker.log().count("were deleted by the topic's retention") == 1
