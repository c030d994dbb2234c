"""Pieces that schemas are made of.

Invariant: a column, a code or a field of ours is described here, never listed again.
"""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import msgspec

from stream_scorer.core.contract.columns import COLUMNS, ID_BYTES_MAX
from stream_scorer.core.contract.observation_code import CODES
from stream_scorer.core.contract.quarantined_batch import BatchSummary
from stream_scorer.core.contract.reasons import Code, Reason
from stream_scorer.core.records.dead_letter_headers import LetterSource
from stream_scorer.core.records.prediction import Role
from stream_scorer.core.records.record import BufferedRecord, Source, Truncation

Schema = dict[str, Any]
Described = Mapping[str, Schema]


def fields(properties: Described, optional: Sequence[str] = ()) -> Schema:
    """An object with these fields, all required but the optional ones. It may gain others, which readers pass over."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": dict(properties), "required": required}


def fields_of(struct: type[msgspec.Struct], described: Described) -> Schema:
    """A record of ours: its fields in their order, as described, required where they are always written.

    KeyError where the code has a field that nobody described.
    """
    config, listed = struct.__struct_config__, msgspec.structs.fields(struct)
    optional = [field.encode_name for field in listed if field.default is msgspec.UNSET]
    if config.omit_defaults:
        optional += [field.encode_name for field in listed if not field.required]
    schema = fields({field.encode_name: described[field.encode_name] for field in listed}, optional)
    if config.tag is None:
        return schema
    tag = {str(config.tag_field): {"const": config.tag}}
    return schema | {"properties": tag | schema["properties"], "required": [*tag, *schema["required"]]}


def titled(title: str, description: str, schema: Schema) -> Schema:
    return {"title": title, "description": description, **schema}


def json_text(of: Schema) -> Schema:
    """A text that holds JSON, as a header does."""
    return {"type": "string", "contentMediaType": "application/json", "contentSchema": of}


BOOLEAN: Schema = {"type": "boolean"}
TEXT: Schema = {"type": "string"}
BASE64: Schema = {"type": "string", "contentEncoding": "base64"}
DECIMAL: Schema = {"type": "string", "pattern": "^[0-9]+$"}
COUNT: Schema = {"type": "integer", "minimum": 0}
PROBABILITY: Schema = {"type": "number", "minimum": 0, "maximum": 1}
TIME: Schema = {
    "type": "string",
    "format": "date-time",
    "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$",
    "description": "RFC 3339 in UTC with milliseconds",
}
TIMESTAMP: Schema = {"type": "integer", "description": "Milliseconds since 1970"}

ID: Schema = {"type": "string", "minLength": 1, "maxLength": ID_BYTES_MAX}
EVENT_ID: Schema = {
    "anyOf": [ID, {"type": "integer"}],
    "description": f"At most {ID_BYTES_MAX} bytes in UTF-8; a whole number is taken as its decimal text",
}
OBSERVATION = fields({column.name: column.json_schema() for column in COLUMNS}) | {"additionalProperties": False}
MODEL: Schema = {"type": "string", "pattern": "^.+@[0-9a-f]+$", "description": "<name>@<digest>"}
PLACE: Described = {"topic": TEXT, "partition": COUNT, "offset": COUNT, "timestamp": TIMESTAMP}
SOURCE = fields_of(Source, PLACE) | {"description": "Where the record lies that this one was made from"}
LETTER_SOURCE = fields_of(LetterSource, PLACE)
BATCH = fields_of(
    BatchSummary,
    {
        "codec": TEXT | {"description": "The codec that compresses it"},
        "bytes": COUNT | {"description": "Of the batch as it was fetched"},
        "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "first_offset": COUNT,
        "last_offset": COUNT | {"description": "Also in the source"},
        "records": COUNT,
    },
)
TRUNCATION = fields_of(
    Truncation,
    {
        "bytes": COUNT,
        "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "key_bytes": COUNT,
        "headers_bytes": COUNT,
    },
)
HEADER: Schema = {
    "type": "array",
    "prefixItems": [TEXT, BASE64 | {"type": ["string", "null"]}],
    "minItems": 2,
    "maxItems": 2,
}
KEPT_RECORD = fields_of(
    BufferedRecord,
    {
        "timestamp": TIMESTAMP,
        "value": BASE64,
        "key": BASE64,
        "headers": {"type": "array", "items": HEADER},
        "truncation": TRUNCATION | {"description": "Size and digest of a record that was too large to keep whole"},
    },
)
REASON = fields_of(
    Reason,
    {
        "code": {"type": "string", "enum": [code.value for code in Code]},
        "field": {"type": ["string", "null"], "description": "The faulty part; null when it is the whole event"},
        "message": TEXT,
        "details": {"type": "object"},
    },
)

SAID: Described = {
    "id": ID,
    "prediction": BOOLEAN | {"description": "proba >= threshold"},
    "proba": PROBABILITY | {"description": "The model's probability that a search finds contraband"},
    "threshold": PROBABILITY,
    "model": MODEL,
    "role": {"type": "string", "enum": list(get_args(Role))},
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
"""The fields of a prediction."""

HAPPENED: Described = {
    "revision": {"type": "integer", "minimum": 1, "description": "1, and one more for each correction"},
    "true_class": BOOLEAN | {"description": "Whether the search found contraband"},
    "correct": BOOLEAN | {"description": "prediction == true_class"},
    "outcome_at": TIME,
    "delay_s": {
        "type": "number",
        "description": "Time from observation to outcome; negative where the outcome is older",
    },
    "verdicts": {
        "type": "object",
        "additionalProperties": BOOLEAN,
        "description": "What each loaded model says of it, where a candidate served at its observation's offset",
    },
    "record": KEPT_RECORD | {"description": "The outcome's record as it was read"},
}
"""What an outcome adds to them."""
