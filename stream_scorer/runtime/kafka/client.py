"""What every Kafka client of ours has in common: how it connects, what its faults mean, and one wait inside aiokafka
that is too long.

Law: no other module reads connection settings. Who else reaches into aiokafka's internals says so: `consuming.py`,
`odd_headers.py`, `publishing.py`, `right_checking.py`.
"""

import asyncio
import ssl
from typing import Any

import aiokafka.producer.sender
from aiokafka import AIOKafkaConsumer, errors
from aiokafka.helpers import create_ssl_context

from stream_scorer.errors import FencedError, Known, OutageError, RefusedError, SettingsError
from stream_scorer.runtime.settings.settings import KafkaSettings

# After a transaction ends, the coordinator answers CONCURRENT_TRANSACTIONS until its markers are written, which takes
# 1-3 ms. aiokafka 0.14 then waits a fixed 20 ms, most of a small batch's latency. A test checks that this took.
TRANSACTION_RETRY_WAIT_S = 0.002
aiokafka.producer.sender.BACKOFF_OVERRIDE = TRANSACTION_RETRY_WAIT_S

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


def client_options(kafka: KafkaSettings) -> dict[str, Any]:
    """Keyword arguments for aiokafka's consumer, producer and admin client. Raises `SettingsError` where a certificate
    can't be read."""
    options: dict[str, Any] = {
        "bootstrap_servers": kafka.bootstrap,
        "security_protocol": kafka.security_protocol,
        "client_id": "stream-scorer",
    }
    if kafka.security_protocol.startswith("SASL"):
        options |= {
            "sasl_mechanism": kafka.sasl_mechanism,
            "sasl_plain_username": kafka.sasl_username,
            "sasl_plain_password": kafka.sasl_password,
        }
    if kafka.security_protocol.endswith("SSL"):
        options["ssl_context"] = _tls(kafka)
    return options


def _tls(kafka: KafkaSettings) -> ssl.SSLContext:
    try:
        context: ssl.SSLContext = create_ssl_context(
            cafile=kafka.ssl_ca_file or None,
            certfile=kafka.ssl_certificate_file or None,
            keyfile=kafka.ssl_key_file or None,
            password=kafka.ssl_key_password,  # never None: OpenSSL would ask the terminal for it
        )
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"The TLS files can't be read: {error}. "
            "Check kafka.ssl_ca_file, kafka.ssl_certificate_file, kafka.ssl_key_file and the key's password."
        ) from error
    context.check_hostname = kafka.ssl_check_hostname
    return context


async def answers(consumer: AIOKafkaConsumer, wait_s: float) -> bool:
    """Whether Kafka answers a question that needs no right and no partition."""
    try:
        await asyncio.wait_for(consumer._client.fetch_all_metadata(), wait_s)
    except (errors.KafkaError, TimeoutError, ConnectionError):
        return False
    return True


def open_connections(client: Any) -> int:
    """How many connections a consumer or producer has open at this moment."""
    return sum(connection.connected() for connection in client._client._conns.values())


def _not_granted(error: BaseException) -> str:
    named = error.args[0] if error.args else ""
    names = ", ".join(sorted(named)) if isinstance(named, set | frozenset | list | tuple) else str(named)
    if isinstance(error, errors.TopicAuthorizationFailedError):
        return f"this user has no right to it (Read to read, Write to send) on the topic {names}"
    if isinstance(error, errors.GroupAuthorizationFailedError):
        return f"this user has no right to it (Read for members, Describe to look) on the group {names}"
    if isinstance(error, errors.TransactionalIdAuthorizationFailed):
        return f"this user has no right to it (Write) on the transactional id {names}"
    return f"this user has no right to it on the cluster ({type(error).__name__} {names})"


def explain(error: BaseException, doing: str, bootstrap: str) -> Known | None:
    """What a fault of a Kafka client means for people: an outage, a fencing, a missing right; None where it is none of
    these (our own fault)."""
    if isinstance(error, Known):
        return error
    if isinstance(error, FENCED):
        return FencedError(
            f"Fenced while {doing}: another worker has taken over this partition, nothing was committed here. "
            "Start this worker again; if it happens often, raise worker.session_timeout_ms."
        )
    if isinstance(error, REFUSED):
        return SettingsError(f"Kafka refuses {doing}: {_not_granted(error)}. Grant it, then start again.")
    detail = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, AWAY) or (isinstance(error, errors.KafkaError) and error.retriable):
        return OutageError(
            f"Kafka at {bootstrap} does not answer while {doing} ({detail}). "
            "Start the worker again once the broker is back."
        )
    if isinstance(error, errors.KafkaError):
        return RefusedError(
            f"Kafka at {bootstrap} can't do what is asked of it while {doing} ({detail}). Nothing of this batch was "
            "committed. Compare the topics with `stream-scorer topics check`, then start the worker again."
        )
    return None
