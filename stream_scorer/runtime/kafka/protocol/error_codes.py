"""Error codes of Kafka's protocol, by what to do about them.

Invariant: what is in neither table is a fault that asking again would not change.
"""

from enum import IntEnum
from typing import Final

from aiokafka import errors

from stream_scorer.runtime.kafka.newer_errors import TransactionAbortableError


class ErrorCode(IntEnum):
    """The error codes that the code refers to by name."""

    NONE = 0
    UNKNOWN_TOPIC_OR_PARTITION = 3
    LEADER_NOT_AVAILABLE = 5
    NOT_LEADER_OR_FOLLOWER = 6
    REQUEST_TIMED_OUT = 7
    REPLICA_NOT_AVAILABLE = 9
    NETWORK_EXCEPTION = 13
    COORDINATOR_LOAD_IN_PROGRESS = 14
    COORDINATOR_NOT_AVAILABLE = 15
    NOT_COORDINATOR = 16
    NOT_ENOUGH_REPLICAS = 19
    NOT_ENOUGH_REPLICAS_AFTER_APPEND = 20
    ILLEGAL_GENERATION = 22
    UNKNOWN_MEMBER_ID = 25
    REBALANCE_IN_PROGRESS = 27
    OUT_OF_ORDER_SEQUENCE_NUMBER = 45
    DUPLICATE_SEQUENCE_NUMBER = 46
    INVALID_PRODUCER_EPOCH = 47
    CONCURRENT_TRANSACTIONS = 51
    OPERATION_NOT_ATTEMPTED = 55
    KAFKA_STORAGE_ERROR = 56
    FENCED_LEADER_EPOCH = 74
    UNKNOWN_LEADER_EPOCH = 75
    OFFSET_NOT_AVAILABLE = 78
    FENCED_INSTANCE_ID = 82
    UNSTABLE_OFFSET_COMMIT = 88
    PRODUCER_FENCED = 90
    TRANSACTIONAL_ID_NOT_FOUND = 105
    TRANSACTION_ABORTABLE = 120


# Another transaction is being decided: over in milliseconds
SOON: Final = frozenset({ErrorCode.CONCURRENT_TRANSACTIONS, ErrorCode.UNSTABLE_OFFSET_COMMIT})
# Who is asked is not the one to ask (any more), or is not ready for it
LATER: Final = frozenset(
    {
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode.LEADER_NOT_AVAILABLE,
        ErrorCode.NOT_LEADER_OR_FOLLOWER,
        ErrorCode.REQUEST_TIMED_OUT,
        ErrorCode.REPLICA_NOT_AVAILABLE,
        ErrorCode.NETWORK_EXCEPTION,
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.NOT_COORDINATOR,
        ErrorCode.NOT_ENOUGH_REPLICAS,
        ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        ErrorCode.KAFKA_STORAGE_ERROR,
        ErrorCode.FENCED_LEADER_EPOCH,
        ErrorCode.UNKNOWN_LEADER_EPOCH,
        ErrorCode.OFFSET_NOT_AVAILABLE,
    }
)
RETRIABLE: Final = SOON | LATER
COORDINATOR_MOVED: Final = frozenset({ErrorCode.COORDINATOR_NOT_AVAILABLE, ErrorCode.NOT_COORDINATOR})
# Another partition of the same request is at fault
NOT_AT_FAULT: Final = frozenset({ErrorCode.NONE, ErrorCode.OPERATION_NOT_ATTEMPTED})


# Somebody else owns what the request was for
_NAMED: Final[dict[int, type[Exception]]] = {
    ErrorCode.ILLEGAL_GENERATION: errors.IllegalGenerationError,
    ErrorCode.UNKNOWN_MEMBER_ID: errors.UnknownMemberIdError,
    ErrorCode.REBALANCE_IN_PROGRESS: errors.RebalanceInProgressError,
    ErrorCode.FENCED_INSTANCE_ID: errors.IllegalGenerationError,
    ErrorCode.INVALID_PRODUCER_EPOCH: errors.InvalidProducerEpoch,
    ErrorCode.PRODUCER_FENCED: errors.ProducerFenced,
    ErrorCode.TRANSACTION_ABORTABLE: TransactionAbortableError,
}


# Refusals name what was refused and nothing else: see `runtime/kafka/errors.py`
REFUSED: Final = (
    errors.TopicAuthorizationFailedError,
    errors.GroupAuthorizationFailedError,
    errors.TransactionalIdAuthorizationFailed,
)


def error_for(code: int, asked: str, of: str) -> Exception:
    """The exception for a code that is not retriable, with the request and its topic, group or id."""
    kind = _NAMED.get(code) or errors.for_code(code)
    return kind(of if issubclass(kind, REFUSED) else f"{asked} of {of}: error {code}")
