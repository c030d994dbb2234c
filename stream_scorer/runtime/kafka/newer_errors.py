"""Kafka's errors that are newer than the client: without these classes aiokafka 0.14 takes every one of them for an
unknown fault (`UNKNOWN`), so that nobody could tell what Kafka answered, nor whether asking again helps.

Source: the table of error codes in Kafka's protocol guide, of those that a client may receive.
"""

from typing import Any, Final

from aiokafka import errors


class TransactionAbortableError(errors.BrokerResponseError):
    """Kafka can't go on with this transaction, but can with another one of the same producer."""

    errno = 120
    message = "TRANSACTION_ABORTABLE"


_RETRIABLE: Final = {
    74: "FENCED_LEADER_EPOCH",
    75: "UNKNOWN_LEADER_EPOCH",
    78: "OFFSET_NOT_AVAILABLE",
    80: "PREFERRED_LEADER_NOT_AVAILABLE",
    83: "ELIGIBLE_LEADERS_NOT_AVAILABLE",
    88: "UNSTABLE_OFFSET_COMMIT",
    89: "THROTTLING_QUOTA_EXCEEDED",
    100: "UNKNOWN_TOPIC_ID",
    103: "INCONSISTENT_TOPIC_ID",
    106: "FETCH_SESSION_TOPIC_ID_ERROR",
}
# After these errors the client looks up a partition's leader again
_LEADER_MOVED: Final = {74, 75, 100, 103}
_FINAL: Final = {
    73: "TOPIC_DELETION_DISABLED",
    76: "UNSUPPORTED_COMPRESSION_TYPE",
    81: "GROUP_MAX_SIZE_REACHED",
    82: "FENCED_INSTANCE_ID",
    86: "GROUP_SUBSCRIBED_TO_TOPIC",
    87: "INVALID_RECORD",
    91: "RESOURCE_NOT_FOUND",
    92: "DUPLICATE_RESOURCE",
    93: "UNACCEPTABLE_CREDENTIAL",
    104: "INCONSISTENT_CLUSTER_ID",
    105: "TRANSACTIONAL_ID_NOT_FOUND",
    110: "FENCED_MEMBER_EPOCH",
    111: "UNRELEASED_INSTANCE_ID",
    113: "STALE_MEMBER_EPOCH",
}


# Those that have a class already: the client's own, and ours
_NAMED: Final[dict[int, type[Exception]]] = {90: errors.ProducerFenced, 120: TransactionAbortableError}


def _error_class(code: int, name: str) -> type[errors.BrokerResponseError]:
    words = "".join(word.capitalize() for word in name.split("_"))
    content: dict[str, Any] = {
        "__doc__": f"Kafka answered {name}.",
        "errno": code,
        "message": name,
        "retriable": code in _RETRIABLE,
        "invalid_metadata": code in _LEADER_MOVED,
    }
    return type(f"{words}Error", (errors.BrokerResponseError,), content)


def teach_newer_errors() -> None:
    """Add these to the table by which the client makes an exception of a code. It reaches into aiokafka 0.14; what a
    later one knows by itself stays as it is there."""
    for code, name in (_RETRIABLE | _FINAL).items():
        errors.kafka_errors.setdefault(code, _error_class(code, name))
    for code, named in _NAMED.items():
        errors.kafka_errors.setdefault(code, named)
