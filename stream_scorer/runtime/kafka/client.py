"""What every Kafka client of ours has in common: how it connects, and whether the broker answers.

Invariant: no other module reads connection settings. Who reaches into aiokafka's internals says so: `batch_fetch.py`,
`fetch_sessions.py`, `lenient_record_parser.py`, `record_batches.py`, `protocol/client.py`, `fencing.py`,
`acl_check.py`, `newer_errors.py`.
"""

import asyncio
import ssl
from typing import Any

from aiokafka import AIOKafkaConsumer, errors
from aiokafka.helpers import create_ssl_context

from stream_scorer.errors import SettingsError, system_words
from stream_scorer.runtime.kafka.lenient_record_parser import Bound
from stream_scorer.runtime.kafka.newer_errors import teach_newer_errors
from stream_scorer.runtime.settings.settings import KafkaSettings

# What every client of ours calls itself; who else is in the workers' group is told apart by it
CLIENT_ID = "stream-scorer"


def client_options(kafka: KafkaSettings) -> dict[str, Any]:
    """Keyword arguments for aiokafka's consumer, producer and admin client; sets for all consumers of this process how
    far a batch may unfold, and makes errors known to the client that are newer than it. Raises `SettingsError` where a
    certificate can't be read."""
    teach_newer_errors()
    Bound.unfolded_bytes_max = kafka.unfolded_batch_bytes_max
    options: dict[str, Any] = {
        "bootstrap_servers": kafka.bootstrap,
        "security_protocol": kafka.security_protocol,
        "client_id": CLIENT_ID,
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
            f"The TLS files can't be read: {system_words(error)}. "
            "Check kafka.ssl_ca_file, kafka.ssl_certificate_file, kafka.ssl_key_file and the key's password."
        ) from error
    context.check_hostname = kafka.ssl_check_hostname
    return context


async def is_reachable(consumer: AIOKafkaConsumer, wait_s: float) -> bool:
    """Whether Kafka answers a question that needs no right and no partition."""
    try:
        await asyncio.wait_for(consumer._client.fetch_all_metadata(), wait_s)
    except (errors.KafkaError, TimeoutError, ConnectionError):
        return False
    return True


def open_connections(client: Any) -> int:
    """How many connections a consumer or producer has open at this moment."""
    return sum(connection.connected() for connection in client._client._conns.values())
