"""The schemas accept what the code writes and accepts, and refuse what it refuses."""

import json
from typing import Any, NamedTuple

import msgspec
import pytest
from jsonschema import Draft202012Validator

from stream_scorer.core.contract.columns import COLUMNS, Observation
from stream_scorer.core.contract.observation_code import observation_columns
from stream_scorer.core.contract.observation_events import validate_observation
from stream_scorer.core.contract.outcome_events import validate_outcome
from stream_scorer.core.contract.reasons import Code, Reason, Stage
from stream_scorer.core.records.dead_letter import dead_letter
from stream_scorer.core.records.model_control import (
    AcceptanceTest,
    Canary,
    ControlAct,
    DeployedModels,
    ModelControl,
    ServedModel,
    encode_control,
)
from stream_scorer.core.records.model_evidence import CELLS, GROUPS, ModelEvidence, encode_evidence
from stream_scorer.core.records.model_manifest import ModelFile, ModelManifest, encode_manifest
from stream_scorer.core.records.model_switch import FirstOffsets, ModelSwitch, encode_switch
from stream_scorer.core.records.outcome_update import AwaitingPrediction, Joined, Unknown, Update, encode_update
from stream_scorer.core.records.prediction import ModelIdentity, encode_predictions
from stream_scorer.core.records.record import BufferedRecord, Source, Truncation
from stream_scorer.core.records.schemas import schemas
from stream_scorer.core.records.shadow_prediction import (
    PublishedPrediction,
    ShadowPrediction,
    UnpublishedPrediction,
    encode_shadow_prediction,
)

SCHEMAS = schemas()
VALID = {column.name: column.domain[0] for column in COLUMNS}
SPEAKER = ModelIdentity("additive@0123456789ab", "champion", 0.37)


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


BAD_VALUES: list[object] = [None, "", "t", "w", "Stop sign", "Stop Sign ", 9, 101, -1, 25, 20.5, "20", [], {}]


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
    assert accepts("outcomes", event) == (not isinstance_of_reasons(validate_outcome(msgspec.json.encode(event))))


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
        record,
        reasons,
        Stage.CONTRACT,
        topic="stops.observations",
        partition=1,
        failed_at_ms=1_700_000_000_001,
        version="0.1.0",
        limit_bytes=1_048_576,
    )
    ours = {name: header.decode() for name, header in letter.headers if name != "own"}
    schema = SCHEMAS["dead_letter_headers"]
    validator("dead_letter_headers").validate(ours)
    assert set(ours) <= set(schema["properties"])
    assert ("scorer.truncated" in ours) == (len(value) > 1_048_576)
    for name, described in schema["properties"].items():
        if "contentSchema" in described and name in ours:
            Draft202012Validator(described["contentSchema"]).validate(json.loads(ours[name]))


TIME = "2026-01-02T03:04:05.678Z"
COLUMNS_OF_27 = msgspec.convert(observation_columns(27), Observation)
JOINED = Joined(
    id="a",
    revision=1,
    true_class=True,
    prediction=True,
    proba=0.5,
    correct=True,
    model=SPEAKER.model,
    role="champion",
    observation=COLUMNS_OF_27,
    scored_at=TIME,
    outcome_at=TIME,
    delay_s=-1.5,
    source=Source(0, 7),
)
RECORD = BufferedRecord(1, b"{", b"a", (("own", b"\xff"),), Truncation(1, "0" * 64, 1, 0))
AWAITING = AwaitingPrediction("a", True, TIME, Source(0, 7), RECORD)


@pytest.mark.parametrize(
    "update",
    [
        pytest.param(JOINED, id="joined"),
        pytest.param(msgspec.structs.replace(JOINED, verdicts={"m@0": True}), id="joined with verdicts"),
        pytest.param(AWAITING, id="awaiting"),
        pytest.param(
            AwaitingPrediction("a", True, TIME, Source(0, 7), BufferedRecord(1)), id="awaiting, an empty record"
        ),
        pytest.param(Unknown("a", False, TIME, Source(0, 7)), id="unknown"),
    ],
)
def test_an_outcome_update_keeps_to_its_schema(update: Update) -> None:
    validator("outcome_updates").validate(json.loads(encode_update(update)))


