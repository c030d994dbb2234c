"""Who is let in at all: certificates on both sides, host names, user names and passwords."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stream_scorer.errors import OutageError, SettingsError
from stream_scorer.operations.harness.worker_process import WorkerProcess
from stream_scorer.operations.local_broker import LocalBroker
from stream_scorer.operations.reading.topic_reader import Reader
from stream_scorer.operations.sending.event_sender import EventSender
from stream_scorer.runtime.cluster.acls import Role
from stream_scorer.runtime.cluster.topic_admin import cluster_id
from stream_scorer.runtime.kafka.client import client_options
from stream_scorer.runtime.settings.settings import Settings, load_settings
from tests.security.brokers import with_certificates
from tests.security.certificates import KEY_PASSWORD, Certificates
from tests.security.conftest import Locked
from tests.support.workers import ended

WORKER = Role.WORKER


@pytest.mark.parametrize(
    "user",
    [
        {"sasl_mechanism": "SCRAM-SHA-512"},
        {"sasl_mechanism": "SCRAM-SHA-256", "sasl_username": "sha-256-user", "sasl_password": "sha-256 secret"},
        {"sasl_mechanism": "PLAIN", "sasl_username": "plain-user", "sasl_password": "plain secret"},
    ],
    ids=["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"],
)
async def test_a_user_with_the_right_password_is_let_in(locked: Locked, user: dict[str, str]) -> None:
    assert await cluster_id(locked.settings_of(WORKER, **user))


NO_USER = {"sasl_username": "", "sasl_password": ""}
REFUSED = {
    "wrong password": ({"sasl_password": "guessed"}, "does not know the user 'worker' with this password"),
    "unknown user": ({"sasl_username": "nobody"}, "does not know the user 'nobody'"),
    "another mechanism's user": ({"sasl_mechanism": "SCRAM-SHA-256"}, "each mechanism has users of its own"),
    "no user at all": ({"security_protocol": "SSL", **NO_USER}, "closes connections without a user"),
    "plain text": ({"security_protocol": "PLAINTEXT", "ssl_ca_file": "", **NO_USER}, "it speaks TLS, and"),
    "a user in plain text": ({"security_protocol": "SASL_PLAINTEXT", "ssl_ca_file": ""}, "it speaks TLS, and"),
    "broker that nobody we trust signs for": ({"ssl_ca_file": ""}, "its certificate is not trusted"),
}


@pytest.mark.parametrize(("kafka", "message"), REFUSED.values(), ids=REFUSED)
async def test_who_is_not_let_in_hears_why(locked: Locked, kafka: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        await cluster_id(locked.settings_of(WORKER, **kafka))


async def test_a_certificate_for_another_host_is_refused(locked: Locked) -> None:
    elsewhere = {"bootstrap": locked.bootstrap.replace("127.0.0.1", "localhost")}
    with pytest.raises(SettingsError, match=r"localhost:\d+ can't be used: its certificate is for another host"):
        await cluster_id(locked.settings_of(WORKER, **elsewhere))


async def test_host_names_go_unchecked_only_where_that_is_asked_for(locked: Locked) -> None:
    elsewhere = locked.bootstrap.replace("127.0.0.1", "localhost")
    assert await cluster_id(locked.settings_of(WORKER, bootstrap=elsewhere, ssl_check_hostname=False))


async def test_every_way_to_kafka_tells_why_it_is_not_let_in(locked: Locked) -> None:
    options = client_options(locked.settings_of(WORKER, sasl_password="guessed").kafka)
    with pytest.raises(SettingsError, match="does not know the user"):
        async with Reader(options):
            pass
    with pytest.raises(SettingsError, match="does not know the user"):
        async with EventSender(options):
            pass


async def test_a_broker_that_is_away_is_an_outage_and_no_fault_of_the_settings(locked: Locked) -> None:
    with pytest.raises(OutageError, match="does not answer"):
        await cluster_id(locked.settings_of(WORKER, bootstrap="127.0.0.1:1"))


async def test_a_worker_with_a_wrong_password_ends_and_says_so_without_it(locked: Locked, tmp_path: Path) -> None:
    environ = {
        "STREAM_SCORER_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "STREAM_SCORER_KAFKA_SSL_CA_FILE": str(locked.certificates.authority_file),
        "STREAM_SCORER_KAFKA_SASL_USERNAME": "worker",
        "STREAM_SCORER_KAFKA_SASL_PASSWORD": "guessed-and-wrong",
    }
    with WorkerProcess(locked.bootstrap, folder=tmp_path, environ=environ).start() as worker:
        assert await ended(worker) == 2
    log = worker.log_path.read_text()
    assert "does not know the user 'worker' with this password" in log
    assert "guessed-and-wrong" not in log


# Mutual TLS


@pytest.fixture(scope="module")
def mutual(certificates: Certificates) -> Iterator[LocalBroker]:
    with with_certificates(certificates, "127.0.0.1") as broker:
        yield broker


def with_certificate(broker: LocalBroker, certificates: Certificates, **kafka: Any) -> Settings:
    given = {
        "bootstrap": broker.bootstrap,
        "security_protocol": "SSL",
        "ssl_ca_file": certificates.authority_file,
        **kafka,
    }
    return load_settings(None, {}, {f"kafka.{name}": str(value) for name, value in given.items()})


@pytest.mark.parametrize("password", ["", KEY_PASSWORD], ids=["plain key", "encrypted key"])
async def test_our_certificate_lets_us_in(mutual: LocalBroker, certificates: Certificates, password: str) -> None:
    certificate, key = certificates.of_user("worker", password)
    ours = {"ssl_certificate_file": certificate, "ssl_key_file": key, "ssl_key_password": password}
    assert await cluster_id(with_certificate(mutual, certificates, **ours))


async def test_without_a_certificate_of_ours_nobody_comes_in(mutual: LocalBroker, certificates: Certificates) -> None:
    with pytest.raises(SettingsError, match=r"CERTIFICATE_REQUIRED.*kafka.ssl_certificate_file"):
        await cluster_id(with_certificate(mutual, certificates))


async def test_a_certificate_that_somebody_else_signed_is_refused(
    mutual: LocalBroker, certificates: Certificates, tmp_path: Path
) -> None:
    certificate, key = Certificates(tmp_path).of_user("worker")
    theirs = {"ssl_certificate_file": certificate, "ssl_key_file": key}
    with pytest.raises(SettingsError, match="the TLS handshake failed"):
        await cluster_id(with_certificate(mutual, certificates, **theirs))


@pytest.mark.parametrize("password", ["", "guessed"], ids=["missing", "wrong"])
def test_an_encrypted_key_without_its_password_is_a_clear_error(certificates: Certificates, password: str) -> None:
    certificate, key = certificates.of_user("worker", KEY_PASSWORD)
    given = {
        "kafka.security_protocol": "SSL",
        "kafka.ssl_certificate_file": str(certificate),
        "kafka.ssl_key_file": str(key),
        "kafka.ssl_key_password": password,
    }
    with pytest.raises(SettingsError, match="the key's password"):
        client_options(load_settings(None, {}, given).kafka)


def test_host_names_are_checked_unless_told_otherwise(certificates: Certificates) -> None:
    given = {"kafka.security_protocol": "SSL", "kafka.ssl_ca_file": str(certificates.authority_file)}
    context = client_options(load_settings(None, {}, given).kafka)["ssl_context"]
    assert context.check_hostname
    assert context.verify_mode.name == "CERT_REQUIRED"
