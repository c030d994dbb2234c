"""Requests of Kafka's protocol that aiokafka 0.14 does not know, as tables.

Invariant: a table here says the same as the message definition of Apache Kafka of that name and version; a test holds
the bytes of each against those that Kafka's own Java classes write.

| request | version | why this one |
| -- | -- | -- |
| Produce | 12 | the first that adds its partitions to a transaction by itself |
| OffsetFetch | 7 | `require_stable`: the answer says whether a transaction has offsets that are not decided |
| ApiVersions | 3 | which features the cluster has finalized |
| EndTxn | 5 | the answer names the producer id and epoch of the next transaction |
| TxnOffsetCommit | 3, 5 | the group's generation and member; 5 adds the group to the transaction by itself |
| DescribeProducers | 0 | which producers have an open transaction in a partition |
| DescribeTransactions | 0 | how the last transaction of an id was decided |
"""

import struct
from collections.abc import Callable
from io import BytesIO
from typing import Any, Final, Self, TypeVar

from aiokafka.protocol.api import RequestStruct, Response, ResponseHeader_v0
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactBytes,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

from stream_scorer.runtime.kafka.protocol.packing import (
    UnusualAnswerError,
    pack_produce,
    pack_txn_offset_commit,
    read_produced,
    read_txn_offset_committed,
)

Field = tuple[str, Any]

_TEXT: Final = CompactString("utf-8")
_TAGS: Final[Field] = ("tags", TaggedFields)
_ERROR_CODE: Final[Field] = ("error_code", Int16)
_THROTTLE_TIME_MS: Final[Field] = ("throttle_time_ms", Int32)
_PRODUCER: Final[tuple[Field, ...]] = (("producer_id", Int64), ("producer_epoch", Int16))
_COMMITTED: Final[tuple[Field, ...]] = (("offset", Int64), ("leader_epoch", Int32), ("metadata", _TEXT))


def _by_topic(*fields: Field) -> Field:
    """Partitions with these fields, by topic."""
    partitions = CompactArray(("partition", Int32), *fields, _TAGS)
    return "topics", CompactArray(("topic", _TEXT), ("partitions", partitions), _TAGS)


def _numbers_by_topic() -> Field:
    """Partition numbers by topic."""
    return "topics", CompactArray(("topic", _TEXT), ("partitions", CompactArray(Int32)), _TAGS)


R = TypeVar("R", bound=Response)


def _read(kind: type[R], read: Callable[[BytesIO], tuple[Any, ...]], data: BytesIO | bytes) -> R:
    """An answer, by hand where nothing in it is unusual."""
    packed = BytesIO(data) if isinstance(data, bytes) else data
    begin = packed.tell()
    try:
        answer: R = kind(*read(packed))
    except (UnusualAnswerError, struct.error):
        packed.seek(begin)
        answer = kind(*[field.decode(packed) for field in kind.SCHEMA.fields])
    return answer


class ProduceResponseV12(Response):
    API_KEY = 0
    API_VERSION = 12
    SCHEMA = Schema(
        _by_topic(
            _ERROR_CODE,
            ("base_offset", Int64),
            ("log_append_time_ms", Int64),
            ("log_start_offset", Int64),
            ("record_errors", CompactArray(("batch_index", Int32), ("message", _TEXT), _TAGS)),
            ("error_message", _TEXT),
        ),
        _THROTTLE_TIME_MS,
        _TAGS,
    )

    @classmethod
    def decode(cls, data: BytesIO | bytes) -> Self:
        return _read(cls, read_produced, data)


class ProduceRequestV12(RequestStruct):
    API_KEY = 0
    API_VERSION = 12
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = ProduceResponseV12
    SCHEMA = Schema(
        ("transactional_id", _TEXT),
        ("acks", Int16),
        ("timeout_ms", Int32),
        _by_topic(("records", CompactBytes)),
        _TAGS,
    )

    def encode(self) -> bytes:
        return pack_produce(self.transactional_id, self.acks, self.timeout_ms, self.topics)


class OffsetFetchResponseV7(Response):
    API_KEY = 9
    API_VERSION = 7
    SCHEMA = Schema(_THROTTLE_TIME_MS, _by_topic(*_COMMITTED, _ERROR_CODE), _ERROR_CODE, _TAGS)


class OffsetFetchRequestV7(RequestStruct):
    API_KEY = 9
    API_VERSION = 7
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = OffsetFetchResponseV7
    SCHEMA = Schema(("group", _TEXT), _numbers_by_topic(), ("require_stable", Boolean), _TAGS)


class ApiVersionsResponseV3(Response):
    """Its features stand in tagged fields: see `finalized_features`."""

    API_KEY = 18
    API_VERSION = 3
    SCHEMA = Schema(
        _ERROR_CODE,
        ("api_keys", CompactArray(("api_key", Int16), ("min_version", Int16), ("max_version", Int16), _TAGS)),
        _THROTTLE_TIME_MS,
        _TAGS,
    )


