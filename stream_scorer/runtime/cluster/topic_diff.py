"""In what a cluster's topic is not as it should be, and what to do about it.

Invariant: values in, values out, no I/O.
"""

from typing import Final, NamedTuple

from stream_scorer.runtime.cluster.topic_definitions import (
    BEFORE_MAX,
    DEAD_LETTER_MARGIN_BYTES,
    FOR_EVER_MS,
    TopicDefinition,
    retention_ms_min,
)
from stream_scorer.runtime.settings.settings import Settings

RESTORED_FROM = ("predictions", "outcome_updates")
# Written by the partition's number and never by a key's hash, so that they may grow: the first version made it with one
# partition, and wrote nothing there
BY_NUMBER = ("model_switches",)


NEW_ENVIRONMENT: Final = "start a new environment under another topics.prefix"


class FoundTopic(NamedTuple):
    """A topic on the cluster; `config` is None where this user may not read its settings."""

    partitions: int
    replication: int
    config: dict[str, str] | None


class Difference(NamedTuple):
    """One thing in which a topic is not as it should be. `blocking`: no worker may run on it."""

    topic: str
    what: str
    found: str
    wanted: str
    blocking: bool
    advice: str

    def __str__(self) -> str:
        if self.found == "missing":
            return f"{self.topic}: missing: {self.advice}"
        return f"{self.topic}: {self.what} is {self.found}, wanted {self.wanted}: {self.advice}"


def compare(
    topic: TopicDefinition, found: FoundTopic | None, settings: Settings, common_lanes: int | None = None
) -> tuple[Difference, ...]:
    """Every difference of one topic. `common_lanes`: the partitions of all topics with lanes there, if they agree."""
    if found is None:
        advice = "run `stream-scorer topics apply` (or let this user describe the topic)"
        return (Difference(topic.name, "topic", "missing", "present", True, advice),)
    differences = [*compare_shape(topic, found, common_lanes)]
    if found.config is None:
        advice = "grant this user DescribeConfigs on the topic, so that its retention and limits can be checked"
        return (*differences, Difference(topic.name, "its configuration", "hidden", "readable", True, advice))
    return (*differences, *compare_config(topic, found, found.config, settings))


def compare_shape(topic: TopicDefinition, found: FoundTopic, common_lanes: int | None) -> list[Difference]:
    differences = []
    if found.partitions != topic.partitions:
        if topic.lanes and common_lanes == found.partitions:
            advice = f"set topics.partitions = {common_lanes}, which all have, or {NEW_ENVIRONMENT}"
        elif topic.key in BY_NUMBER and found.partitions < topic.partitions:
            advice = (
                "its records go to the partition that they are about, so it may grow: "
                f"kafka-topics --alter --topic {topic.name} --partitions {topic.partitions}"
            )
        elif topic.lanes:
            advice = f"topics with lanes must all have the same number, which is fixed: {NEW_ENVIRONMENT}"
        else:
            advice = f"its records must keep one order: {NEW_ENVIRONMENT}"
        differences.append(
            Difference(
                topic.name, "the number of partitions", str(found.partitions), str(topic.partitions), True, advice
            )
        )
    if found.replication != topic.replication:
        short = found.replication < topic.replication
        advice = (
            "add replicas with kafka-reassign-partitions, or lower topics.replication"
            if short
            else "more replicas than configured do no harm"
        )
        differences.append(
            Difference(
                topic.name, "the number of replicas", str(found.replication), str(topic.replication), short, advice
            )
        )
    return differences


def compare_config(
    topic: TopicDefinition, found: FoundTopic, config: dict[str, str], settings: Settings
) -> list[Difference]:
    differences = []
    for name, wanted in topic.config.items():
        value = config.get(name, "")
        if value == wanted or (name == BEFORE_MAX and not value):  # brokers before Kafka 3.6 don't know that one
            continue
        need = needed(name, topic, found, value, settings)
        value_wanted = f"{name}={need or wanted}"
        alter = f"kafka-configs --alter --entity-type topics --entity-name {topic.name} --add-config {value_wanted}"
        if need is None:
            differences.append(
                Difference(topic.name, name, value, wanted, False, f"workers run with it; to change it: {alter}")
            )
        else:
            differences.append(Difference(topic.name, name, value, need, True, f"{WHY[name]}: {alter}"))
    if int(config.get("min.insync.replicas", "1")) > found.replication:
        advice = "it exceeds the number of replicas, so nobody can write: add replicas or lower it"
        differences.append(
            Difference(
                topic.name,
                "min.insync.replicas",
                config["min.insync.replicas"],
                f"at most {found.replication}",
                True,
                advice,
            )
        )
    return differences


WHY = {
    "cleanup.policy": "compaction would delete records that are still needed",
    "retention.ms": "retention would delete records that are still needed",
    "retention.bytes": "retention would delete records that are still needed",
    "max.message.bytes": "Kafka would refuse records of an allowed size, and their lane would stall",
    "message.timestamp.type": "a record's timestamp must be the producer's (CreateTime)",
}


def needed(name: str, topic: TopicDefinition, found: FoundTopic, value: str, settings: Settings) -> str | None:
    """The value that a worker can't run without, or None where it can run with the one found."""
    if name == "cleanup.policy":
        return "delete" if "compact" in value or topic.kept_for_ever else None
    if name == "message.timestamp.type":
        return "CreateTime" if topic.lanes else None
    number = int(value or "0")
    if name == "retention.ms":
        if number == FOR_EVER_MS:
            return None
        if topic.kept_for_ever:
            return str(FOR_EVER_MS)
        least = retention_ms_min(settings)
        return str(topic.retention_ms) if topic.key in RESTORED_FROM and number < least else None
    if name == "retention.bytes":
        return "-1" if topic.kept_for_ever or topic.key in RESTORED_FROM else None
    if name == "max.message.bytes":
        least = topic.record_bytes_max
        if topic.key == "dead_letters":
            least = settings.worker.dead_letter_bytes_max + DEAD_LETTER_MARGIN_BYTES
        return str(topic.record_bytes_max) if number < least else None
    return None
