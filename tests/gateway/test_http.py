"""HTTP by the book: methods, what a client accepts, browsers and their origins. No worker is needed."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stream_scorer.errors import SettingsError
from stream_scorer.runtime.settings.settings import load_settings
from tests.gateway.calls import JSON, GatewayProcess, a_gateway
from tests.support.workers import Environment

ORIGIN = "https://stops.example"
NDJSON = "application/x-ndjson"


@pytest.fixture
async def gateway(environment: Environment, tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    prefix = environment.settings.topics.prefix
    with a_gateway(environment.bootstrap, prefix, tmp_path, gateway__cors_origins=ORIGIN) as running:
        yield running


def test_methods_by_the_book(gateway: GatewayProcess) -> None:
    for path, allowed in (("/predict", "OPTIONS, POST"), ("/stops/any", "GET, HEAD, OPTIONS")):
        said = gateway.call(path, headers={}, method="OPTIONS")
        assert (said.status, said.headers["Allow"], said.body) == (204, allowed, b"")
        other = gateway.call(path, headers={}, method="DELETE")
        assert (other.status, other.headers["Allow"]) == (405, allowed)
    for path in ("/openapi.json", "/docs", "/livez", "/metrics"):
        head, whole = (gateway.call(path, headers={}, method=method) for method in ("HEAD", "GET"))
        assert (head.status, head.body) == (200, b"")
        assert head.headers["Content-Type"] == whole.headers["Content-Type"]
    assert gateway.call("/nowhere", headers={}, method="OPTIONS").status == 404
    assert gateway.call("/predict", headers={}, method="HEAD").status == 405


def test_who_takes_no_json_is_told_so(gateway: GatewayProcess) -> None:
    for path in ("/predict", "/update", "/predict/batch"):
        refused = gateway.call(path, b"[]", {**JSON, "Accept": "text/html"})
        assert (refused.status, refused.json["status"]) == (406, 406)
    assert gateway.call("/predict", b"{}", {**JSON, "Accept": "text/html, application/json;q=0.2"}).status == 422


def test_a_batch_is_answered_as_its_client_likes(gateway: GatewayProcess) -> None:
    lines = gateway.call("/predict/batch", b"[{},{}]", {**JSON, "Accept": NDJSON})
    assert (lines.headers["Content-Type"], len(lines.body.splitlines())) == (NDJSON, 2)
    array = gateway.call("/predict/batch", b"{}\n{}\n", {"Content-Type": NDJSON, "Accept": "application/json"})
    assert [one["status"] for one in array.json] == [422, 422]
    as_sent = gateway.call("/predict/batch", b"{}\n", {"Content-Type": NDJSON, "Accept": "*/*"})
    assert json.loads(as_sent.body)["status"] == 422


def test_a_named_origin_may_ask_and_no_other(gateway: GatewayProcess) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    allowed = gateway.call("/predict", headers={"Origin": ORIGIN, **asked}, method="OPTIONS")
    assert allowed.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "Content-Type" in allowed.headers["Access-Control-Allow-Headers"]
    for origin in ("https://evil.example", "null", f"{ORIGIN}.evil.example", ""):
        refused = gateway.call("/predict", headers={"Origin": origin, **asked}, method="OPTIONS")
        assert "Access-Control-Allow-Origin" not in refused.headers
        assert refused.headers["Vary"] == "Origin"
    answered = gateway.call("/predict", b"{}", {**JSON, "Origin": ORIGIN})
    assert answered.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "Access-Control-Allow-Credentials" not in answered.headers
    streamed = gateway.call("/predict/batch", b"{}", {"Content-Type": NDJSON, "Origin": ORIGIN})
    assert streamed.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert len(streamed.headers["X-Request-ID"]) == 32


async def test_without_named_origins_there_is_no_cors(environment: Environment, tmp_path: Path) -> None:
    with a_gateway(environment.bootstrap, environment.settings.topics.prefix, tmp_path) as gateway:
        asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
        said = gateway.call("/predict", headers=asked, method="OPTIONS")
        assert not [name for name in said.headers if name.lower().startswith("access-control")]
        # what a page may send without being allowed to is no request here
        assert gateway.call("/predict", b"{}", {"Content-Type": "text/plain", "Origin": ORIGIN}).status == 415


def test_every_answer_keeps_to_itself(gateway: GatewayProcess) -> None:
    for answered in (gateway.call("/predict", b"{}"), gateway.call("/nowhere"), gateway.call("/livez")):
        assert answered.headers["X-Content-Type-Options"] == "nosniff"
        assert answered.headers["Cache-Control"] == "no-store"
        assert answered.headers["Server"] == "stream-scorer"


@pytest.mark.parametrize("origin", ["*", "stops.example", "https://stops.example/", "null", "https://A.example"])
def test_what_no_browser_sends_is_no_origin(origin: str) -> None:
    with pytest.raises(SettingsError, match="is not an origin"):
        load_settings(None, {}, {"gateway.cors_origins": (origin,)})
