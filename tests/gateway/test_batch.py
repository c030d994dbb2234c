"""Batches on a real Kafka with a real worker: answered in order, streamed both ways, bounded."""

import http.client
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from stream_scorer.client.asking_together import TOGETHER_BYTES_MAX
from stream_scorer.runtime.cluster.topic_admin import admin_client
from tests.gateway.calls import JSON, GatewayProcess, a_gateway
from tests.support.builders import an_event, an_observation
from tests.support.workers import Environment

NDJSON = {"Content-Type": "application/x-ndjson"}
LINE_BYTES_MAX = 65_536


@pytest.fixture
async def gateway(environment: Environment, tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    await environment.start()
    with a_gateway(
        environment.bootstrap, environment.settings.topics.prefix, tmp_path, gateway__timeout_s=40
    ) as running:
        yield running


def events(count: int) -> list[dict[str, Any]]:
    """Every seventh one is broken."""
    ages = [5 if number % 7 == 3 else 20 for number in range(count)]
    return [{"id": f"b-{number}", "observation": an_observation(SubjectAge=age)} for number, age in enumerate(ages)]


def in_order(answers: list[Any], count: int) -> None:
    assert [answer["status"] for answer in answers] == [422 if number % 7 == 3 else 200 for number in range(count)]
    for number, answer in enumerate(answers):
        if answer["status"] == 200:
            assert answer["id"] == f"b-{number}"
        else:
            assert answer["errors"][0]["code"] == "out_of_range"


async def test_an_array_and_lines_are_answered_alike_and_in_order(
    gateway: GatewayProcess, environment: Environment
) -> None:
    sent = events(1_500)
    array = gateway.call("/predict/batch", json.dumps(sent).encode())
    in_order(array.json, 1_500)
    lines = gateway.call("/predict/batch", b"\n".join(json.dumps(event).encode() for event in sent[:300]), NDJSON)
    in_order([json.loads(line) for line in lines.body.splitlines()], 300)
    predicted = sum(number % 7 != 3 for number in range(1_500))
    again = sum(number % 7 != 3 for number in range(300))
    await environment.account(prediction=predicted, redelivery=again)


def test_lines_are_answered_while_the_body_is_still_sent(gateway: GatewayProcess) -> None:
    connection = http.client.HTTPConnection(gateway.http_address or "", timeout=60)
    connection.putrequest("POST", "/predict/batch")
    connection.putheader("Content-Type", "application/x-ndjson")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()

    def send(content: bytes) -> None:
        connection.send(b"%x\r\n%b\r\n" % (len(content), content))

    send(an_event("line 1") + b"\n" + an_event("line 2")[:20])
    response = connection.getresponse()
    assert response.status == 200
    assert json.loads(response.readline())["id"] == "line 1"
    send(an_event("line 2")[20:] + b"\r\n\n" + b"nonsense\n")
    assert json.loads(response.readline())["id"] == "line 2"
    assert json.loads(response.readline())["status"] == 422
    send(an_event("without a line end"))
    connection.send(b"0\r\n\r\n")
    assert [json.loads(line)["id"] for line in response.read().splitlines()] == ["without a line end"]
    connection.close()


def test_a_client_that_reads_only_once_all_is_sent_gets_every_answer(gateway: GatewayProcess) -> None:
    sent = b"".join(json.dumps(event).encode() + b"\n" for event in events(10_000))
    answered = gateway.call("/predict/batch", sent, NDJSON)
    in_order([json.loads(line) for line in answered.body.splitlines()], 10_000)


def test_what_is_too_much_is_told_in_its_place(gateway: GatewayProcess) -> None:
    long = b'"' + b"a" * LINE_BYTES_MAX + b'"'
    answered = gateway.call("/predict/batch", long + b"\n" + an_event("behind"), NDJSON)
    assert [json.loads(line)["status"] for line in answered.body.splitlines()] == [413, 200]
    many = gateway.call("/predict/batch", b"{}\n" * 10_002, NDJSON)
    statuses = [json.loads(line)["status"] for line in many.body.splitlines()]
    assert (statuses[:10_000].count(422), statuses[10_000:]) == (10_000, [413])
    assert gateway.call("/predict/batch", b"[" + b"1," * 10_000 + b"1]").status == 413


async def test_events_that_do_not_fit_a_record_batch_are_sent_alone(
    gateway: GatewayProcess, environment: Environment
) -> None:
    large = an_event("large")[:-1] + b" " * (TOGETHER_BYTES_MAX + 1) + b"}"
    answered = gateway.call("/predict/batch", b"[" + b",".join([an_event("a"), large, an_event("b")]) + b"]")
    assert [(one["status"], one["id"]) for one in answered.json] == [(200, "a"), (200, "large"), (200, "b")]

    # from now on Kafka takes one event at a time, and no large one
    topic = ConfigResource(ConfigResourceType.TOPIC, environment.names.observations, {"max.message.bytes": "1000"})
    async with admin_client(environment.settings) as admin:
        await admin.alter_configs([topic])
    other = large.replace(b"large", b"other")
    sent = [an_event(f"c-{number}") for number in range(200)]
    answered = gateway.call("/predict/batch", b"[" + b",".join([*sent[:100], other, *sent[100:]]) + b"]")
    said = answered.json
    assert said.pop(100)["errors"][0]["code"] == "too_large"
    assert [(one["status"], one["id"]) for one in said] == [(200, f"c-{number}") for number in range(200)]
    await environment.account(prediction=203)


def test_what_is_no_array_is_no_request(gateway: GatewayProcess) -> None:
    lone = b'[{"id":"\\ud800"}]'
    for body in (b"{}", b"[", b"[1,]", b"[" * 10_000, b"\xff", lone, b""):
        assert gateway.call("/predict/batch", body, JSON).status == 400, body[:20]


def test_broken_events_in_an_array_are_answered_each(gateway: GatewayProcess) -> None:
    broken = [b"null", b"[]", b'"x"', b'{"id":' + b"9" * 5_000 + b"}", an_event("well")]
    answers = gateway.call("/predict/batch", b"[" + b",".join(broken) + b"]").json
    assert [answer["status"] for answer in answers] == [422, 422, 422, 422, 200]
    assert gateway.call("/predict/batch", b"[]").json == []
