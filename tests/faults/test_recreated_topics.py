"""A topic that is deleted and made again under its name, between two runs or under a worker: on a real Kafka."""

import asyncio

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from stream_scorer.runtime.cluster.topic_admin import apply
from stream_scorer.runtime.kafka.topic_ids import topic_ids
from tests.faults.test_lost_offsets import administering
from tests.support.builders import an_event, an_outcome
from tests.support.workers import Environment, ended, stopped


async def make_anew(environment: Environment, topic: str) -> None:
    async with administering(environment) as admin:
        before = await topic_ids(admin._client, [topic])
        await admin.delete_topics([topic])
        while await topic_ids(admin._client, [topic]):
            await asyncio.sleep(0.1)
        while await topic_ids(admin._client, [topic]) in ({}, before):
            await apply(environment.settings)


async def test_a_topic_has_an_id_of_its_own_and_asking_makes_none(environment: Environment) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=environment.bootstrap)
    await admin.start()
    try:
        names = environment.names
        found = await topic_ids(admin._client, [names.observations, names.outcomes, names.observations + ".none"])
        assert set(found) == {names.observations, names.outcomes}
        assert len(set(found.values())) == 2
        assert names.observations + ".none" not in await admin.list_topics()
    finally:
        await admin.close()


@pytest.mark.parametrize("filled", [False, True], ids=["empty", "with other records"])
@pytest.mark.fault("an input topic is recreated between two runs", promise="the worker refuses")
async def test_inputs_made_anew_between_two_runs_are_refused(environment: Environment, filled: bool) -> None:
    topics, names = environment.topics, environment.names
    worker = await environment.start()
    await topics.observe(*[an_event(f"id-{number}") for number in range(40)])
    await environment.settled()
    assert await stopped(worker) == 0
    await make_anew(environment, names.observations)
    if filled:
        await topics.observe(*[an_event(f"other-{number}") for number in range(200)])
    refused = environment.worker().start()
    assert await ended(refused) == 1
    said = refused.last_words()
    assert "was deleted and recreated" in said if filled else "but the lane should resume at" in said


@pytest.mark.parametrize("key", ["observations", pytest.param("predictions", marks=pytest.mark.long)])
@pytest.mark.fault("a topic is recreated under a running worker", promise="the worker stops and logs why")
async def test_a_topic_made_anew_under_a_worker_ends_it(environment: Environment, key: str) -> None:
    topics = environment.topics
    worker = await environment.start()
    await topics.observe(*[an_event(f"id-{number}") for number in range(40)])
    await environment.settled()
    await make_anew(environment, getattr(environment.names, key))
    assert await ended(worker) == 1


@pytest.mark.fault("predictions are recreated", promise="observations that are sent again are scored")
async def test_predictions_made_anew_are_forgotten_and_what_is_sent_again_is_scored(environment: Environment) -> None:
    topics, names = environment.topics, environment.names
    worker = await environment.start()
    await topics.observe(*[an_event(f"id-{number}") for number in range(40)])
    await topics.report(an_outcome("id-0", True))
    await environment.settled()
    assert await stopped(worker) == 0
    await make_anew(environment, names.predictions)
    await environment.start()
    await topics.observe(*[an_event(f"id-{number}") for number in range(40)])
    reader = type(topics)(environment.bootstrap, names, topics.group, topics.partitions)
    await reader.start()
    try:
        # the one whose outcome was joined is still known: the outcome updates say so
        await reader.read_until(lambda read: len(read.predictions) == 39, "they are scored again")
    finally:
        await reader.stop()
