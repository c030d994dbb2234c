"""The topics on a cluster beside what they should be: plan, apply and check.

Invariant: nothing here changes or deletes a topic that exists; what is wrong is said with what to do about it.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    InvalidReplicationFactorError,
    KafkaConnectionError,
    KafkaError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)

from stream_scorer.errors import OutageError, TopicsError, UserError
from stream_scorer.runtime.cluster.topic_definitions import (
    BEFORE_MAX,
    TopicDefinition,
    TopicNames,
    age_ms_max,
    definitions_for,
    load_topics,
)
from stream_scorer.runtime.cluster.topic_diff import BY_NUMBER, Difference, FoundTopic, compare
from stream_scorer.runtime.kafka.client import client_options
from stream_scorer.runtime.kafka.connection_check import reach
from stream_scorer.runtime.kafka.errors import to_user_error
from stream_scorer.runtime.settings.settings import Settings

__all__ = [
    "Difference",
    "FoundTopic",
    "TopicDefinition",
    "TopicNames",
    "TopicPlan",
    "apply",
    "check_cluster",
    "cluster_id",
    "definitions_for",
    "load_topics",
    "plan",
]

REQUEST_TIMEOUT_MS = 10_000
# a new topic is on the controller at once, and on every broker a moment later; who produces before that gets an error
VISIBLE_WITHIN_S = 30.0
VISIBLE_POLL_S = 0.05
ANSWERS_PER_BROKER = 3
NO_LEADER = -1


class TopicPlan(NamedTuple):
    """One topic as it should be, and in what the cluster's differs."""

    topic: TopicDefinition
    found: FoundTopic | None
    differences: tuple[Difference, ...]


async def plan(settings: Settings) -> tuple[TopicPlan, ...]:
    """Every topic of the environment beside the cluster's. Raises OutageError where Kafka does not answer."""
    async with admin_client(settings) as admin:
        return await compare_all(admin, settings)


async def apply(settings: Settings) -> tuple[str, ...]:
    """Create the topics that are missing, wait until they have leaders, name those created; others stay as they are.

    Raises TopicsError where the cluster refuses one.
    """
    async with admin_client(settings) as admin:
        missing = [row.topic for row in await compare_all(admin, settings) if row.found is None]
        created = await create(admin, missing)
        await wait_until_visible(admin, [topic.name for topic in missing])
        return created


async def cluster_id(settings: Settings) -> str:
    """What the cluster calls itself, the same on all its brokers for as long as it lives."""
    async with admin_client(settings) as admin:
        described: dict[str, Any] = await admin.describe_cluster()
        return str(described["cluster_id"])


async def check_cluster(settings: Settings) -> list[str]:
    """What stands against running a worker on these topics, each with what to do; empty: nothing."""
    return blocking(await plan(settings))


def blocking(rows: Sequence[TopicPlan]) -> list[str]:
    """Of what `plan` found, what stands against running a worker."""
    return [f"{difference}" for row in rows for difference in row.differences if difference.blocking]


def ages_ms_max(rows: Sequence[TopicPlan], settings: Settings) -> dict[str, int]:
    """How far back the timestamps may lie of what a worker publishes, by topic, as the cluster keeps and takes it."""
    found = {row.topic: row.found.config for row in rows if row.found is not None and row.found.config is not None}
    ages = {topic.name: age_ms_max(topic, config, settings) for topic, config in found.items()}
    return {name: age_ms for name, age_ms in ages.items() if age_ms is not None}


