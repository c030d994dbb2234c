"""What a client's faults mean to people, and how it connects."""

import logging
import ssl

import pytest
from aiokafka import errors

from stream_scorer.errors import (
    FencedError,
    LimitError,
    OutageError,
    RefusedError,
    SettingsError,
    TopicsError,
    UserError,
)
from stream_scorer.runtime.kafka.client import client_options
from stream_scorer.runtime.kafka.descriptors import DescriptorWatch
from stream_scorer.runtime.kafka.errors import to_user_error, what_happened
from stream_scorer.runtime.settings.settings import KafkaSettings

MEANINGS: dict[str, tuple[BaseException, type[UserError]]] = {
    "fenced": (errors.ProducerFenced(), FencedError),
    "an epoch that was overtaken": (errors.InvalidProducerEpoch(), FencedError),
    "a commit after a rebalance": (errors.CommitFailedError(), FencedError),
    "no connection": (errors.KafkaConnectionError("no route"), OutageError),
    "no answer in time": (errors.RequestTimedOutError(), OutageError),
    "a coordinator that moves": (errors.NotCoordinatorForGroupError(), OutageError),
    "a partition without a leader": (errors.LeaderNotAvailableError(), OutageError),
    "our own patience": (TimeoutError(), OutageError),
    "a connection that broke": (ConnectionResetError(), OutageError),
    "a right that is missing": (errors.TopicAuthorizationFailedError({"stops.predictions"}), SettingsError),
    "a record that is too large": (errors.MessageSizeTooLargeError(), RefusedError),
    "what was explained before": (TopicsError("as it was"), TopicsError),
}


@pytest.mark.parametrize(("error", "known"), MEANINGS.values(), ids=MEANINGS)
def test_a_fault_is_told_in_words(error: BaseException, known: type[UserError]) -> None:
    explained = to_user_error(error, "scoring", "broker:9092")
    assert type(explained) is known
    assert str(explained)


@pytest.mark.parametrize("error", [KeyError("a"), AssertionError(), ZeroDivisionError()], ids=repr)
def test_a_fault_of_our_own_is_no_excuse(error: BaseException) -> None:
    assert to_user_error(error, "scoring", "broker:9092") is None


def test_plain_text_needs_no_secrets() -> None:
    options = client_options(KafkaSettings(bootstrap="broker:9092"))
    assert options["bootstrap_servers"] == "broker:9092"
    assert not {"ssl_context", "sasl_plain_password"} & options.keys()


def test_tls_checks_the_brokers_name_unless_told_otherwise() -> None:
    context = client_options(KafkaSettings(security_protocol="SSL"))["ssl_context"]
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    lenient = client_options(KafkaSettings(security_protocol="SSL", ssl_check_hostname=False))["ssl_context"]
    assert not lenient.check_hostname
    assert lenient.verify_mode is ssl.CERT_REQUIRED


def test_a_certificate_that_is_not_there_is_a_setting_that_can_not_be_used() -> None:
    with pytest.raises(SettingsError, match="ssl_ca_file"):
        client_options(KafkaSettings(security_protocol="SSL", ssl_ca_file="/nowhere/ca.pem"))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (errors.KafkaConnectionError("Connection at h:1 closed"), "there is no connection, or it was lost"),
        (errors.NodeNotReadyError("Attempt to send a request to node"), "there is no connection, or it was lost"),
        (TimeoutError(), "no answer in time"),
        (errors.NotEnoughReplicasError(), "it answered NOT_ENOUGH_REPLICAS"),
        (ConnectionRefusedError(111, "Connection refused"), "connection refused"),
    ],
    ids=["closed", "not ready", "time-out", "Kafka's answer", "the system"],
)
def test_faults_are_told_without_the_client_s_inner_parts(error: Exception, said: str) -> None:
    assert what_happened(error) == said
    known = to_user_error(error, "scoring", "h:1")
    if known is not None:
        assert f"({said})" in str(known)


@pytest.mark.parametrize(
    "error",
    [OSError(24, "Too many open files"), Exception("IO error: While open a file: /x: Too many open files")],
    ids=["the system's", "RocksDB's"],
)
def test_descriptors_that_ran_out_are_told_as_such(error: Exception) -> None:
    wrapped = errors.KafkaConnectionError("Unable to bootstrap")
    wrapped.__cause__ = error
    assert isinstance(to_user_error(wrapped, "scoring", "h:1"), LimitError)


def test_a_client_that_logs_why_and_raises_without_a_cause_is_understood() -> None:
    watch = DescriptorWatch()
    assert not watch.seen_lately()
    record = logging.LogRecord(
        "aiokafka", logging.ERROR, __file__, 1, 'Unable connect to "%s": %s', ("h", OSError(24, "Too many")), None
    )
    assert watch.filter(record)
    assert watch.seen_lately()
