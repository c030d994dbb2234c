"""Who may do what on Kafka: the least rights of each role, as one table from which access lists, Kubernetes users, the
page on security and the check at a worker's start come.

Invariant: a right stands here only if its role fails without it. Kafka grants Describe with Read and with Write, so it
never stands beside those.
"""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Final, NamedTuple

from stream_scorer.runtime.cluster.topic_definitions import TopicDefinition, load_topics


class Role(StrEnum):
    """Whom a user of the cluster stands for. Somebody who is several of them has the rights of all."""

    WORKER = "worker"
    JUDGE = "judge"
    PRODUCER = "producer"
    ASKING_PRODUCER = "asking-producer"
    GATEWAY = "gateway"
    CONSUMER = "consumer"
    OPERATOR = "operator"
    DEPLOYER = "deployer"
    ADMIN = "admin"


class Kind(StrEnum):
    """What a right is on, in the words of Kafka's tools."""

    TOPIC = "topic"
    GROUP = "group"
    TRANSACTIONAL_ID = "transactional-id"


class Operation(StrEnum):
    """What it allows."""

    READ = "Read"
    WRITE = "Write"
    CREATE = "Create"
    DESCRIBE = "Describe"
    DESCRIBE_CONFIGS = "DescribeConfigs"


class Acl(NamedTuple):
    """One line of an access list. `prefixed`: it is for every name that begins so. `why`: what it is needed for."""

    kind: Kind
    name: str
    operation: Operation
    prefixed: bool
    why: str

    def __str__(self) -> str:
        beginning = "…" if self.prefixed else ""
        return f"{self.operation} on the {self.kind.replace('-', ' ')} {self.name}{beginning} ({self.why})"


WHO: Final = {
    Role.WORKER: "`stream-scorer worker`",
    Role.JUDGE: "a worker that may promote and withdraw models by itself (`model deploy --auto`), beside its rights as "
    "a worker",
    Role.PRODUCER: "sends observations and outcomes",
    Role.ASKING_PRODUCER: "a producer that waits for its answers (`produce --wait`, `stream_scorer.client`)",
    Role.GATEWAY: "`stream-scorer gateway`",
    Role.CONSUMER: "reads predictions and outcome updates",
    Role.OPERATOR: "inspects records and dead letters, audits, replays and discards",
    Role.DEPLOYER: "deploys, promotes and withdraws models",
    Role.ADMIN: "runs `stream-scorer topics apply`",
}

# By the topic's key in topics.toml: operations, each with what it is needed for
_Table = dict[str, dict[Operation, str]]
_READ, _WRITE = Operation.READ, Operation.WRITE
_INPUT: Final = {_READ: "to score its records", _WRITE: "to move records from a wrong partition"}
_OUTPUT: Final = {_READ: "to restore the state from it", _WRITE: "to publish results"}

_WORKER: Final[_Table] = {
    "observations": _INPUT,
    "outcomes": _INPUT,
    "predictions": _OUTPUT,
    "outcome_updates": _OUTPUT,
    "dead_letters": {
        _READ: "to see transactions that a lane's former owner left open",
        _WRITE: "to publish dead letters",
    },
    "shadow_predictions": {
        _READ: "to see transactions that a lane's former owner left open",
        _WRITE: "to publish shadow predictions",
    },
    "model_control": {_READ: "to follow control records"},
    "model_switches": {_READ: "to read which models served last", _WRITE: "to publish switch records"},
    "models": {_READ: "to load models"},
    "model_evidence": {_READ: "to continue a lane's counts", _WRITE: "to publish evidence records"},
}
_JUDGES: Final[_Table] = {"model_control": {_WRITE: "to write automatic decisions"}}
_SENDING: Final[_Table] = {
    "observations": {_WRITE: "to send observations"},
    "outcomes": {_WRITE: "to send outcomes"},
}
_ANSWERS: Final[_Table] = {
    "observations": {_READ: "to follow a record that was moved"},
    "predictions": {_READ: "to read predictions"},
    "dead_letters": {_READ: "to read dead letters"},
}
_UPDATES: Final[_Table] = {"outcome_updates": {_READ: "to read outcome updates"}}
_RESULTS: Final[_Table] = {
    "predictions": {_READ: "to read predictions"},
    "outcome_updates": {_READ: "to read outcome updates"},
}
_LOOKS: Final[_Table] = {
    "observations": {_READ: "to read its records", _WRITE: "to replay records to it"},
    "outcomes": {_READ: "to read its records", _WRITE: "to replay records to it"},
    "predictions": {_READ: "to read its records"},
    "outcome_updates": {_READ: "to read its records"},
    "dead_letters": {_READ: "to read its records"},
    "shadow_predictions": {_READ: "to read its records"},
    "ledger": {_READ: "to read what was decided", _WRITE: "to record every action"},
}
_DEPLOYS: Final[_Table] = {
    "model_control": {_READ: "to read the last record that counts", _WRITE: "to write control records"},
    "models": {_READ: "to read uploads back", _WRITE: "to upload models"},
    "model_switches": {_READ: "to read which lanes have switched"},
    "model_evidence": {_READ: "to compute verdicts"},
    "outcome_updates": {_READ: "to compute verdicts on last revisions"},
}


