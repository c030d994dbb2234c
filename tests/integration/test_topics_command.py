"""`stream-scorer topics` on a real cluster: what it says, what it creates, and that it changes nothing else."""

import asyncio
import json
import socket
from typing import Any

import pytest
import typer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from typer.testing import CliRunner, Result

from stream_scorer.commands import topics
from stream_scorer.errors import OutageError, TopicsError
from stream_scorer.runtime.cluster.topic_admin import TopicNames, apply, check_cluster, definitions_for, plan
from stream_scorer.runtime.settings.settings import Settings, load_settings

pytestmark = pytest.mark.kafka


def settings_for(broker: Any, prefix: str, **overrides: object) -> Settings:
    given = {key.replace("__", "."): value for key, value in overrides.items()}
    return load_settings(None, {}, {"kafka.bootstrap": broker.bootstrap, "topics.prefix": prefix, **given})


def run(*arguments: str) -> Result:
    app = typer.Typer()
    app.callback()(lambda: None)
    topics.register(app)
    return CliRunner().invoke(app, ["topics", *arguments])


async def create(broker: Any, *new: NewTopic) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        response = await admin.create_topics(list(new))
        assert [code for _, code, _ in response.topic_errors] == [0] * len(new)
    finally:
        await admin.close()


async def config_of(broker: Any, topic: str) -> dict[str, str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        (response,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
        return {entry[0]: entry[1] for entry in response.resources[0][4]}
    finally:
        await admin.close()


async def test_apply_creates_what_check_asks_for_and_nothing_the_second_time(broker: Any, prefix: str) -> None:
    settings = settings_for(broker, prefix)
    assert len(await check_cluster(settings)) == 11
    assert await apply(settings) == TopicNames(prefix).all
    assert await check_cluster(settings) == []
    assert [row.differences for row in await plan(settings)] == [()] * 11
    assert await apply(settings) == ()


async def test_two_that_apply_at_once_both_succeed(broker: Any, prefix: str) -> None:
    settings = settings_for(broker, prefix)
    created = await asyncio.gather(apply(settings), apply(settings), apply(settings))
    assert sorted(name for names in created for name in names) == sorted(TopicNames(prefix).all)
    assert await check_cluster(settings) == []


async def test_a_created_topic_has_the_limits_of_the_file(broker: Any, prefix: str) -> None:
    settings = settings_for(broker, prefix)
    await apply(settings)
    for topic in definitions_for(settings):
        config = await config_of(broker, topic.name)
        assert topic.config.items() <= config.items()


async def test_looking_creates_no_topic(broker: Any, prefix: str) -> None:
    settings = settings_for(broker, prefix)
    await plan(settings)
    assert len(await check_cluster(settings)) == 11


async def test_another_number_of_partitions_is_refused_and_left_as_it_is(broker: Any, prefix: str) -> None:
    settings = settings_for(broker, prefix)
    await create(broker, NewTopic(settings.topics.prefix + "stops.outcomes", 6, 1))
    await apply(settings)
    (problem,) = await check_cluster(settings)
    assert "stops.outcomes: the number of partitions is 6, wanted 4" in problem
    assert "start a new environment under another topics.prefix" in problem


async def test_partitions_that_all_topics_share_need_only_the_setting(broker: Any, prefix: str) -> None:
    await apply(settings_for(broker, prefix, topics__partitions=2))
    problems = await check_cluster(settings_for(broker, prefix))
    assert len(problems) == 8
    assert all("set topics.partitions = 2" in problem for problem in problems)


async def test_compaction_short_retention_and_small_limits_are_each_refused(broker: Any, prefix: str) -> None:
    names = TopicNames(prefix)
    await create(
        broker,
        NewTopic(names.predictions, 4, 1, topic_configs={"cleanup.policy": "compact"}),
        NewTopic(names.outcome_updates, 4, 1, topic_configs={"retention.ms": "86400000"}),
        NewTopic(names.dead_letters, 4, 1, topic_configs={"max.message.bytes": "1048588"}),
    )
    settings = settings_for(broker, prefix)
    await apply(settings)
    problems = "\n".join(await check_cluster(settings))
    assert f"{names.predictions}: cleanup.policy is compact, wanted delete" in problems
    assert f"{names.predictions}: retention.ms is 604800000, wanted 7776000000" in problems
    assert f"{names.outcome_updates}: retention.ms is 86400000, wanted 7776000000" in problems
    assert f"{names.dead_letters}: max.message.bytes is 1048588, wanted 2097152" in problems
    assert f"--entity-name {names.dead_letters} --add-config max.message.bytes=2097152" in problems
    assert (await config_of(broker, names.predictions))["cleanup.policy"] == "compact"


async def test_more_replicas_than_brokers_are_refused_with_what_to_do(broker: Any, prefix: str) -> None:
    with pytest.raises(TopicsError, match="Set topics\\.replication to at most the number of brokers"):
        await apply(settings_for(broker, prefix, topics__replication=9))


async def test_topics_of_three_replicas_can_be_checked_as_soon_as_they_are_created(three_brokers: Any) -> None:
    settings = settings_for(three_brokers, "", topics__replication=3)
    assert len(await apply(settings)) == 11
    assert await check_cluster(settings) == []
    assert (await config_of(three_brokers, TopicNames().ledger))["min.insync.replicas"] == "2"


async def test_a_broker_that_is_away_is_an_outage_in_one_line() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(OutageError, match=f"^Kafka does not answer at {address}: no connection") as outage:
            await check_cluster(load_settings(None, {}, {"kafka.bootstrap": address}))
    assert outage.value.exit_status == 75
    assert len(str(outage.value).splitlines()) == 1


def test_check_ends_with_1_until_apply_has_run(broker: Any, prefix: str) -> None:
    options = ("--bootstrap", broker.bootstrap, "--prefix", prefix)
    before = run("check", *options)
    assert before.exit_code == 1
    assert f"{prefix}stops.ledger: missing: run `stream-scorer topics apply`" in before.stderr
    applied = run("apply", *options)
    assert (applied.exit_code, applied.stdout.splitlines()) == (
        0,
        [f"created {name}" for name in TopicNames(prefix).all],
    )
    assert run("check", *options).exit_code == 0
    assert run("apply", *options).stdout == "nothing to create\n"


def test_plan_shows_every_topic_and_what_is_to_do(broker: Any, prefix: str) -> None:
    options = ("--bootstrap", broker.bootstrap, "--prefix", prefix)
    before = run("plan", *options)
    assert before.exit_code == 0
    assert before.stdout.count(" create ") == 11
    run("apply", *options)
    after = run("plan", *options)
    assert after.stdout.count(" as it should be ") == 11
    assert all(name in after.stdout for name in TopicNames(prefix).all)


def test_answers_for_scripts_are_json(broker: Any, prefix: str) -> None:
    options = ("--bootstrap", broker.bootstrap, "--prefix", prefix, "--json")
    planned = json.loads(run("plan", *options).stdout)
    assert [row["action"] for row in planned] == ["create"] * 11
    refused = json.loads(run("check", *options).stdout)
    assert (refused["ok"], len(refused["problems"])) == (False, 11)
    applied = json.loads(run("apply", *options).stdout)
    assert (len(applied["created"]), applied["problems"]) == (11, [])
    assert json.loads(run("check", *options).stdout) == {"ok": True, "problems": []}


def test_apply_ends_with_1_where_a_topic_that_exists_won_t_do(broker: Any, prefix: str) -> None:
    asyncio.run(create(broker, NewTopic(TopicNames(prefix).outcomes, 6, 1)))
    applied = run("apply", "--bootstrap", broker.bootstrap, "--prefix", prefix)
    assert applied.exit_code == 1
    assert len(applied.stdout.splitlines()) == 10
    assert "wanted 4" in applied.stderr
