"""The schemas accept what the code writes and accepts, and refuse what it refuses."""

import base64
import json
from typing import Any, NamedTuple

import msgspec
import pytest
from jsonschema import Draft202012Validator

from stream_scorer.core.contract import COLUMNS
from stream_scorer.core.dead_letters import dead_letter
from stream_scorer.core.decoding import examine_observation
from stream_scorer.core.outcomes import examine_outcome
from stream_scorer.core.predictions import Speaker, encode_predictions
from stream_scorer.core.reasons import Code, Reason, Stage
from stream_scorer.core.schemas import schemas

SCHEMAS = schemas()
VALID = {column.name: column.domain[0] for column in COLUMNS}
SPEAKER = Speaker("additive@0123456789ab", "champion", 0.37)


class Read(NamedTuple):
    """A record as it was read."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


def validator(key: str) -> Draft202012Validator:
    return Draft202012Validator(SCHEMAS[key], format_checker=Draft202012Validator.FORMAT_CHECKER)


def accepts(key: str, value: object) -> bool:
    return bool(validator(key).is_valid(value))


@pytest.mark.parametrize("key", sorted(SCHEMAS))
def test_a_schema_is_one(key: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[key])
    assert SCHEMAS[key]["title"]


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
def test_every_value_of_a_column_s_domain_is_accepted_by_schema_and_code(column: Any) -> None:
    for value in column.domain:
        event = {"id": "a", "observation": VALID | {column.name: value}}
        assert accepts("observations", event)
        assert code_accepts(event)


BAD_VALUES = [None, "", "t", "w", "Stop sign", "Stop Sign ", 9, 101, -1, 25, 20.5, "20", [], {}]


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
@pytest.mark.parametrize("value", BAD_VALUES, ids=repr)
def test_schema_and_code_agree_on_odd_values(column: Any, value: object) -> None:
    event = {"id": "a", "observation": VALID | {column.name: value}}
    assert accepts("observations", event) == code_accepts(event)


@pytest.mark.parametrize(
    "event",
    [
        pytest.param({"id": "a", "observation": VALID, "more": 1}, id="another field"),
        pytest.param({"id": 12, "observation": VALID}, id="whole number as id"),
        pytest.param({"id": "a" * 200, "observation": VALID}, id="longest id"),
        pytest.param({"id": "a" * 201, "observation": VALID}, id="id too long"),
        pytest.param({"id": "", "observation": VALID}, id="empty id"),
        pytest.param({"id": None, "observation": VALID}, id="null id"),
        pytest.param({"id": True, "observation": VALID}, id="truth value as id"),
        pytest.param({"observation": VALID}, id="no id"),
        pytest.param({"id": "a"}, id="no observation"),
        pytest.param({"id": "a", "observation": "text"}, id="observation that is text"),
        pytest.param({"id": "a", "observation": VALID | {"More": 1}}, id="another column"),
        pytest.param({"id": "a", "observation": {"hour": 0}}, id="columns missing"),
        pytest.param([], id="list"),
    ],
)
def test_schema_and_code_agree_on_observation_events(event: object) -> None:
    assert accepts("observations", event) == code_accepts(event)


@pytest.mark.parametrize("true_class", [True, False, 0, 1, 2, -1, "true", None, 0.5, []], ids=repr)
def test_schema_and_code_agree_on_outcome_events(true_class: object) -> None:
    event = {"id": "a", "true_class": true_class}
    assert accepts("outcomes", event) == (not isinstance_of_reasons(examine_outcome(msgspec.json.encode(event))))


@pytest.mark.parametrize("with_observation", [False, True])
def test_a_prediction_keeps_to_its_schema_and_every_field_is_described(with_observation: bool) -> None:
    (value,) = encode_predictions(
        [b"a"],
        [27],
        [0.25],
        [5],
        partition=1,
        speaker=SPEAKER,
        scored_at="2026-01-02T03:04:05.678Z",
        with_observation=with_observation,
    )
    prediction = json.loads(value)
    validator("predictions").validate(prediction)
    described = list(SCHEMAS["predictions"]["properties"])
    assert list(prediction) == (described if with_observation else described[:-1])


@pytest.mark.parametrize(
    "change",
    [
        {"proba": 1.5},
        {"proba": None},
        {"role": "shadow"},
        {"scored_at": "2026-01-02T03:04:05Z"},
        {"observation_code": 155_937_600},
        {"id": 1},
    ],
    ids=str,
)
def test_a_prediction_that_we_would_not_write_is_refused(change: dict[str, object]) -> None:
    (value,) = encode_predictions(
        [b"a"], [27], [0.25], [5], partition=1, speaker=SPEAKER, scored_at="2026-01-02T03:04:05.678Z"
    )
    assert not accepts("predictions", json.loads(value) | change)


@pytest.mark.parametrize("value", [b"{}", b"x" * 2_000_000], ids=["whole", "cut"])
def test_a_dead_letter_s_headers_keep_to_their_schema(value: bytes) -> None:
    record = Read("stops.observations", 1, 5, 1_700_000_000_000, b"k", value, [("own", b"\xff")])
    reasons = [Reason(Code.MISSING_ID, "id", "m"), Reason(Code.CONFLICT, None, "m", {"first_offset": 1})]
    letter = dead_letter(
        record, reasons, Stage.CONTRACT, failed_at_ms=1_700_000_000_001, version="0.1.0", limit_bytes=1_048_576
    )
    ours = {name: header.decode() for name, header in letter.headers if name != "own"}
    schema = SCHEMAS["dead_letter_headers"]
    validator("dead_letter_headers").validate(ours)
    assert set(ours) <= set(schema["properties"])
    assert ("scorer.truncated" in ours) == (len(value) > 1_048_576)
    for name, described in schema["properties"].items():
        if "contentSchema" in described and name in ours:
            Draft202012Validator(described["contentSchema"]).validate(json.loads(ours[name]))


TIMES = {"scored_at": "2026-01-02T03:04:05.678Z", "outcome_at": "2026-01-02T03:05:05.678Z"}
SOURCE = {"partition": 0, "offset": 7}
JOINED = {
    "id": "a",
    "status": "joined",
    "revision": 1,
    "true_class": True,
    "prediction": True,
    "proba": 0.5,
    "correct": True,
    "model": "m@0123456789ab",
    "role": "champion",
    "observation": VALID,
    "delay_s": 60.0,
    "source": SOURCE,
    **TIMES,
}
ORIGINAL = base64.b64encode(b'{"id":"a","true_class":true}').decode()
AWAITING = {
    "id": "a",
    "status": "awaiting_prediction",
    "true_class": True,
    "outcome_at": TIMES["outcome_at"],
    "source": SOURCE,
    "record": ORIGINAL,
}


@pytest.mark.parametrize("update", [JOINED, AWAITING], ids=["joined", "awaiting"])
def test_an_outcome_update_keeps_to_its_schema(update: dict[str, object]) -> None:
    validator("outcome_updates").validate(update)


@pytest.mark.parametrize(
    "update",
    [
        JOINED | {"revision": 0},
        JOINED | {"status": "guessed"},
        {name: AWAITING[name] for name in AWAITING if name != "source"},
    ],
    ids=["revision 0", "no such status", "awaiting without its source"],
)
def test_an_outcome_update_that_we_would_not_write_is_refused(update: dict[str, object]) -> None:
    assert not accepts("outcome_updates", update)


def code_accepts(event: object) -> bool:
    return not isinstance_of_reasons(examine_observation(msgspec.json.encode(event), 65_536))


def isinstance_of_reasons(examined: object) -> bool:
    return isinstance(examined, tuple) and isinstance(examined[0], Reason)