def rights_of(role: Role, prefix: str = "", group: str = "stream-scorer") -> tuple[Acl, ...]:
    """The least rights of a role in the environment of that prefix; `group` is `worker.group`, without the prefix.
    Topics in the order of topics.toml, then groups, then transactional ids."""
    return tuple(_rights(role, prefix, prefix + group))


def _rights(role: Role, prefix: str, group: str) -> Iterator[Acl]:
    topics = load_topics()
    if role is Role.WORKER:
        hidden = {Operation.DESCRIBE_CONFIGS: "to check its limits at the start"}
        seen = {Operation.DESCRIBE: "to check it at the start", **hidden}
        yield from _on(topics, prefix, {topic.key: {**_WORKER.get(topic.key, seen), **hidden} for topic in topics})
        yield Acl(Kind.GROUP, group, _READ, False, "to share the partitions among workers")
        yield Acl(Kind.TRANSACTIONAL_ID, f"{group}-", _WRITE, True, "to publish in transactions")
    elif role is Role.JUDGE:
        yield from _on(topics, prefix, _JUDGES)
    elif role is Role.PRODUCER:
        yield from _on(topics, prefix, _SENDING)
    elif role is Role.ASKING_PRODUCER:
        both = {key: {**_SENDING.get(key, {}), **_ANSWERS.get(key, {})} for key in _SENDING | _ANSWERS}
        yield from _on(topics, prefix, both)
        yield Acl(Kind.GROUP, group, Operation.DESCRIBE, False, "to tell repeats by the workers' offsets")
    elif role is Role.GATEWAY:
        tables = _SENDING | _ANSWERS | _UPDATES
        whole = {key: {**_SENDING.get(key, {}), **_ANSWERS.get(key, {}), **_UPDATES.get(key, {})} for key in tables}
        yield from _on(topics, prefix, whole)
        yield Acl(
            Kind.GROUP,
            group,
            Operation.DESCRIBE,
            False,
            "to find the worker that owns an id, and to tell repeats by the workers' offsets",
        )
    elif role is Role.CONSUMER:
        yield from _on(topics, prefix, _RESULTS)
        yield Acl(Kind.GROUP, f"{prefix}readers-", _READ, True, "to commit the reader's offsets")
    elif role is Role.OPERATOR:
        yield from _on(topics, prefix, _LOOKS)
        # it includes the right to look, which is all that audits need
        yield Acl(Kind.GROUP, group, _READ, False, "to audit up to the workers' offsets, and to set them")
        yield Acl(
            Kind.TRANSACTIONAL_ID,
            f"{group}-replay-",
            _WRITE,
            True,
            "to commit an action and its ledger entry in one transaction",
        )
    elif role is Role.DEPLOYER:
        yield from _on(topics, prefix, _DEPLOYS)
    else:
        makes = {
            Operation.CREATE: "it is made",
            Operation.DESCRIBE: "to see whether it exists",
            Operation.DESCRIBE_CONFIGS: "to compare it with topics.toml",
        }
        yield from _on(topics, prefix, {topic.key: makes for topic in topics})


def _on(topics: Iterable[TopicDefinition], prefix: str, table: _Table) -> Iterator[Acl]:
    for topic in topics:
        for operation, why in table.get(topic.key, {}).items():
            yield Acl(Kind.TOPIC, prefix + topic.name, operation, False, why)
