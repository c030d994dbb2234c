"""The gateway's description as an OpenAPI 3.1 document, and a page that shows it.

Invariant: made of the contract's own schemas, and the page loads nothing from anywhere else.
"""

import html
import json
from base64 import b64encode
from hashlib import sha256
from typing import Any, Final

import msgspec

import stream_scorer
from stream_scorer.core.records.schema_parts import BOOLEAN, COUNT, PROBABILITY, REASON, TEXT, Schema, fields, titled
from stream_scorer.core.records.schemas import observation_event, outcome_event, prediction
from stream_scorer.core.state.known_stop import KnownStop
from stream_scorer.gateway.batch import EVENTS_MAX, NDJSON
from stream_scorer.gateway.problem import PROBLEM_TYPE

EXAMPLE: Final = {
    "id": "stop-1",
    "observation": {
        "SubjectRaceCode": "B",
        "SubjectSexCode": "M",
        "SubjectEthnicityCode": "N",
        "StatuteReason": "Stop Sign",
        "InterventionReasonCode": "V",
        "ResidentIndicator": False,
        "SearchAuthorizationCode": "N",
        "SubjectAge": 20,
        "hour": 0,
        "day_of_week": "Tuesday",
    },
}

# What is answered instead of a result, by status
PROBLEMS: Final = {
    "400": "No request: the body is empty, or a batch is no array",
    "401": "No valid token, where tokens are required",
    "404": "Nothing is known of this id",
    "406": "The `Accept` header takes no JSON",
    "408": "The body did not come in time",
    "409": "The id exists with another observation; `details` says which columns differ",
    "413": "The body is too large",
    "415": "The Content-Type is not JSON in UTF-8",
    "422": "The event breaks the contract: every reason at once",
    "429": "Too many requests: send the same again after `Retry-After`",
    "503": "Kafka, or the worker that is asked, is away: send the same again after `Retry-After`",
    "504": "No result in time. The event is at `source`: send the same again for its result",
}


def openapi() -> dict[str, Any]:
    """The document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "stream-scorer gateway",
            "version": stream_scorer.__version__,
            "description": "Observations and outcomes over HTTP. The id makes every request safe to send again: "
            "the same observation under the same id is scored once and gets the same prediction.",
        },
        "paths": {
            "/predict": {"post": _predict()},
            "/predict/batch": {"post": _predict_batch()},
            "/update": {"post": _update()},
            "/stops/{id}": {"get": _stop()},
        },
        "components": {
            "schemas": {
                "Observation": observation_event(),
                "Outcome": outcome_event(),
                "Prediction": prediction(),
                "Joined": joined(),
                "Pending": fields({"id": TEXT, "status": {"enum": ["awaiting_prediction", "repeated"]}}),
                "Stop": stop(),
                "Problem": problem_schema(),
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def joined() -> Schema:
    described = {"id": TEXT, "true_class": BOOLEAN, "prediction": BOOLEAN, "proba": PROBABILITY, "correct": BOOLEAN}
    description = "An outcome and its prediction; a correction has the next revision"
    return titled("Joined", description, fields({**described, "revision": {"type": "integer", "minimum": 1}}))


def stop() -> Schema:
    """What a look-up tells, from the code's own structs."""
    schema: Schema = msgspec.json.schema(KnownStop, ref_template="#/components/schemas/{name}")
    described = {name: _with_topic(each) for name, each in schema["$defs"].items()}
    return titled("Stop", "What is known of an id now", _inlined({"$ref": schema["$ref"]}, described))


def _with_topic(schema: Schema) -> Schema:
    """A place within the answer names its topic too."""
    if "offset" not in schema["properties"]:
        return schema
    return schema | {
        "properties": {"topic": TEXT, **schema["properties"]},
        "required": ["topic", *schema["required"]],
    }


