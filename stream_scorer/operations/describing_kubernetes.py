"""The Kubernetes objects that say what the code says: Strimzi's topics and users, and the rules for Prometheus. Law: one
code gives the same bytes, and a user has the rights of its role and no other.

Write them anew: `python -m stream_scorer.operations.describing_kubernetes deploy`.
"""

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from stream_scorer.operations.describing import to_yaml
from stream_scorer.runtime.rights import Kind, Operation, Right, Role, rights_of
from stream_scorer.runtime.settings import Settings, TopicsSettings, WorkerSettings
from stream_scorer.runtime.topics import TopicNames, definitions_for

REGENERATE: Final = "make generate"
HEAD: Final = f"# Generated from the code by `{REGENERATE}`: change the code, topics.toml or users.toml, not this file.\n"
ENVIRONMENTS: Final = ("staging", "production")
API_VERSION: Final = "kafka.strimzi.io/v1"
# what counts waiting records: it may look at the group and its topics, and read nothing
LAG: Final = "lag"
KINDS: Final = {Kind.TOPIC: "topic", Kind.GROUP: "group", Kind.TRANSACTIONAL_ID: "transactionalId"}


class User(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A section of users.toml."""

    role: str
    producer_bytes_per_s: int | None = None
    consumer_bytes_per_s: int | None = None
    request_percent: int | None = None


class _UsersFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    users: dict[str, User]


def described_kubernetes(deploy: Path) -> dict[str, str]:
    """File name below `deploy` → text, from the settings, users.toml and the rules that lie there."""
    users = load_users(deploy / "kubernetes" / "users.toml")
    files = {}
    for environment in ENVIRONMENTS:
        settings = load_environment(deploy / "settings" / f"{environment}.toml")
        folder = f"kubernetes/kafka/{environment}"
        files[f"{folder}/topics.yaml"] = documents(topic_objects(settings))
        files[f"{folder}/users.yaml"] = documents(user_objects(settings, environment, users))
    files["kubernetes/base/prometheus-rules.yaml"] = documents([rules_object(deploy / "prometheus")])
    return files


def load_users(path: Path) -> dict[str, User]:
    return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _UsersFile).users


def load_environment(path: Path) -> Settings:
    """The settings that decide about topics and names; the others name files that lie on the cluster only."""
    sections = tomllib.loads(path.read_text(encoding="utf-8"))
    return Settings(
        topics=msgspec.convert(sections.get("topics", {}), TopicsSettings),
        worker=msgspec.convert(sections.get("worker", {}), WorkerSettings),
    )


def documents(objects: Iterator[dict[str, Any]] | list[dict[str, Any]]) -> str:
    return HEAD + "---\n".join(map(to_yaml, objects))


def topic_objects(settings: Settings) -> Iterator[dict[str, Any]]:
    """A KafkaTopic for each topic of the environment, as `stream-scorer topics apply` would make it."""
    for topic in definitions_for(settings):
        yield {
            "apiVersion": API_VERSION,
            "kind": "KafkaTopic",
            "metadata": {"name": topic.name},
            "spec": {
                "topicName": topic.name,
                "partitions": topic.partitions,
                "replicas": topic.replication,
                "config": {
                    name: int(value) if value.lstrip("-").isdigit() else value for name, value in topic.config.items()
                },
            },
        }


def user_objects(settings: Settings, environment: str, users: dict[str, User]) -> Iterator[dict[str, Any]]:
    """A KafkaUser for each user of users.toml, with the rights of its role in this environment."""
    for name, user in users.items():
        spec: dict[str, Any] = {
            "authentication": {
                "type": "scram-sha-512",
                # by reference: whoever keeps the secrets makes it
                "password": {"valueFrom": {"secretKeyRef": {"name": f"{name}-{environment}-password", "key": "password"}}},
            },
            "authorization": {"type": "simple", "acls": list(access_list(rights_in(settings, user.role)))},
        }
        limits = quotas(user)
        if limits:
            spec["quotas"] = limits
        yield {
            "apiVersion": API_VERSION,
            "kind": "KafkaUser",
            "metadata": {"name": f"{name}-{environment}"},
            "spec": spec,
        }


def rights_in(settings: Settings, role: str) -> tuple[Right, ...]:
    """The least rights of a role in the environment of these settings."""
    prefix = settings.topics.prefix
    if role != LAG:
        return rights_of(Role(role), prefix, settings.worker.group)
    names, why = TopicNames(prefix), "it says how much waits"
    return (
        Right(Kind.TOPIC, names.observations, Operation.DESCRIBE, False, why),
        Right(Kind.TOPIC, names.outcomes, Operation.DESCRIBE, False, why),
        Right(Kind.GROUP, settings.group_name, Operation.DESCRIBE, False, why),
    )


def access_list(rights: tuple[Right, ...]) -> Iterator[dict[str, Any]]:
    """One entry for each resource, with all operations on it."""
    operations: dict[tuple[Kind, str, bool], list[str]] = {}
    for right in rights:
        operations.setdefault((right.kind, right.name, right.prefixed), []).append(str(right.operation))
    for (kind, name, prefixed), allowed in operations.items():
        pattern = "prefix" if prefixed else "literal"
        yield {
            "resource": {"type": KINDS[kind], "name": name, "patternType": pattern},
            "operations": allowed,
            "host": "*",
        }


def quotas(user: User) -> dict[str, int]:
    given = {
        "producerByteRate": user.producer_bytes_per_s,
        "consumerByteRate": user.consumer_bytes_per_s,
        "requestPercentage": user.request_percent,
    }
    return {name: value for name, value in given.items() if value is not None}


def rules_object(folder: Path) -> dict[str, Any]:
    """The rules that lie in the folder as one PrometheusRule, in the order of their files' names."""
    import yaml  # comes with the packages for developers, who alone write these files

    groups: list[Any] = []
    for path in sorted([*folder.rglob("*.yml"), *folder.rglob("*.yaml")]):
        said = yaml.safe_load(path.read_text(encoding="utf-8"))
        # Prometheus's own settings and the tests of rules lie beside the rules
        if isinstance(said, dict) and "groups" in said and "tests" not in said:
            groups += said["groups"]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "stream-scorer"},
        "spec": {"groups": groups},
    }


def write_kubernetes(deploy: Path) -> None:
    for name, text in described_kubernetes(deploy).items():
        path = deploy / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_kubernetes(Path(sys.argv[1]))
