"""Our tables write and read the very bytes of Kafka's own classes."""

import importlib.util
import json
import re
import subprocess
import sys
from io import BytesIO
from typing import Any, Final

import pytest

from stream_scorer.runtime.kafka.protocol import messages
from stream_scorer.runtime.kafka.protocol.messages import FINALIZED_FEATURES_TAG, finalized_features
from tests.runtime.kafka.protocol.reference_messages import CASES, PATH, RECORDS

REFERENCE: Final[dict[str, str]] = json.loads(PATH.read_text())
COMMITTED: Final[tuple[Any, ...]] = ("id", "group", 5, 6, 7, "member", None, [("topic", [(3, 12, -1, "", {})], {})], {})
# The same content as in `reference_messages.py`
REQUESTS: Final[dict[str, tuple[Any, ...]]] = {
    "ProduceRequestV12": ("id", -1, 1500, [("topic", [(3, RECORDS, {})], {})], {}),
    "OffsetFetchRequestV7": ("group", [("topic", [0, 5], {})], True, {}),
    "ApiVersionsRequestV3": ("stream-scorer", "1", {}),
    "EndTxnRequestV5": ("id", 4_000_000_000, 32_766, True, {}),
    "TxnOffsetCommitRequestV3": COMMITTED,
    "TxnOffsetCommitRequestV5": COMMITTED,
    "DescribeProducersRequestV0": ([("topic", [3], {})], {}),
    "DescribeTransactionsRequestV0": (["id"], {}),
}
ANSWERS: Final[dict[str, dict[str, Any]]] = {
    "ProduceResponseV12": {
        "topics": [("topic", [(3, 6, 7, -1, 2, [(1, "bad", {})], "no", {})], {})],
        "throttle_time_ms": 9,
    },
    "OffsetFetchResponseV7": {
        "throttle_time_ms": 9,
        "topics": [("topic", [(5, 11, -1, "", 88, {})], {})],
        "error_code": 15,
    },
    "ApiVersionsResponseV3": {"error_code": 0, "api_keys": [(26, 0, 5, {})], "throttle_time_ms": 9},
    "EndTxnResponseV5": {"throttle_time_ms": 9, "error_code": 51, "producer_id": 4_000_000_001, "producer_epoch": 0},
    "TxnOffsetCommitResponseV3": {"throttle_time_ms": 9, "topics": [("topic", [(3, 22, {})], {})]},
    "TxnOffsetCommitResponseV5": {"throttle_time_ms": 9, "topics": [("topic", [(3, 22, {})], {})]},
    "DescribeProducersResponseV0": {
        "throttle_time_ms": 9,
        "topics": [("topic", [(3, 0, None, [(5, 6, 7, 8, 9, 10, {})], {})], {})],
    },
    "DescribeTransactionsResponseV0": {
        "throttle_time_ms": 9,
        "transactions": [(0, "id", "CompleteCommit", 20_000, 8, 5, 6, [("topic", [3], {})], {})],
    },
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_is_written_as_kafka_writes_it(name: str) -> None:
    request = getattr(messages, name)(*REQUESTS[name])
    assert request.encode().hex() == REFERENCE[name]
    _, version = CASES[name]
    assert version == request.API_VERSION


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_of_kafka_s_is_read_whole(name: str) -> None:
    packed = BytesIO(bytes.fromhex(REFERENCE[name]))
    answer = getattr(messages, name).decode(packed)
    assert {field: getattr(answer, field) for field in ANSWERS[name]} == ANSWERS[name]
    assert packed.read() == b""


def by_table(message: Any) -> bytes:
    """What the table says, whoever packs it."""
    fields = [getattr(message, name) for name in message.SCHEMA.names]
    packed: bytes = message.SCHEMA.encode(fields)
    return packed


@pytest.mark.parametrize("partitions", [1, 126, 127, 300])
@pytest.mark.parametrize("name", ["ProduceRequestV12", "TxnOffsetCommitRequestV5"])
def test_what_is_packed_by_hand_is_what_the_table_says(name: str, partitions: int) -> None:
    values: tuple[Any, ...] = (RECORDS * 20_000, {}) if name == "ProduceRequestV12" else (2**40, -1, "", {})
    topics: list[Any] = [(topic, [(number, *values) for number in range(partitions)], {}) for topic in ("a", "x" * 200)]
    *head, _, tags = REQUESTS[name]
    request = getattr(messages, name)(*head, topics, tags)
    assert request.encode() == by_table(request)


@pytest.mark.parametrize("partitions", [1, 126, 127, 300])
def test_answers_without_anything_unusual_are_read_as_the_table_says(partitions: int) -> None:
    produced: list[Any] = [("topic", [(number, 0, 2**40, -1, 5, [], None, {}) for number in range(partitions)], {})]
    answer = messages.ProduceResponseV12(produced, 9, {})
    assert messages.ProduceResponseV12.decode(by_table(answer)) == answer
    taken: list[Any] = [("topic", [(number, 22, {}) for number in range(partitions)], {})]
    committed = messages.TxnOffsetCommitResponseV5(9, taken, {})
    assert messages.TxnOffsetCommitResponseV5.decode(by_table(committed)) == committed


def test_an_unusual_partition_among_usual_ones_is_read_too() -> None:
    usual: tuple[Any, ...] = (0, 0, 7, -1, 5, [], None, {})
    unusual: tuple[Any, ...] = (1, 6, -1, -1, 5, [(1, "bad", {})], "no", {})
    answer = messages.ProduceResponseV12([("topic", [usual, unusual, usual], {})], 9, {})
    assert messages.ProduceResponseV12.decode(by_table(answer)) == answer


def test_every_message_of_ours_has_its_reference() -> None:
    ours = {name for name in vars(messages) if re.fullmatch(r"[A-Z]\w+V\d+", name)}
    assert ours == set(REFERENCE) == set(REQUESTS) | set(ANSWERS)


def test_features_are_those_that_were_finalized_not_those_supported() -> None:
    answer = messages.ApiVersionsResponseV3.decode(BytesIO(bytes.fromhex(REFERENCE["ApiVersionsResponseV3"])))
    assert finalized_features(answer) == {"transaction.version": 1}
    assert FINALIZED_FEATURES_TAG in answer.tags


def test_a_broker_that_says_nothing_of_features_has_none() -> None:
    answer = messages.ApiVersionsResponseV3(0, [], 0, {})
    assert finalized_features(answer) == {}


@pytest.mark.skipif(importlib.util.find_spec("jpype") is None, reason="needs jpype1, which runs Java in this process")
def test_the_references_are_what_java_writes_now() -> None:
    script = "import json; from tests.runtime.kafka.protocol.reference_messages import reference_messages as made; "
    told = subprocess.run(
        [sys.executable, "-c", script + "print(json.dumps(made()))"], capture_output=True, text=True, check=True
    )
    assert json.loads(told.stdout.splitlines()[-1]) == REFERENCE