@asynccontextmanager
async def admin_client(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """A started admin client; what Kafka's faults mean is said in our words."""
    bootstrap = settings.kafka.bootstrap
    options = client_options(settings.kafka)
    admin = AIOKafkaAdminClient(**options, request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        await reach(options, admin)
        await admin.start()
        yield admin
    except UserError:
        raise
    except (KafkaError, OSError, TimeoutError) as error:
        known = to_user_error(error, "reading or creating topics", bootstrap)
        if known is None or isinstance(known, OutageError):
            reason = "no connection" if isinstance(error, KafkaConnectionError) else str(error) or type(error).__name__
            raise OutageError(
                f"Kafka does not answer at {bootstrap}: {reason}. Is it running, and are the [kafka] settings correct?"
            ) from error
        raise known from error
    finally:
        await admin.close()


async def compare_all(admin: AIOKafkaAdminClient, settings: Settings) -> tuple[TopicPlan, ...]:
    wanted = definitions_for(settings)
    found = await describe(admin, [topic.name for topic in wanted])
    numbers = {
        found[topic.name].partitions
        for topic in wanted
        if topic.lanes and topic.key not in BY_NUMBER and topic.name in found
    }
    common_lanes = numbers.pop() if len(numbers) == 1 else None
    return tuple(
        TopicPlan(topic, found.get(topic.name), compare(topic, found.get(topic.name), settings, common_lanes))
        for topic in wanted
    )


async def describe(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, FoundTopic]:
    """Those of the topics that exist."""
    # asking for a topic by its name would create it where the broker creates topics by itself, so all are asked for
    topics = {topic["topic"]: topic for topic in await admin.describe_topics() if topic["topic"] in names}
    if not topics:
        return {}
    # `configs=None` asks for every setting of a topic
    responses = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name, None) for name in topics])
    configs: dict[str, dict[str, str] | None] = {}
    for response in responses:
        for code, message, _, name, entries, *_ in response.resources:
            error = for_code(code)
            if error in (TopicAuthorizationFailedError, ClusterAuthorizationFailedError):
                configs[name] = None
            elif error is UnknownTopicOrPartitionError:
                topics.pop(name)  # deleted between the two questions, or so new that not every broker knows it
            elif code:
                raise error(message)
            else:
                configs[name] = {entry[0]: entry[1] for entry in entries}
    return {name: found_topic(topic, configs.get(name)) for name, topic in topics.items()}


def found_topic(topic: dict[str, Any], config: dict[str, str] | None) -> FoundTopic:
    partitions = topic["partitions"]
    return FoundTopic(
        partitions=len(partitions),
        replication=min((len(partition["replicas"]) for partition in partitions), default=0),
        config=config,
    )


async def create(admin: AIOKafkaAdminClient, topics: Sequence[TopicDefinition]) -> tuple[str, ...]:
    if not topics:
        return ()
    response = await _create(admin, topics, frozenset())
    if any(BEFORE_MAX in (message or "") for _, code, message in response.topic_errors if code):
        # a broker older than Kafka 3.6 does not know it, and refuses the whole topic
        response = await _create(admin, topics, frozenset({BEFORE_MAX}))
    created, refused = [], []
    replication = {topic.name: topic.replication for topic in topics}
    for name, code, message in response.topic_errors:
        error = for_code(code)
        if not code:
            created.append(name)
        elif error is InvalidReplicationFactorError:
            refused.append(
                f"{name}: {message} Set topics.replication to at most the number of brokers (now {replication[name]})."
            )
        elif error in (TopicAuthorizationFailedError, ClusterAuthorizationFailedError):
            refused.append(f"{name}: this user may not create it. Grant it Create, or let an administrator apply.")
        elif error is not TopicAlreadyExistsError:  # another `apply` was quicker: what counts is that it exists
            refused.append(f"{name}: {error.__name__}: {message}")
    if refused:
        raise TopicsError("the cluster refuses to create\n  - " + "\n  - ".join(refused))
    return tuple(created)


async def _create(admin: AIOKafkaAdminClient, topics: Sequence[TopicDefinition], without: frozenset[str]) -> Any:
    return await admin.create_topics(
        [
            NewTopic(
                topic.name,
                topic.partitions,
                topic.replication,
                topic_configs={name: value for name, value in topic.config.items() if name not in without},
            )
            for topic in topics
        ],
        timeout_ms=REQUEST_TIMEOUT_MS,
    )


async def wait_until_visible(admin: AIOKafkaAdminClient, names: Sequence[str]) -> None:
    """Wait until every partition has a leader that every broker knows."""
    # each question goes to a broker at random, so several in a row must be answered with yes
    brokers = len((await admin.describe_cluster())["brokers"])
    wanted = 1 if brokers == 1 else ANSWERS_PER_BROKER * brokers
    try:
        async with asyncio.timeout(VISIBLE_WITHIN_S):
            answers = 0
            while answers < wanted:
                if await have_leaders(admin, names):
                    answers += 1
                else:
                    answers = 0
                    await asyncio.sleep(VISIBLE_POLL_S)
    except TimeoutError:
        raise TopicsError(
            f"topics were created, but not all have a leader after {VISIBLE_WITHIN_S:.0f} s. "
            "Are all brokers up, and may this user Describe the topics?"
        ) from None


async def have_leaders(admin: AIOKafkaAdminClient, names: Sequence[str]) -> bool:
    led = {
        topic["topic"]
        for topic in await admin.describe_topics()
        if topic["partitions"] and all(partition["leader"] != NO_LEADER for partition in topic["partitions"])
    }
    return led.issuperset(names)
