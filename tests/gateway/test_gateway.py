"""The gateway on a real Kafka with a real worker: what its clients of old send, and what they get."""

import asyncio
import json
import re
import secrets
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stream_scorer.client import check
from stream_scorer.operations.harness.worker_process import WorkerProcess
from stream_scorer.runtime.cluster.topic_admin import apply
from stream_scorer.runtime.settings.settings import load_settings
from tests.contracts.markdown_pages import blocks, shell_lines
from tests.gateway.calls import JSON, GatewayProcess, a_gateway
from tests.integration.broker_sources import Broker
from tests.support.builders import an_event, an_observation, an_outcome
from tests.support.programs import program
from tests.support.workers import ROOT

PAGE = "docs/gateway.md"
PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def gateway(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """One worker and one gateway for all tests here: each asks under ids of its own."""
    prefix, folder = f"t-{secrets.token_hex(4)}.", tmp_path_factory.mktemp("gateway")
    asyncio.run(apply(load_settings(None, {}, {"kafka.bootstrap": broker.bootstrap, "topics.prefix": prefix})))
    environ = {"PYTHONPATH": str(ROOT), "STREAM_SCORER_WORKER_STATE_FOLDER": str(folder / "state")}
    with (
        WorkerProcess(broker.bootstrap, prefix=prefix, folder=folder, environ=environ) as worker,
        a_gateway(broker.bootstrap, prefix, folder, gateway__timeout_s=40) as running,
    ):
        worker.wait_ready()
        yield running


# What clients of old send


def test_the_curl_line_of_old_gets_a_prediction(gateway: GatewayProcess) -> None:
    url = f"http://{gateway.http_address}/predict"
    line = ["curl", "-s", "-X", "POST", url, "-d", an_event("curl").decode(), "-H", "Content-Type:application/json"]
    said = json.loads(subprocess.run(line, capture_output=True, check=True, timeout=60).stdout)
    assert said["id"] == "curl"
    assert said["prediction"] is (said["proba"] >= said["threshold"])
    assert said.keys() >= {"model", "role", "observation_code", "source", "scored_at"}


def test_the_requests_snippet_of_old_gets_a_prediction(gateway: GatewayProcess) -> None:
    # `requests.post(url, data=json.dumps(observation), headers={"Content-Type": "application/json"})` sends these
    sent = {**JSON, "User-Agent": "python-requests/2.32.3", "Accept-Encoding": "gzip, deflate", "Accept": "*/*"}
    answered = gateway.call("/predict", json.dumps({"id": 17, "observation": an_observation()}).encode(), sent)
    assert (answered.status, answered.json["id"]) == (200, "17")
    assert answered.headers["Content-Type"].startswith("application/json")


def test_the_requests_snippet_itself_gets_a_prediction(gateway: GatewayProcess) -> None:
    observation = {"id": "requests", "observation": an_observation()}
    lines = [
        "import json, requests",
        f"url, observation = 'http://{gateway.http_address}/predict', {observation!r}",
        'said = requests.post(url, data=json.dumps(observation), headers={"Content-Type": "application/json"})',
        "print(json.dumps([said.status_code, said.json()['id'], said.json()['prediction']]))",
    ]
    ran = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, check=True, timeout=60)
    assert json.loads(ran.stdout)[:2] == [200, "requests"]


def test_a_charset_parameter_of_utf_8_is_taken(gateway: GatewayProcess) -> None:
    sent = {"Content-Type": "application/json; charset=UTF-8"}
    assert gateway.call("/predict", an_event("charset"), sent).status == 200


TRAPS: dict[str, Any] = {
    "another name": {"id": "trap", "my_observation": an_observation()},
    "two columns": {"id": "trap", "observation": {"SubjectAge": 20, "hour": 3}},
    "nonsense": {"id": "trap", "observation": an_observation(SubjectRaceCode="t", StatuteReason="x", day_of_week="")},
    "an age in words": {"id": "trap", "observation": an_observation(SubjectAge="twenty")},
    "an age of zero": {"id": "trap", "observation": an_observation(SubjectAge=0)},
    "no id": {"observation": an_observation()},
    "a text": {"id": "trap", "observation": "none"},
    "an unknown column": {"id": "trap", "observation": an_observation(SomeRandomColumn=1)},
}


