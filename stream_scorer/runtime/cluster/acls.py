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
    PRODUCER = "producer"
    ASKING_PRODUCER = "asking-producer"
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
    Role.PRODUCER: "who sends observations and outcomes",
    Role.ASKING_PRODUCER: "a producer that waits for its answers (`produce --wait`, `stream_scorer.client`)",
    Role.CONSUMER: "who reads predictions and outcome updates",
    Role.OPERATOR: "who looks into records, dead letters and accounts, and acts on them",
    Role.DEPLOYER: "who deploys, promotes and withdraws models; a worker too, where the judge may decide by itself",
    Role.ADMIN: "who runs `stream-scorer topics apply`",
}

# By the topic's key in topics.toml: operations, each with what it is needed for
_Table = dict[str, dict[Operation, str]]
_READ, _WRITE = Operation.READ, Operation.WRITE
_INPUT: Final = {_READ: "it is what is scored", _WRITE: "records on a wrong partition are moved"}
_OUTPUT: Final = {_READ: "the state is restored from it", _WRITE: "results are published there"}

_WORKER: Final[_Table] = {
    "observations": _INPUT,
    "outcomes": _INPUT,
    "predictions": _OUTPUT,
    "outcome_updates": _OUTPUT,
    "dead_letters": {
        _READ: "what a lane's former owner left without an end is looked at",
        _WRITE: "what breaks the contract goes there",
    },
    "shadow_predictions": {_WRITE: "what shadows would have said is published there"},
    "model_control": {_READ: "it says which models should serve"},
    "model_switches": {_READ: "it says which models served last", _WRITE: "every switch of models is noted there"},
    "models": {_READ: "models are loaded from it"},
    "model_evidence": {_READ: "a lane counts on from it", _WRITE: "what outcomes say of the models is published there"},
}
_SENDING: Final[_Table] = {
    "observations": {_WRITE: "observations are sent there"},
    "outcomes": {_WRITE: "outcomes are sent there"},
}
_ANSWERS: Final[_Table] = {
    "observations": {_READ: "a record that was moved is followed there"},
    "predictions": {_READ: "answers stand there"},
    "dead_letters": {_READ: "refusals stand there"},
}
_RESULTS: Final[_Table] = {
    "predictions": {_READ: "predictions are read"},
    "outcome_updates": {_READ: "outcome updates are read"},
}
_LOOKS: Final[_Table] = {
    "observations": {_READ: "it is looked into", _WRITE: "records are replayed to it"},
    "outcomes": {_READ: "it is looked into", _WRITE: "records are replayed to it"},
    "predictions": {_READ: "it is looked into"},
    "outcome_updates": {_READ: "it is looked into"},
    "dead_letters": {_READ: "it is looked into"},
    "shadow_predictions": {_READ: "it is looked into"},
    "ledger": {_READ: "what was decided stands there", _WRITE: "every act is noted there"},
}
_DEPLOYS: Final[_Table] = {
    "model_control": {_READ: "an act is based on the last one that counts", _WRITE: "every act is a record there"},
    "models": {_READ: "uploads are read back", _WRITE: "models are uploaded there"},
    "model_switches": {_READ: "it is seen which lanes have switched"},
    "model_evidence": {_READ: "verdicts are made of it"},
    "outcome_updates": {_READ: "verdicts on last revisions are made of it"},
}


def rights_of(role: Role, prefix: str = "", group: str = "stream-scorer") -> tuple[Acl, ...]:
    """The least rights of a role in the environment of that prefix; `group` is `worker.group`, without the prefix.
    Topics in the order of topics.toml, then groups, then transactional ids."""
    return tuple(_rights(role, prefix, prefix + group))


def _rights(role: Role, prefix: str, group: str) -> Iterator[Acl]:
    topics = load_topics()
    if role is Role.WORKER:
        hidden = {Operation.DESCRIBE_CONFIGS: "its limits are checked at the start"}
        seen = {Operation.DESCRIBE: "it is checked at the start", **hidden}
        yield from _on(topics, prefix, {topic.key: {**_WORKER.get(topic.key, seen), **hidden} for topic in topics})
        yield Acl(Kind.GROUP, group, _READ, False, "workers share the partitions in it")
        yield Acl(Kind.TRANSACTIONAL_ID, f"{group}-", _WRITE, True, "each lane publishes under its own")
    elif role is Role.PRODUCER:
        yield from _on(topics, prefix, _SENDING)
    elif role is Role.ASKING_PRODUCER:
        both = {key: {**_SENDING.get(key, {}), **_ANSWERS.get(key, {})} for key in _SENDING | _ANSWERS}
        yield from _on(topics, prefix, both)
        yield Acl(Kind.GROUP, group, Operation.DESCRIBE, False, "how far the workers are tells what was a repeat")
    elif role is Role.CONSUMER:
        yield from _on(topics, prefix, _RESULTS)
        yield Acl(Kind.GROUP, f"{prefix}readers-", _READ, True, "readers remember in it how far they are")
    elif role is Role.OPERATOR:
        yield from _on(topics, prefix, _LOOKS)
        # it includes the right to look, which is all that audits need
        yield Acl(Kind.GROUP, group, _READ, False, "audits end where the workers are; offsets are set")
        yield Acl(Kind.TRANSACTIONAL_ID, f"{group}-replay-", _WRITE, True, "an act and its note are one transaction")
    elif role is Role.DEPLOYER:
        yield from _on(topics, prefix, _DEPLOYS)
    else:
        makes = {
            Operation.CREATE: "it is made",
            Operation.DESCRIBE: "it is seen whether it is there",
            Operation.DESCRIBE_CONFIGS: "it is compared with topics.toml",
        }
        yield from _on(topics, prefix, {topic.key: makes for topic in topics})


def _on(topics: Iterable[TopicDefinition], prefix: str, table: _Table) -> Iterator[Acl]:
    for topic in topics:
        for operation, why in table.get(topic.key, {}).items():
            yield Acl(Kind.TOPIC, prefix + topic.name, operation, False, why)
