"""Where a lane reads on when Kafka has lost its place, or says something that can't be: on a real Kafka."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.protocol.admin import DeleteGroupsRequest
from typer.testing import CliRunner

from stream_scorer.commands.main import app
from tests.integration.broker_sources import Broker
from tests.support.builders import an_event, an_outcome
from tests.support.reference_audit import home_of
from tests.support.traffic import send, traffic
from tests.support.workers import Environment, an_environment, ended, stopped, until

DAY_MS = 86_400_000


@asynccontextmanager
async def administering(environment: Environment) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=environment.bootstrap)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def delete_the_group(environment: Environment) -> None:
    async with administering(environment) as admin:
        group = environment.settings.group_name
        answer = await admin._client.send(await admin.find_coordinator(group), DeleteGroupsRequest([group]))
        assert answer.results == [(group, 0)]


async def commit(environment: Environment, offsets: dict[TopicPartition, int]) -> None:
    """Set offsets of the empty group by hand."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=environment.bootstrap, group_id=environment.settings.group_name, enable_auto_commit=False
    )
    await consumer.start()
    try:
        consumer.assign(list(offsets))
        await consumer.commit(offsets)
    finally:
        await consumer.stop()


async def empty(environment: Environment, *partitions: TopicPartition) -> None:
    """Delete every record of these partitions, as retention does."""
    async with administering(environment) as admin:
        await admin.delete_records({partition: RecordsToDelete(-1) for partition in partitions})


def all_of(environment: Environment, topic: str) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for number in range(environment.topics.partitions)]


async def offsets(environment: Environment, *arguments: str) -> Any:
    given = ("--bootstrap", environment.bootstrap, "--prefix", environment.settings.topics.prefix)
    return await asyncio.to_thread(CliRunner().invoke, app, ["offsets", *arguments, *given])


def broken(ids: Sequence[str]) -> list[bytes]:
    return [an_event(id_, SubjectAge=5) for id_ in ids]


@pytest.mark.parametrize("forgets", [False, True], ids=["state kept", "state lost too"])
@pytest.mark.fault("the group and its offsets are deleted", promise="the worker reads on behind what its outputs name")
async def test_a_deleted_group_goes_on_behind_what_its_outputs_name(environment: Environment, forgets: bool) -> None:
    """Observations and outcomes, broken ones at the end, and of old stops: nothing is said twice, nothing is left."""
    topics, old_ms = environment.topics, int((time.time() - 40 * 86_400) * 1000)
    worker = await environment.start()
    await send(topics, traffic(600))
    await topics.observe(*[an_event(f"old-{number}") for number in range(20)], timestamp_ms=old_ms)
    await topics.observe(*broken([f"bad-{number}" for number in range(20)]))
    await topics.report(*[an_outcome(f"bad-{number}", "x") for number in range(20)])
    before = await environment.account()
    assert await stopped(worker) == 0
    if forgets:
        environment.forget("worker")
    await delete_the_group(environment)
    await topics.observe(an_event("new-0"), an_event("new-1"))
    await environment.start()
    after = await environment.account()
    assert after.ended - before.ended == {"prediction": 2}


async def test_a_deleted_group_goes_on_behind_events_in_a_schema_registrys_frame(
    broker: Broker, prefix: str, tmp_path: Path
) -> None:
    """The id that an output names stands behind the frame of its record, whose key may be another."""
    async with an_environment(broker.bootstrap, prefix, tmp_path, worker__schema_registry_frames=True) as environment:
        topics, frame = environment.topics, b"\x00\x00\x00\x00\x07"
        worker = await environment.start()
        for number in range(8):
            id_, partition = f"id-{number}", home_of(f"id-{number}", 4)
            await topics.observe(frame + an_event(id_), key=b"their own", partition=partition)
            await topics.report(frame + an_outcome(id_), key=b"their own", partition=partition)
        await environment.settled()
        before = await topics.read()
        assert await stopped(worker) == 0
        await delete_the_group(environment)
        await environment.start()
        await topics.observe(frame + an_event("id-0", hour=3), key=None, partition=home_of("id-0", 4))
        await topics.read_until(lambda read: len(read.letters) == 1, "the conflict is told")
        after = await topics.read()
        assert (len(after.predictions), len(after.updates)) == (len(before.predictions), len(before.updates)) == (8, 8)