def _inlined(schema: Any, described: dict[str, Schema]) -> Any:
    if isinstance(schema, list):
        return [_inlined(each, described) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(described[schema["$ref"].rpartition("/")[2]], described)
    # nothing is left out of an answer, so there is no default either
    return {name: _inlined(each, described) for name, each in schema.items() if name != "default"}


def problem_schema() -> Schema:
    place = fields({"topic": TEXT, "partition": COUNT, "offset": COUNT})
    members: dict[str, Schema] = {
        "type": TEXT,
        "title": TEXT,
        "status": {"type": "integer"},
        "detail": TEXT,
        "error": {"type": "string", "description": "The first reason's message"},
        "errors": {"type": "array", "items": REASON},
        "source": {**place, "description": "The event's position in Kafka"},
    }
    return titled("Problem", "An error (RFC 9457)", fields(members, optional=["source"]))


def _predict() -> dict[str, Any]:
    return {
        "operationId": "predict",
        "summary": "Send an observation, get its prediction",
        "requestBody": _body({"application/json": {"schema": _ref("Observation"), "example": EXAMPLE}}),
        "responses": {"200": _json("The prediction; an identical repeat gets the earlier one", "Prediction")}
        | _problems("400", "401", "406", "408", "409", "413", "415", "422", "429", "503", "504"),
    }


def _predict_batch() -> dict[str, Any]:
    # each answer is what `/predict` would have answered, with its status
    one = {
        "type": "object",
        "properties": {"status": {"type": "integer"}},
        "required": ["status"],
        "anyOf": [_ref("Prediction"), _ref("Problem")],
    }
    events = {"type": "array", "items": _ref("Observation"), "maxItems": EVENTS_MAX}
    return {
        "operationId": "predictBatch",
        "summary": f"Send up to {EVENTS_MAX:,} observations, get an answer for each, in their order",
        "requestBody": _body({"application/json": {"schema": events}, NDJSON: {"schema": _ref("Observation")}}),
        "responses": {
            "200": {
                "description": "An answer for each event, as the body was sent: an array, or a line each",
                "content": {
                    "application/json": {"schema": {"type": "array", "items": one}},
                    NDJSON: {"schema": one},
                },
            }
        }
        | _problems("400", "401", "406", "408", "413", "415", "429"),
    }


def _update() -> dict[str, Any]:
    return {
        "operationId": "update",
        "summary": "Send an outcome: what a search found",
        "requestBody": _body(
            {"application/json": {"schema": _ref("Outcome"), "example": {"id": "stop-1", "true_class": 1}}}
        ),
        "responses": {
            "200": {
                "description": "The outcome update of the stop",
                "content": {"application/json": {"schema": {"anyOf": [_ref("Joined"), _ref("Pending")]}}},
            },
            "202": _json("The outcome waits for its observation", "Pending"),
        }
        | _problems("400", "401", "406", "408", "413", "415", "422", "429", "503", "504"),
    }


def _stop() -> dict[str, Any]:
    return {
        "operationId": "stop",
        "summary": "What is known of an id now: prediction, outcome, and where they lie",
        "parameters": [
            {"name": "id", "in": "path", "required": True, "schema": TEXT, "example": EXAMPLE["id"]},
        ],
        "responses": {"200": _json("What the worker that owns the id knows", "Stop")}
        | _problems("400", "401", "404", "406", "429", "503"),
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _body(content: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": content}


def _json(description: str, schema: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": _ref(schema)}}}


def _problems(*statuses: str) -> dict[str, Any]:
    content = {PROBLEM_TYPE: {"schema": _ref("Problem")}}
    return {status: {"description": PROBLEMS[status], "content": content} for status in statuses}


STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "textarea{width:100%;height:9rem;font-family:monospace}pre{background:#eee;padding:.5rem;overflow:auto}"
    "td,th{text-align:left;padding-right:1rem;vertical-align:top}"
)
SCRIPT: Final = """
for (const form of document.forms) form.onsubmit = async (event) => {
  event.preventDefault();
  const headers = form.dataset.type ? {"Content-Type": form.dataset.type} : {};
  if (form.token.value) headers.Authorization = "Bearer " + form.token.value;
  const shown = form.querySelector("pre");
  const isGet = form.dataset.method === "GET";
  const path = isGet ? form.dataset.path.replace("{id}", encodeURIComponent(form.stop.value)) : form.dataset.path;
  try {
    const answer = await fetch(path, {method: form.dataset.method, headers, body: isGet ? undefined : form.body.value});
    shown.textContent = answer.status + " " + await answer.text();
  } catch (error) { shown.textContent = String(error); }
};
"""


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


PAGE_POLICY: Final = (
    f"default-src 'none'; style-src {_hash(STYLE)}; script-src {_hash(SCRIPT)}; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def docs_page() -> str:
    """The page at `/docs`: each operation, what it answers, and a form to try it."""
    document = openapi()
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>stream-scorer gateway</title>",
        f"<style>{STYLE}</style><h1>stream-scorer gateway</h1><p>{html.escape(document['info']['description'])}</p>",
        "<p>The whole contract: <a href=/openapi.json>/openapi.json</a></p>",
    ]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts.append(_section(path, method.upper(), operation))
    return "".join([*parts, f"<script>{SCRIPT}</script></html>"])


def _section(path: str, method: str, operation: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><th>{status}<td>{html.escape(response['description'])}"
        for status, response in operation["responses"].items()
    )
    media_type, field = _body_field(operation) if method == "POST" else ("", _path_field(operation))
    return (
        f"<h2>{method} {html.escape(path)}</h2><p>{html.escape(operation['summary'])}</p><table>{rows}</table>"
        f'<form data-path="{html.escape(path)}" data-method="{method}" data-type="{media_type}">{field}'
        "<label>Token, where one is needed <input name=token type=password autocomplete=off></label> "
        "<button>Send</button><pre></pre></form>"
    )


def _body_field(operation: dict[str, Any]) -> tuple[str, str]:
    media_type, content = next(iter(operation["requestBody"]["content"].items()))
    example = _pretty(content.get("example", [EXAMPLE]))
    return media_type, f"<label>Body <textarea name=body>{example}</textarea></label>"


def _path_field(operation: dict[str, Any]) -> str:
    (parameter,) = operation["parameters"]
    return f'<label>Id <input name=stop value="{html.escape(parameter["example"])}"></label> '


def _pretty(value: object) -> str:
    return html.escape(json.dumps(value, indent=1))
