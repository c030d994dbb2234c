"""Topic ids, asked of a cluster: a topic that is deleted and made again under its name has another one.

Invariant: asking creates no topic. It reaches into aiokafka 0.14, which is pinned for it and whose newest metadata
request (version 5) knows nothing of ids: they come with version 10 (Kafka 2.8).
"""

import uuid
from collections.abc import Iterable
from io import BytesIO
from typing import Any, Final, cast

from aiokafka.protocol.api import RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

_KEY: Final = 3
_VERSION: Final = 10
_TEXT: Final = CompactString("utf-8")
_TAGS: Final = ("tags", TaggedFields)
_ID_BYTES: Final = 16
_NO_ID: Final = bytes(_ID_BYTES)


class _Uuid(AbstractType[bytes]):
    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(_ID_BYTES)


class _MetadataResponse(Response):
    API_KEY = _KEY
    API_VERSION = _VERSION
    SCHEMA = Schema(
        ("throttle_ms", Int32),
        (
            "brokers",
            CompactArray(("node_id", Int32), ("host", _TEXT), ("port", Int32), ("rack", _TEXT), _TAGS),
        ),
        ("cluster_id", _TEXT),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", _TEXT),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline", CompactArray(Int32)),
                        _TAGS,
                    ),
                ),
                ("authorized_operations", Int32),
                _TAGS,
            ),
        ),
        ("authorized_operations", Int32),
        _TAGS,
    )


class _MetadataRequest(RequestStruct):
    API_KEY = _KEY
    API_VERSION = _VERSION
    RESPONSE_TYPE = _MetadataResponse
    FLEXIBLE_VERSION = True
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("name", _TEXT), _TAGS)),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        _TAGS,
    )


class _Asked:
    """What a connection of aiokafka takes for a request: this version, or none."""

    def __init__(self, topics: Iterable[str]) -> None:
        self._topics = topics

    def prepare(self, versions: dict[int, tuple[int, int]]) -> RequestStruct:
        lowest, highest = versions.get(_KEY, (0, 0))
        if not lowest <= _VERSION <= highest:
            raise _NotKnownError
        asked: list[tuple[bytes, str, dict[int, bytes]]] = [(_NO_ID, name, {}) for name in self._topics]
        return _MetadataRequest(asked, False, False, False, {})


class _NotKnownError(Exception):
    """The broker is older than topic ids."""


async def topic_ids(client: Any, topics: Iterable[str]) -> dict[str, str]:
    """The ids of those of the topics that exist; empty where the broker is older than topic ids. `client`: a consumer's
    or producer's own client. Raises `KafkaError`."""
    node = client.get_random_node()
    if node is None:
        return {}
    try:
        answer = cast(Any, await client.send(node, _Asked(tuple(topics))))
    except _NotKnownError:
        return {}
    return {
        name: uuid.UUID(bytes=id_).hex
        for code, name, id_, *_ in answer.topics
        if code == 0 and name is not None and id_ != _NO_ID
    }