@pytest.mark.fault("offsets lost after records were moved", promise="they are not moved again")
async def test_records_that_were_moved_are_not_moved_again(environment: Environment) -> None:
    topics = environment.topics
    astray = [f"id-{number}" for number in range(40) if home_of(f"id-{number}", 4) != 0]
    worker = await environment.start()
    await topics.observe(*map(an_event, astray), partition=0)
    before = await environment.account()
    assert await stopped(worker) == 0
    await delete_the_group(environment)
    await environment.start()
    assert (await environment.account()).ended == before.ended


@pytest.mark.fault("the offset of one input is lost", promise="it is found again from the outputs")
async def test_one_lost_offset_of_two_is_found_again(environment: Environment) -> None:
    topics = environment.topics
    worker = await environment.start()
    await topics.observe(*[an_event(f"id-{number}") for number in range(40)], *broken(["a", "b", "c", "d"]))
    await topics.report(*[an_outcome(f"id-{number}", True) for number in range(40)])
    before = await environment.account()
    assert await stopped(worker) == 0
    async with administering(environment) as admin:
        kept = await admin.list_consumer_group_offsets(environment.settings.group_name)
    await delete_the_group(environment)
    await commit(environment, {key: said.offset for key, said in kept.items() if key.topic == topics.names.outcomes})
    await environment.start()
    assert (await environment.account()).ended == before.ended


@pytest.mark.fault("offsets lost and outputs emptied", promise="the worker refuses until an operator says where")
async def test_emptied_outputs_and_no_offsets_are_refused_until_an_operator_says_where(
    environment: Environment,
) -> None:
    topics, names = environment.topics, environment.names
    worker = await environment.start()
    await topics.observe(*[an_event(f"id-{number}") for number in range(40)])
    await environment.settled()
    running = await offsets(
        environment, "set", "--topic", names.observations, "--partition", "0", "--from", "0", "--why", "x"
    )
    assert running.exit_code == 1
    assert "has members" in str(running.exception)
    assert await stopped(worker) == 0
    await delete_the_group(environment)
    await empty(environment, *all_of(environment, names.predictions))
    refused = environment.worker().start()
    assert await ended(refused) == 1
    assert "is unknown" in refused.last_words()
    for partition in range(4):
        told = await offsets(
            environment,
            *("set", "--topic", names.observations, "--partition", str(partition)),
            *("--from", "latest", "--why", "offsets expired while the predictions were emptied"),
        )
        assert told.exit_code == 0, told.exception
    assert "resumes at" in (await offsets(environment, "show")).output
    await environment.start()
    await topics.observe(an_event("new"))
    await topics.read_until(lambda read: any(one.key == b"new" for one in read.predictions), "it goes on")
    assert len((await topics.read()).predictions) == 41


@pytest.mark.fault("a committed offset beyond the end of the log", promise="the worker refuses and is not ready")
async def test_an_offset_beyond_the_end_is_refused(environment: Environment) -> None:
    topics = environment.topics
    worker = await environment.start()
    await topics.observe(*[an_event(f"id-{number}") for number in range(20)])
    await environment.settled()
    assert await stopped(worker) == 0
    await commit(environment, {TopicPartition(topics.names.observations, 1): 9_999})
    refused = environment.worker().start()

    def tells() -> bool:
        address = refused.http_address
        return address is not None and 'stream_scorer_refused{cause="beyond_end"} 1' in refused.metrics()

    await until(tells, "its metrics say why")
    assert not refused.is_ready()
    assert await ended(refused) == 1
    assert "the lane should resume at 9999" in refused.last_words()


@pytest.mark.fault("offsets lost under at-least-once", promise="the last batch is read again")
async def test_at_least_once_reads_the_last_batch_again(environment: Environment) -> None:
    topics = environment.topics
    settings: dict[str, Any] = {"worker__delivery": "at-least-once", "worker__batch_records_max": 5}
    worker = await environment.start(**settings)
    await topics.observe(*[an_event(f"id-{number}") for number in range(80)])
    await environment.settled()
    assert await stopped(worker) == 0
    await delete_the_group(environment)
    again = await environment.start(**settings)
    await asyncio.to_thread(again.wait_ready)
    await environment.settled()
    assert len((await topics.read()).predictions) == 80
