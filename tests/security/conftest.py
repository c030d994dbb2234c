"""One Kafka with locks for all tests of this folder, and a user for each role."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from stream_scorer.operations.local_broker import LocalBroker
from stream_scorer.runtime.cluster.acls import Role
from stream_scorer.runtime.settings.settings import Settings, load_settings
from tests.security.acl_grants import granting
from tests.security.brokers import with_passwords
from tests.security.certificates import Certificates

PLAIN_USERS = {"plain-user": "plain secret"}
SHA_256_USERS = {"sha-256-user": "sha-256 secret"}


@dataclass(frozen=True)
class Locked:
    """A broker that asks who comes, whom it knows, and the file that says whom to trust."""

    broker: LocalBroker
    certificates: Certificates

    @property
    def bootstrap(self) -> str:
        return self.broker.bootstrap

    @property
    def inner(self) -> str:
        """Where the tests' administrator comes in."""
        return self.broker.internal_bootstrap

    def settings_of(self, role: Role, prefix: str = "", **kafka: Any) -> Settings:
        """How the user of that role connects; `kafka`: what it does otherwise."""
        given = {
            "bootstrap": self.bootstrap,
            "security_protocol": "SASL_SSL",
            "ssl_ca_file": str(self.certificates.authority_file),
            "sasl_username": role,
            "sasl_password": password_of(role),
            **kafka,
        }
        overrides = {f"kafka.{name}": str(value) for name, value in given.items() if name != "ssl_check_hostname"}
        more = {"kafka.ssl_check_hostname": given["ssl_check_hostname"]} if "ssl_check_hostname" in given else {}
        return load_settings(None, {}, {"topics.prefix": prefix, **overrides, **more})


def password_of(role: Role) -> str:
    return f"the {role}'s secret"


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def locked(certificates: Certificates) -> Iterator[Locked]:
    """TLS, user names and passwords, access lists; nobody has a right yet."""
    with with_passwords(certificates, PLAIN_USERS) as broker:
        asyncio.run(_add_users(broker.internal_bootstrap))
        yield Locked(broker, certificates)


async def _add_users(inner_bootstrap: str) -> None:
    async with granting(inner_bootstrap) as administrator:
        for role in Role:
            await administrator.add_user(role, password_of(role))
        for user, password in SHA_256_USERS.items():
            await administrator.add_user(user, password, "SCRAM-SHA-256")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if {"locked", "mutual", "granted"}.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.kafka)