class ApiVersionsRequestV3(RequestStruct):
    API_KEY = 18
    API_VERSION = 3
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = ApiVersionsResponseV3
    SCHEMA = Schema(("client_software_name", _TEXT), ("client_software_version", _TEXT), _TAGS)

    def parse_response_header(self, read_buffer: BytesIO | bytes) -> ResponseHeader_v0:
        # the one flexible answer with the header of old, so that any broker can give it
        return ResponseHeader_v0.decode(read_buffer)


class EndTxnResponseV5(Response):
    API_KEY = 26
    API_VERSION = 5
    SCHEMA = Schema(_THROTTLE_TIME_MS, _ERROR_CODE, *_PRODUCER, _TAGS)


class EndTxnRequestV5(RequestStruct):
    API_KEY = 26
    API_VERSION = 5
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = EndTxnResponseV5
    SCHEMA = Schema(("transactional_id", _TEXT), *_PRODUCER, ("committed", Boolean), _TAGS)


_TXN_OFFSET_COMMIT: Final = Schema(
    ("transactional_id", _TEXT),
    ("group", _TEXT),
    *_PRODUCER,
    ("generation", Int32),
    ("member", _TEXT),
    ("group_instance_id", _TEXT),
    _by_topic(*_COMMITTED),
    _TAGS,
)
_TXN_OFFSET_COMMITTED: Final = Schema(_THROTTLE_TIME_MS, _by_topic(_ERROR_CODE), _TAGS)


class _TxnOffsetCommitResponse(Response):
    API_KEY = 28
    API_VERSION = -1
    SCHEMA = _TXN_OFFSET_COMMITTED

    @classmethod
    def decode(cls, data: BytesIO | bytes) -> Self:
        return _read(cls, read_txn_offset_committed, data)


class _TxnOffsetCommitRequest(RequestStruct):
    API_KEY = 28
    API_VERSION = -1
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _TxnOffsetCommitResponse
    SCHEMA = _TXN_OFFSET_COMMIT

    def encode(self) -> bytes:
        return pack_txn_offset_commit(
            self.transactional_id,
            self.group,
            (self.producer_id, self.producer_epoch),
            (self.generation, self.member, self.group_instance_id),
            self.topics,
        )


class TxnOffsetCommitResponseV3(_TxnOffsetCommitResponse):
    API_VERSION = 3


class TxnOffsetCommitRequestV3(_TxnOffsetCommitRequest):
    API_VERSION = 3
    RESPONSE_TYPE = TxnOffsetCommitResponseV3


class TxnOffsetCommitResponseV5(_TxnOffsetCommitResponse):
    API_VERSION = 5


class TxnOffsetCommitRequestV5(_TxnOffsetCommitRequest):
    API_VERSION = 5
    RESPONSE_TYPE = TxnOffsetCommitResponseV5


class DescribeProducersResponseV0(Response):
    API_KEY = 61
    API_VERSION = 0
    SCHEMA = Schema(
        _THROTTLE_TIME_MS,
        _by_topic(
            _ERROR_CODE,
            ("error_message", _TEXT),
            (
                "active_producers",
                CompactArray(
                    ("producer_id", Int64),
                    ("producer_epoch", Int32),
                    ("last_sequence", Int32),
                    ("last_timestamp", Int64),
                    ("coordinator_epoch", Int32),
                    ("current_txn_start_offset", Int64),
                    _TAGS,
                ),
            ),
        ),
        _TAGS,
    )


class DescribeProducersRequestV0(RequestStruct):
    API_KEY = 61
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = DescribeProducersResponseV0
    SCHEMA = Schema(_numbers_by_topic(), _TAGS)


class DescribeTransactionsResponseV0(Response):
    API_KEY = 65
    API_VERSION = 0
    SCHEMA = Schema(
        _THROTTLE_TIME_MS,
        (
            "transactions",
            CompactArray(
                _ERROR_CODE,
                ("transactional_id", _TEXT),
                ("state", _TEXT),
                ("timeout_ms", Int32),
                ("start_time_ms", Int64),
                *_PRODUCER,
                _numbers_by_topic(),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class DescribeTransactionsRequestV0(RequestStruct):
    API_KEY = 65
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = DescribeTransactionsResponseV0
    SCHEMA = Schema(("transactional_ids", CompactArray(_TEXT)), _TAGS)


FINALIZED_FEATURES_TAG: Final = 2
_FINALIZED_FEATURES: Final = CompactArray(("name", _TEXT), ("max_level", Int16), ("min_level", Int16), _TAGS)


def finalized_features(answer: Any) -> dict[str, int]:
    """The levels of the features that a cluster has finalized, by name, from an ApiVersions answer. What its brokers
    would support is another matter, and of no use."""
    packed = answer.tags.get(FINALIZED_FEATURES_TAG)
    if packed is None:
        return {}
    return {name: max_level for name, max_level, *_ in _FINALIZED_FEATURES.decode(BytesIO(packed)) or []}
