"""The value of every topic as JSON Schema (draft 2020-12), made of the contract and of the records that we write.

Law: a column, a code or a field of a record of ours is never written down here a second time, only described.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from stream_scorer.core.codec import CODES
from stream_scorer.core.contract import COLUMNS, ID_BYTES_MAX
from stream_scorer.core.dead_letters import LetterSource, Truncation
from stream_scorer.core.predictions import Prediction, Role
from stream_scorer.core.reasons import Code, Reason, Stage
from stream_scorer.core.records import Source

Schema = dict[str, Any]

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def fields(properties: Mapping[str, Schema], optional: Sequence[str] = ()) -> Schema:
    """An object with these fields, all required but the optional ones. It may gain others, which readers pass over."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": [name for name in properties if name not in optional],
    }


def fields_of(struct: Any, described: Mapping[str, Schema], optional: Sequence[str] = ()) -> Schema:
    """A record of ours: its fields in their order, as described. KeyError where the code has one that nobody described."""
    return fields({name: described[name] for name in struct.__struct_fields__}, optional)


def titled(title: str, description: str, schema: Schema) -> Schema:
    return {"title": title, "description": description, **schema}


def literals(kind: Any) -> list[str]:
    return list(kind.__args__)


ID = {"type": "string", "minLength": 1, "maxLength": ID_BYTES_MAX}
EVENT_ID = {
    "anyOf": [ID, {"type": "integer"}],
    "description": f"At most {ID_BYTES_MAX} bytes in UTF-8; a whole number is taken as its decimal text",
}
BOOLEAN = {"type": "boolean"}
COUNT = {"type": "integer", "minimum": 0}
PROBABILITY = {"type": "number", "minimum": 0, "maximum": 1}
TEXT = {"type": "string"}
RFC3339_MS = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$"
TIME = {"type": "string", "format": "date-time", "pattern": RFC3339_MS}
MODEL = {"type": "string", "pattern": "^.+@[0-9a-f]+$", "description": "<name>@<digest>"}
ROLE = {"type": "string", "enum": literals(Role)}
OBSERVATION = fields({column.name: column.json_schema() for column in COLUMNS}) | {"additionalProperties": False}
SOURCE = fields_of(Source, {"partition": COUNT, "offset": COUNT}) | {
    "description": "Where the record stood that this one comes from"
}


def observation_event() -> Schema:
    description = "A stop that producers ask a prediction for. Fields beside these two are passed over."
    return titled("Observation event", description, fields({"id": EVENT_ID, "observation": OBSERVATION}))


def outcome_event() -> Schema:
    truth = {"enum": [True, False, 0, 1], "description": "Whether the search found contraband"}
    return titled(
        "Outcome event",
        "What a search found. Fields beside these two are passed over.",
        fields({"id": EVENT_ID, "true_class": truth}),
    )


PREDICTION_FIELDS: dict[str, Schema] = {
    "id": ID,
    "prediction": BOOLEAN | {"description": "proba >= threshold"},
    "proba": PROBABILITY | {"description": "How likely the model holds it that a search finds contraband"},
    "threshold": PROBABILITY,
    "model": MODEL,
    "role": ROLE,
    "observation_code": {
        "type": "integer",
        "minimum": 0,
        "maximum": CODES - 1,
        "description": "The observation as its 28-bit number: mixed radix, the first column most significant",
    },
    "source": SOURCE,
    "scored_at": TIME,
    "observation": OBSERVATION,
}


def prediction() -> Schema:
    description = "What the model said of one observation, once, in the order of the observations"
    return titled("Prediction", description, fields_of(Prediction, PREDICTION_FIELDS, optional=("observation",)))


UPDATE_FIELDS: dict[str, Schema] = {
    "revision": {"type": "integer", "minimum": 1, "description": "1, and one more for each correction"},
    "true_class": BOOLEAN | {"description": "Whether the search found contraband"},
    "correct": BOOLEAN | {"description": "prediction == true_class"},
    "outcome_at": TIME,
    "delay_s": {"type": "number", "description": "From observation to outcome; negative where the outcome came first"},
    "verdicts": {
        "type": "object",
        "additionalProperties": BOOLEAN,
        "description": "What each model that was loaded would have said, by its name",
    },
    "record": fields_of(KeptRecord, KEPT_FIELDS) | {"description": "The outcome's record as it was read"},
}


def outcome_update() -> Schema:
    """One shape for each status."""
    described = PREDICTION_FIELDS | UPDATE_FIELDS
    shapes = [tagged(struct, fields_of(struct, described, optional=("verdicts",))) for struct in get_args(Update)]
    description = "An outcome and its prediction joined; or one that came first; or one whose observation never came"
    return titled("Outcome update", description, {"type": "object", "oneOf": shapes})


def tagged(struct: type[msgspec.Struct], schema: Schema) -> Schema:
    """The record with the field that says which one it is."""
    config = struct.__struct_config__
    tag = {str(config.tag_field): {"const": config.tag}}
    return schema | {"properties": tag | schema["properties"], "required": [*tag, *schema["required"]]}


