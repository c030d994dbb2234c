"""Which rights a user lacks, asked of Kafka itself before anything depends on them.

Invariant: it asks and changes nothing. What a broker can't tell counts as granted: it will say so when the right is
used. Two questions are versions that aiokafka 0.14 does not ask, made of the parts of its protocol.
"""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from aiokafka import errors
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import DescribeGroupsResponse_v3
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String

from stream_scorer.errors import SettingsError
from stream_scorer.runtime.cluster.acls import Acl, Kind, Operation, Role, rights_of
from stream_scorer.runtime.cluster.topic_admin import admin_client
from stream_scorer.runtime.settings.settings import Settings

# What Kafka calls the operations on the wire: which bit says that one is granted
_BITS: Final = {
    Operation.READ: 3,
    Operation.WRITE: 4,
    Operation.CREATE: 5,
    Operation.DESCRIBE: 8,
    Operation.DESCRIBE_CONFIGS: 10,
}
_TOPIC_REFUSED: Final = errors.TopicAuthorizationFailedError.errno
_TOPIC_UNKNOWN: Final = errors.UnknownTopicOrPartitionError.errno
_GROUP_REFUSED: Final = errors.GroupAuthorizationFailedError.errno
_OF_A_GROUP, _OF_A_TRANSACTION = 0, 1
# A cluster that was just made has no coordinator yet and makes its topics on the first question
_COORDINATOR_TRIES: Final = 20
_COORDINATOR_WAIT_S: Final = 0.1
_NOT_YET: Final = (
    errors.GroupCoordinatorNotAvailableError,
    errors.GroupLoadInProgressError,
    errors.NotCoordinatorForGroupError,
)


async def check_worker_rights(settings: Settings) -> None:
    """Raises `SettingsError` with every right that a worker would miss sooner or later."""
    rights = rights_of(Role.WORKER, settings.topics.prefix, settings.worker.group)
    if settings.worker.delivery != "exactly-once":
        rights = tuple(right for right in rights if right.kind is not Kind.TRANSACTIONAL_ID)
    async with admin_client(settings) as admin:
        missing = await missing_rights(admin, rights)
    if missing:
        raise SettingsError(missing_acls_text(missing, settings.kafka.sasl_username))


async def missing_rights(admin: AIOKafkaAdminClient, rights: Collection[Acl]) -> list[Acl]:
    """The rights that Kafka does not grant to the user of `admin`. A topic that does not exist
    lacks none that Kafka reports."""
    topics = await _granted_on_topics(admin, list({right.name for right in rights if right.kind is Kind.TOPIC}))
    missing = []
    for right in rights:
        if right.kind is Kind.TOPIC:
            granted = topics.get(right.name)
        elif right.kind is Kind.GROUP and not right.prefixed:
            granted = await _granted_on_group(admin, right.name)
        elif right.kind is Kind.TRANSACTIONAL_ID:
            # any name that begins so; what can be asked without fencing anybody is only whether it may be described
            granted = None if await _may_be_found(admin, right.name, _OF_A_TRANSACTION) else frozenset()
        else:
            granted = None
        if granted is not None and right.operation not in granted:
            missing.append(right)
    return missing


def missing_acls_text(missing: Iterable[Acl], user: str) -> str:
    """What people read when rights are missing: every one, and what to do."""
    who = f"the user {user}" if user else "this user"
    lines = "".join(f"\n  - {right}" for right in missing)
    return f"Kafka refuses {who}these ACLs, or hides whether they exist:{lines}\nGrant these ACLs, then start again."


async def _granted_on_topics(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, frozenset[Operation]]:
    """What is granted on each topic; one that does not exist is left out."""
    if not names:
        return {}
    try:
        response: Any = await admin._send_request(_TopicRights(names))
    except (NotImplementedError, errors.IncompatibleBrokerVersion):
        return {}  # a broker before 2.3
    granted = {}
    for code, name, _, _, operations in response.topics:
        if code == _TOPIC_REFUSED:
            granted[name] = frozenset[Operation]()
        elif code != _TOPIC_UNKNOWN:
            granted[name] = _operations(operations)
    return granted


async def _granted_on_group(admin: AIOKafkaAdminClient, group: str) -> frozenset[Operation] | None:
    """What is granted on the group, None if Kafka does not report it."""
    for _ in range(_COORDINATOR_TRIES):
        try:
            node = await admin.find_coordinator(group, _OF_A_GROUP)
            response: Any = await admin._send_request(_GroupRights(group), node)
        except errors.GroupAuthorizationFailedError:
            return frozenset()
        except _NOT_YET:
            await asyncio.sleep(_COORDINATOR_WAIT_S)
            continue
        except (NotImplementedError, errors.IncompatibleBrokerVersion):
            return None
        ((code, *_, operations),) = response.groups
        if code == _GROUP_REFUSED:
            return frozenset()
        if not code:
            return _operations(operations)
        await asyncio.sleep(_COORDINATOR_WAIT_S)
    return None


async def _may_be_found(admin: AIOKafkaAdminClient, name: str, kind: int) -> bool:
    try:
        await admin.find_coordinator(name, kind)
    except errors.TransactionalIdAuthorizationFailed:
        return False
    except _NOT_YET:
        return True
    return True


def _operations(bits: int) -> frozenset[Operation]:
    return frozenset(operation for operation, bit in _BITS.items() if bits >> bit & 1)


# Requests that the client knows only in older versions, which don't tell rights. What is asked for by its name is not
# created by it, because the request says so.


class _TopicRightsResponse(Response):
    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            Array(("node_id", Int32), ("host", String("utf-8")), ("port", Int32), ("rack", String("utf-8"))),
        ),
        ("cluster_id", String("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", String("utf-8")),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
        ("cluster_authorized_operations", Int32),
    )


class _TopicRightsRequest(RequestStruct):
    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = _TopicRightsResponse
    SCHEMA = Schema(
        ("topics", Array(String("utf-8"))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
    )


class _TopicRights(Request[_TopicRightsRequest]):
    API_KEY = 3

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = list(topics)

    def build(self, request_struct_class: type[_TopicRightsRequest]) -> _TopicRightsRequest:
        return request_struct_class(self._topics, False, False, True)


class _GroupRightsRequest(RequestStruct):
    API_KEY = 15
    API_VERSION = 3
    RESPONSE_TYPE = DescribeGroupsResponse_v3
    SCHEMA = Schema(("groups", Array(String("utf-8"))), ("include_authorized_operations", Boolean))


class _GroupRights(Request[_GroupRightsRequest]):
    API_KEY = 15

    def __init__(self, group: str) -> None:
        self._group = group

    def build(self, request_struct_class: type[_GroupRightsRequest]) -> _GroupRightsRequest:
        return request_struct_class([self._group], True)