@pytest.mark.parametrize("event", TRAPS.values(), ids=TRAPS.keys())
def test_a_broken_event_gets_every_reason_at_once(gateway: GatewayProcess, event: object) -> None:
    body = json.dumps(event).encode()
    answered = gateway.call("/predict", body)
    reasons = check(body)
    assert answered.status == 422
    assert answered.headers["Content-Type"].startswith(PROBLEM)
    assert answered.json["error"] == reasons[0].message
    assert [(one["code"], one["field"], one["message"]) for one in answered.json["errors"]] == [
        (reason.code, reason.field, reason.message) for reason in reasons
    ]


HOSTILE = {
    "NaN": an_event("x").replace(b"20", b"NaN"),
    "deep": b'{"id":"x","observation":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "deep and open": b"[" * 10_000,
    "a lone surrogate": an_event("x").replace(b'"x"', rb'"\ud800"'),
    "a huge integer": an_event("x").replace(b"20", b"9" * 5_000),
    "a BOM": b"\xef\xbb\xbf" + an_event("x"),
    "not UTF-8": b"\xff\xfe{}",
    "a list": b"[]",
    "null": b"null",
    "cut off": an_event("x")[:-3],
    "trailing bytes": an_event("x") + b"{}",
    "a zero byte": b"\x00",
}


@pytest.mark.parametrize("path", ["/predict", "/update"])
@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_json_gets_a_reason(gateway: GatewayProcess, path: str, body: bytes) -> None:
    answered = gateway.call(path, body)
    assert answered.status == 422
    assert answered.json["error"] == answered.json["errors"][0]["message"]


def test_of_a_key_that_stands_twice_the_last_one_counts(gateway: GatewayProcess) -> None:
    body = an_event("first").replace(b'{"id": "first"', b'{"id": "first", "id": "twice"')
    assert gateway.call("/predict", body).json["id"] == "twice"


# The id is what makes a request safe to repeat


def test_an_identical_repeat_gets_the_earlier_prediction(gateway: GatewayProcess) -> None:
    first, again = gateway.call("/predict", an_event("again")), gateway.call("/predict", an_event("again"))
    assert (first.status, again.status) == (200, 200)
    assert again.json == first.json


def test_another_observation_under_the_same_id_is_a_conflict(gateway: GatewayProcess) -> None:
    gateway.call("/predict", an_event("conflict"))
    answered = gateway.call("/predict", an_event("conflict", SubjectAge=40, hour=3))
    assert answered.status == 409
    assert answered.json["error"] == "Observation ID: 'conflict' already exists"
    assert answered.json["errors"][0]["details"]["columns"] == ["SubjectAge", "hour"]


# Outcomes


def test_an_outcome_is_answered_with_what_is_known_of_the_stop(gateway: GatewayProcess) -> None:
    predicted = gateway.call("/predict", an_event("joined")).json
    answered = gateway.call("/update", an_outcome("joined", 1))
    assert answered.status == 200
    assert answered.json == {
        "id": "joined",
        "true_class": True,
        "prediction": predicted["prediction"],
        "proba": predicted["proba"],
        "correct": predicted["prediction"] is True,
        "revision": 1,
    }


def test_a_repeated_outcome_is_answered_with_the_update_that_there_was(gateway: GatewayProcess) -> None:
    gateway.call("/predict", an_event("outcome twice"))
    first = gateway.call("/update", an_outcome("outcome twice", True))
    assert gateway.call("/update", an_outcome("outcome twice", True)).json == first.json


def test_a_correction_is_the_next_revision(gateway: GatewayProcess) -> None:
    gateway.call("/predict", an_event("corrected"))
    gateway.call("/update", an_outcome("corrected", True))
    corrected = gateway.call("/update", an_outcome("corrected", 0)).json
    assert (corrected["revision"], corrected["true_class"]) == (2, False)


def test_an_outcome_before_its_observation_waits(gateway: GatewayProcess) -> None:
    for _ in range(2):
        answered = gateway.call("/update", an_outcome("early", True))
        assert (answered.status, answered.json) == (202, {"id": "early", "status": "awaiting_prediction"})
    gateway.call("/predict", an_event("early"))
    assert gateway.call("/update", an_outcome("early", True)).json["revision"] == 1


def test_a_broken_outcome_gets_its_reasons(gateway: GatewayProcess) -> None:
    answered = gateway.call("/update", b'{"true_class": "x"}')
    assert answered.status == 422
    assert [one["code"] for one in answered.json["errors"]] == ["missing_id", "invalid_true_class"]


