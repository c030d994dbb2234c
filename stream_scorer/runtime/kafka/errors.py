"""What Kafka's errors mean to a user: fenced, away, refused."""

from aiokafka import errors

from stream_scorer.errors import FencedError, OutageError, RefusedError, SettingsError, UserError
from stream_scorer.runtime.kafka.descriptors import any_left, no_descriptors_left, out_of_descriptors

# Another producer with our transactional id has started: this process no longer owns the partition.
FENCED = (
    errors.ProducerFenced,
    errors.InvalidProducerEpoch,
    errors.InvalidProducerIdMapping,
    errors.InvalidTxnState,
    # the same in a plain offset commit, at least once
    errors.CommitFailedError,
    errors.IllegalGenerationError,
    errors.UnknownMemberIdError,
    errors.RebalanceInProgressError,
)


# The broker is gone, starting, or too slow for the client's own patience
AWAY = (
    errors.KafkaConnectionError,
    errors.KafkaTimeoutError,
    errors.NodeNotReadyError,
    errors.RequestTimedOutError,
    errors.UnrecognizedBrokerVersion,
    errors.NoBrokersAvailable,
    TimeoutError,
    ConnectionError,
)


REFUSED = (
    errors.TopicAuthorizationFailedError,
    errors.GroupAuthorizationFailedError,
    errors.TransactionalIdAuthorizationFailed,
    errors.ClusterAuthorizationFailedError,
)


def cause_of(error: BaseException) -> BaseException:
    """What Kafka really said, where the client has wrapped it: its sender hands on every fault that it does not know as
    a bare `KafkaError` whose cause is the fault. The error itself where it is no such wrapper."""
    while type(error) is errors.KafkaError and isinstance(error.__cause__, Exception):
        error = error.__cause__
    return error


def _not_granted(error: BaseException) -> str:
    named = error.args[0] if error.args else ""
    names = ", ".join(sorted(named)) if isinstance(named, set | frozenset | list | tuple) else str(named)
    if isinstance(error, errors.TopicAuthorizationFailedError):
        return f"this user lacks Read (to consume) or Write (to produce) on the topic {names}"
    if isinstance(error, errors.GroupAuthorizationFailedError):
        return f"this user lacks Read (to join) or Describe (to inspect) on the group {names}"
    if isinstance(error, errors.TransactionalIdAuthorizationFailed):
        return f"this user lacks Write on the transactional id {names}"
    return f"this user has no right to it on the cluster ({type(error).__name__} {names})"


def what_happened(error: BaseException) -> str:
    """A fault of a client or of the system in a few words: not the client's own, which name its inner parts, but
    Kafka's name for what it answered, or the system's."""
    if isinstance(error, errors.KafkaTimeoutError | errors.RequestTimedOutError | TimeoutError):
        return "no answer in time"
    if isinstance(error, errors.NotLeaderForPartitionError | errors.LeaderNotAvailableError):
        return "a partition is changing its leader"
    if isinstance(error, errors.BrokerResponseError):
        return f"it answered {error.message}"
    if isinstance(error, errors.KafkaConnectionError | errors.NodeNotReadyError | errors.NoBrokersAvailable):
        return "there is no connection, or it was lost"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return type(error).__name__


def to_user_error(error: BaseException, doing: str, bootstrap: str) -> UserError | None:
    """What a fault of a Kafka client means for people: an outage, a fencing, a missing right; None where it is none of
    these (our own fault)."""
    if isinstance(error, UserError):
        return error
    error = cause_of(error)
    # the client itself logs why it can't connect, and raises another error without a cause
    if out_of_descriptors(error) or (isinstance(error, AWAY) and not any_left()):
        return no_descriptors_left()
    if isinstance(error, FENCED):
        return FencedError(
            f"Fenced while {doing}: another worker has taken over this partition; nothing was committed here. "
            "Start this worker again; if it happens often, raise worker.session_timeout_ms."
        )
    if isinstance(error, REFUSED):
        return SettingsError(f"Kafka refuses {doing}: {_not_granted(error)}. Grant it, then start again.")
    if isinstance(error, errors.InvalidTimestampError):
        return RefusedError(
            f"Kafka refuses a record's timestamp while {doing}: it lies further back, or further ahead, than the topic "
            "takes, because retention would delete it at once. Send the record with the time of sending."
        )
    detail = what_happened(error)
    if isinstance(error, AWAY) or (isinstance(error, errors.KafkaError) and error.retriable):
        return OutageError(
            f"Kafka at {bootstrap} does not answer while {doing} ({detail}). "
            "Start the worker again once the broker is back."
        )
    if isinstance(error, errors.KafkaError):
        return RefusedError(
            f"Kafka at {bootstrap} rejected a request while {doing} ({detail}). Nothing of this batch was "
            "committed. Compare the topics with `stream-scorer topics check`, then start the worker again."
        )
    return None