REASON = fields_of(
    Reason,
    {
        "code": {"type": "string", "enum": [code.value for code in Code]},
        "field": {
            "type": ["string", "null"],
            "description": "The part of the event that is at fault; null when it is the whole",
        },
        "message": TEXT,
        "details": {"type": "object"},
    },
    optional=("details",),
)


def dead_letter() -> Schema:
    description = (
        "The original record's bytes, untouched: they may be anything. Why it could not go on stands in its headers: "
        "dead-letter-headers.schema.json. Of a record that was too large to keep, its first 64 KiB."
    )
    return titled("Dead letter", description, {"contentMediaType": "application/octet-stream"})


def dead_letter_headers() -> Schema:
    """Our headers of a dead letter, as texts; those that hold JSON say what of."""

    def json_text(of: Schema) -> Schema:
        return TEXT | {"contentMediaType": "application/json", "contentSchema": of}

    source = {
        "topic": TEXT,
        "partition": COUNT,
        "offset": COUNT,
        "timestamp": {"type": "integer", "description": "Milliseconds since 1970"},
    }
    truncated = {
        "bytes": COUNT,
        "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "key_bytes": COUNT,
        "headers_bytes": COUNT,
    }
    decimal = {"type": "string", "pattern": "^[0-9]+$"}
    headers: dict[str, Schema] = {
        "scorer.errors": json_text({"type": "array", "minItems": 1, "items": REASON}),
        "scorer.stage": {"type": "string", "enum": [stage.value for stage in Stage]},
        "scorer.source": json_text(fields_of(LetterSource, source)),
        "scorer.failed-at": TIME,
        "scorer.version": TEXT | {"description": "The version of stream-scorer that wrote it"},
        "scorer.replays": decimal | {"description": "How often the record was replayed"},
        "scorer.truncated": json_text(fields_of(Truncation, truncated)),
        "__streams.errors.topic": TEXT,
        "__streams.errors.partition": decimal,
        "__streams.errors.offset": decimal,
        "__streams.errors.message": TEXT,
        "__streams.errors.exception": TEXT,
    }
    description = "They stand behind the original record's own; of several headers with one name the last one counts"
    return titled("Headers of a dead letter", description, fields(headers, optional=("scorer.truncated",)))


def shadow_prediction() -> Schema:
    said = fields({"model": MODEL, "prediction": BOOLEAN, "proba": PROBABILITY, "threshold": PROBABILITY})
    shared = {name: PREDICTION_FIELDS[name] for name in ("id", "observation_code", "source", "scored_at")}
    description = "What models that nobody acts on would have said of one observation"
    return titled(
        "Shadow prediction", description, fields(shared | {"shadows": {"type": "array", "minItems": 1, "items": said}})
    )


SERVING = titled(
    "Models that serve",
    "One champion, at most one canary (for a share of the ids), any number of shadows",
    fields(
        {
            "champion": MODEL,
            "canary": fields({"model": MODEL, "share": PROBABILITY, "salt": TEXT}),
            "shadows": {"type": "array", "items": MODEL},
        },
        optional=("canary", "shadows"),
    ),
)


def model_control() -> Schema:
    act = {"enum": ["deploy", "promote", "rollback"]}
    control = {"environment": TEXT, "models": SERVING, "act": act, "who": TEXT, "at": TIME, "why": TEXT}
    description = "Which models should serve in an environment: its last record counts, all are kept"
    return titled("Model control", description, fields(control, optional=("why",)))


def model_switch() -> Schema:
    description = "From which offset on the observations of a partition were served by these models"
    return titled("Model switch", description, fields({"partition": COUNT, "from_offset": COUNT, "models": SERVING}))


def ledger_entry() -> Schema:
    origin = fields({"topic": TEXT, "partition": COUNT, "offset": COUNT}) | {
        "description": "Where the dead letter's record was first read"
    }
    act = {"enum": ["replay", "discard", "reveal", "park"], "description": "`reveal`: its personal data were looked at"}
    entry = {"act": act, "who": TEXT, "at": TIME, "why": TEXT, "origin": origin, "became": SOURCE}
    description = "What an operator did with a dead letter; `became` says where its record stands now"
    return titled("Ledger entry", description, fields(entry, optional=("why", "became")))


def schemas() -> dict[str, Schema]:
    """Every topic's value by the topic's key in topics.toml, and the headers of dead letters."""
    made = {
        "observations": observation_event(),
        "outcomes": outcome_event(),
        "predictions": prediction(),
        "outcome_updates": outcome_update(),
        "dead_letters": dead_letter(),
        "dead_letter_headers": dead_letter_headers(),
        "shadow_predictions": shadow_prediction(),
        "model_control": model_control(),
        "model_switches": model_switch(),
        "ledger": ledger_entry(),
    }
    return {key: {"$schema": DRAFT, **schema} for key, schema in made.items()}