# What is no request


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", JSON, 400),
        (an_event("x"), {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        (an_event("x"), {"Content-Type": "application/json; charset=latin-1"}, 415),
        (an_event("x"), {**JSON, "Content-Encoding": "gzip"}, 415),
        (b'"' + b"a" * 70_000 + b'"', JSON, 413),
    ],
    ids=["no body", "a form", "another charset", "compressed", "too large"],
)
def test_what_is_no_request_is_told_so(
    gateway: GatewayProcess, body: bytes, headers: dict[str, str], status: int
) -> None:
    answered = gateway.call("/predict", body, headers)
    assert (answered.status, answered.json["status"]) == (status, status)
    assert answered.headers["Content-Type"].startswith(PROBLEM)


def test_another_method_is_told_which_there_is(gateway: GatewayProcess) -> None:
    answered = gateway.call("/predict")
    assert (answered.status, answered.headers["Allow"]) == (405, "OPTIONS, POST")
    assert gateway.call("/nowhere").status == 404


# What goes around a request


def test_a_request_id_is_echoed_and_nothing_of_a_payload_is_logged(gateway: GatewayProcess) -> None:
    given = gateway.call("/predict", an_event("private-stop"), {**JSON, "X-Request-ID": "req-1"})
    made = gateway.call("/predict", an_event("private-stop"), {**JSON, "X-Request-ID": "a b\u00e9"})
    assert given.headers["X-Request-ID"] == "req-1"
    assert len(made.headers["X-Request-ID"]) == 32
    assert "req-1" in gateway.log()
    assert "private-stop" not in gateway.log()


def test_requests_are_counted_by_route_and_class(gateway: GatewayProcess) -> None:
    gateway.call("/predict", b"{")
    lines = gateway.call("/metrics").body.decode().splitlines()
    counted = 'stream_scorer_gateway_requests_total{route="predict",status="4xx"} '
    (refused,) = [line for line in lines if line.startswith(counted)]
    assert float(refused.split()[-1]) >= 1
    assert "stream_scorer_gateway_kafka_up 1.0" in lines
    assert gateway.http_status("/livez") == 200


def test_a_broken_event_is_not_published_by_default(gateway: GatewayProcess, tmp_path: Path) -> None:
    assert gateway.call("/predict", an_event("broken", hour=99)).status == 422
    # had it been published, the id would still be free, so what tells is the place of the next one
    first = gateway.call("/predict", an_event("place")).json["source"]
    gateway.call("/predict", an_event("place", hour=99))
    again = gateway.call("/predict", an_event("place", hour=1)).json
    assert again["errors"][0]["details"]["first_offset"] == first["offset"]


# What the page about it shows


def test_the_samples_of_the_page_are_answered(gateway: GatewayProcess) -> None:
    lines = [shlex.split(piece.text) for piece in shell_lines() if piece.page == PAGE and piece.text.startswith("curl")]
    said = []
    for line in lines:
        words = [word.replace("127.0.0.1:8090", gateway.http_address or "") for word in [*line, "-s"]]
        said.append(json.loads(subprocess.run(words, capture_output=True, check=True, timeout=60).stdout))
    predicted, updated, known = said
    assert known["outcome"]["true_class"] is updated["true_class"]
    assert known["prediction"].keys() <= set(re.findall(r"`([a-z_]+)`", (ROOT / PAGE).read_text()))
    assert predicted["id"] == updated["id"] == "stop-1"
    assert updated["proba"] == predicted["proba"]
    assert updated.keys() == {"id", "true_class", "prediction", "proba", "correct", "revision"}
    assert predicted.keys() <= set(re.findall(r"`([a-z_]+)`", (ROOT / PAGE).read_text()))
    (sample,) = [block for block in blocks("python") if block.page == PAGE]
    defined: dict[str, Any] = {}
    exec(sample.text, defined)
    again = defined["predict"](f"http://{gateway.http_address}", {"id": "page", "observation": an_observation()})
    assert again["id"] == "page"


def test_the_sample_in_javascript_is_answered(gateway: GatewayProcess) -> None:
    (sample,) = [block for block in blocks("js") if block.page == PAGE]
    event = json.dumps({"id": "node", "observation": an_observation()})
    called = f"predict('http://{gateway.http_address}', {event}).then((said) => console.log(JSON.stringify(said)))"
    line = [program("node", "nodejs"), "-e", f"{sample.text}\n{called}"]
    said = json.loads(subprocess.run(line, capture_output=True, check=True, timeout=60).stdout)
    assert (said["status"], said["id"]) == (200, "node")


def test_the_page_describes_itself_and_is_shown(gateway: GatewayProcess) -> None:
    assert gateway.call("/openapi.json").json["openapi"] == "3.1.0"
    shown = gateway.call("/docs")
    assert shown.status == 200
    assert shown.headers["Content-Security-Policy"].startswith("default-src 'none'")
