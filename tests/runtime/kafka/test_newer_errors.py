"""Codes that the client does not know: each has a name, and whether asking again helps."""

import pytest
from aiokafka import errors

from stream_scorer.runtime.kafka.client import client_options
from stream_scorer.runtime.kafka.errors import FENCED, to_user_error, what_happened
from stream_scorer.runtime.kafka.newer_errors import TransactionAbortableError
from stream_scorer.runtime.kafka.protocol.error_codes import RETRIABLE, ErrorCode
from stream_scorer.runtime.settings.settings import KafkaSettings

# What brokers and controllers say to one another, and to tools that move partitions
NEVER_ANSWERED = {77, 84, 85, *range(94, 100), 101, 102}


@pytest.fixture(autouse=True)
def taught() -> None:
    client_options(KafkaSettings())


@pytest.mark.parametrize("code", [code for code in range(73, 107) if code not in NEVER_ANSWERED])
def test_every_code_has_a_name_of_its_own(code: int) -> None:
    error = errors.for_code(code)()
    assert not isinstance(error, errors.UnknownError)
    assert "UNKNOWN" not in what_happened(error) or errors.for_code(code).__name__.startswith("Unknown")


@pytest.mark.parametrize("code", [code for code in ErrorCode if code > 72])
def test_what_our_own_requests_ask_again_the_client_asks_again_too(code: ErrorCode) -> None:
    assert errors.for_code(code).retriable == (code in RETRIABLE)


def test_who_is_fenced_is_told_so_whatever_code_says_it() -> None:
    assert issubclass(errors.for_code(ErrorCode.PRODUCER_FENCED), FENCED)
    assert errors.for_code(ErrorCode.TRANSACTION_ABORTABLE) is TransactionAbortableError


def test_the_name_reaches_people() -> None:
    assert "INVALID_RECORD" in str(to_user_error(errors.for_code(87)(), "sending", "here:9092"))