@pytest.mark.parametrize(
    ("update", "change"),
    [
        pytest.param(JOINED, {"revision": 0}, id="revision 0"),
        pytest.param(JOINED, {"status": "guessed"}, id="no such status"),
        pytest.param(JOINED, {"status": "awaiting_prediction"}, id="status of another"),
        pytest.param(AWAITING, {"source": None}, id="no source"),
    ],
)
def test_an_outcome_update_that_we_would_not_write_is_refused(update: Update, change: dict[str, object]) -> None:
    assert not accepts("outcome_updates", json.loads(encode_update(update)) | change)


def code_accepts(event: object) -> bool:
    return not isinstance_of_reasons(validate_observation(msgspec.json.encode(event), 65_536))


def isinstance_of_reasons(examined: object) -> bool:
    return isinstance(examined, tuple) and isinstance(examined[0], Reason)


CHAMPION = ServedModel(name="additive", digest="0" * 64, threshold=0.4)
EVERYBODY = DeployedModels(
    champion=CHAMPION,
    canary=Canary(name="trees", digest="1" * 64, threshold=0.4, share=0.1, salt="2" * 32),
    shadows=(CHAMPION,),
    previous=CHAMPION,
)


@pytest.mark.parametrize("models", [DeployedModels(champion=CHAMPION), EVERYBODY], ids=["champion-alone", "all-roles"])
@pytest.mark.parametrize("offset", [None, 5])
def test_control_and_switch_records_keep_to_their_schemas(models: DeployedModels, offset: int | None) -> None:
    at = "2026-01-02T03:04:05.678Z"
    control = ModelControl(
        format=1,
        environment="staging",
        based_on=offset,
        act=ControlAct.DEPLOY,
        models=models,
        test=AcceptanceTest(),
        who="ann",
        at=at,
    )
    validator("model_control").validate(json.loads(encode_control(control)))
    switch = ModelSwitch(
        partition=1,
        control_offset=offset,
        state="serving",
        first=FirstOffsets(3, 4),
        models=models,
        versions={"numpy": "2.0"},
        worker="w",
        at=at,
    )
    validator("model_switches").validate(json.loads(encode_switch(switch)))


def test_a_shadow_prediction_keeps_to_its_schema() -> None:
    said = ShadowPrediction(
        id="a",
        observation_code=27,
        source=Source(1, 5),
        scored_at="2026-01-02T03:04:05.678Z",
        published=PublishedPrediction("additive@0123456789ab", "champion", False, 0.25),
        shadows=(UnpublishedPrediction("trees@0123456789ab", True, 0.5, 0.4),),
    )
    validator("shadow_predictions").validate(json.loads(encode_shadow_prediction(said)))


def test_a_manifest_and_an_evidence_record_keep_to_their_schemas() -> None:
    at = "2026-01-02T03:04:05.678Z"
    manifest = ModelManifest(
        name="trees",
        digest="1" * 64,
        threshold=0.4,
        form="matrix",
        chunks=1,
        files=(ModelFile("card.json", 2, "2" * 64),),
        first_offset=0,
        who="ann",
        at=at,
    )
    validator("models").validate(json.loads(encode_manifest(manifest)))
    evidence = ModelEvidence(
        partition=1,
        champion=CHAMPION,
        candidate=CHAMPION,
        first=FirstOffsets(3, 4),
        next=FirstOffsets(5, 6),
        outcomes=(1,) * (GROUPS * CELLS),
        recent="07",
        scored=(1, 2, 3, 4),
        residual_sum=-0.5,
        residual_squares=0.25,
        worker="w",
        at=at,
    )
    validator("model_evidence").validate(json.loads(encode_evidence(evidence)))
