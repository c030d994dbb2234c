"""Brokers with locks: what their clients' listener asks for. The inner one lets the tests in, as an administrator."""

from collections.abc import Mapping
from typing import Final

from stream_scorer.operations.local_broker import LocalBroker
from tests.security.certificates import Certificates

_MODULES: Final = "org.apache.kafka.common.security"
_AUTHORIZER: Final = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS",  # who comes through the inner listener
}


def with_passwords(certificates: Certificates, plain_users: Mapping[str, str]) -> LocalBroker:
    """TLS, then a user name and a password, by any of the three mechanisms; PLAIN's users stand in its settings."""
    plain = "".join(f' user_{user}="{password}"' for user, password in plain_users.items())
    return LocalBroker(
        security="SASL_SSL",
        properties={
            **_AUTHORIZER,
            **certificates.broker_properties("127.0.0.1"),
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
            "listener.name.client.plain.sasl.jaas.config": f"{_MODULES}.plain.PlainLoginModule required{plain};",
            "listener.name.client.scram-sha-256.sasl.jaas.config": f"{_MODULES}.scram.ScramLoginModule required;",
            "listener.name.client.scram-sha-512.sasl.jaas.config": f"{_MODULES}.scram.ScramLoginModule required;",
        },
    )


def with_certificates(certificates: Certificates, *hosts: str) -> LocalBroker:
    """Mutual TLS: a user is who its certificate says. The broker's own is for these hosts."""
    return LocalBroker(
        security="SSL",
        properties={
            **_AUTHORIZER,
            **certificates.broker_properties(*hosts),
            "ssl.client.auth": "required",
            "ssl.principal.mapping.rules": r"RULE:^.*CN=([^,]+).*$/$1/",
        },
    )
