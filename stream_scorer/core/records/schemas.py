"""The value of every topic as JSON Schema (draft 2020-12).

Invariant: made of the contract and the records that we write.
"""

from typing import get_args

from stream_scorer.core.contract.reasons import Stage
from stream_scorer.core.records.audit_log import Action, AuditEntry, OffsetsEntry
from stream_scorer.core.records.dead_letter_headers import (
    BATCH,
    ERRORS,
    FAILED_AT,
    REPLAYS,
    SOURCE,
    STAGE,
    TRUNCATED,
    VERSION,
)
from stream_scorer.core.records.dead_letter_reader import REPLAYED_FROM, Position, SourcePosition
from stream_scorer.core.records.outcome_update import Update
from stream_scorer.core.records.prediction import Prediction
from stream_scorer.core.records.record import MOVED_FROM
from stream_scorer.core.records.rollout_schemas import (
    model_control,
    model_evidence,
    model_switch,
    model_upload,
    shadow_prediction,
)
from stream_scorer.core.records.schema_parts import BATCH as BATCH_OF_A_LETTER
from stream_scorer.core.records.schema_parts import (
    COUNT,
    DECIMAL,
    EVENT_ID,
    HAPPENED,
    LETTER_SOURCE,
    OBSERVATION,
    REASON,
    SAID,
    TEXT,
    TIME,
    TRUNCATION,
    Described,
    Schema,
    fields,
    fields_of,
    json_text,
    titled,
)
from stream_scorer.core.records.schema_parts import SOURCE as SOURCE_OF_A_RECORD

PLACE_OF_A_LETTER = fields_of(Position, {"partition": COUNT, "offset": COUNT})
ORIGIN = fields_of(SourcePosition, {"topic": TEXT, "partition": COUNT, "offset": COUNT})
DRAFT = "https://json-schema.org/draft/2020-12/schema"


def observation_event() -> Schema:
    description = "A stop to be scored. Other fields are ignored."
    return titled("Observation event", description, fields({"id": EVENT_ID, "observation": OBSERVATION}))


def outcome_event() -> Schema:
    true_class = {"enum": [True, False, 0, 1], "description": "Whether the search found contraband"}
    description = "What a search found. Other fields are ignored."
    return titled("Outcome event", description, fields({"id": EVENT_ID, "true_class": true_class}))


def prediction() -> Schema:
    description = "The model's prediction for one observation, published once, in the order of the observations"
    return titled("Prediction", description, fields_of(Prediction, SAID))


def outcome_update() -> Schema:
    """One shape for each status."""
    described = {**SAID, **HAPPENED}
    shapes = [fields_of(struct, described) for struct in get_args(Update)]
    description = (
        "An outcome joined to its prediction; an outcome that waits for its observation; or one whose observation "
        "never came"
    )
    return titled("Outcome update", description, {"type": "object", "oneOf": shapes})


def dead_letter() -> Schema:
    description = (
        "The original record's bytes, unchanged: they may be anything. The reasons are in its headers: "
        "dead-letter-headers.schema.json. Of a record that was too large to keep whole, its first 64 KiB; of a batch "
        "that was not decompressed, the first 64 KiB as it was fetched."
    )
    return titled("Dead letter", description, {"contentMediaType": "application/octet-stream"})


def dead_letter_headers() -> Schema:
    headers: dict[str, Schema] = {
        ERRORS: json_text({"type": "array", "minItems": 1, "items": REASON}),
        STAGE: {"type": "string", "enum": [stage.value for stage in Stage]},
        SOURCE: json_text(LETTER_SOURCE),
        FAILED_AT: TIME,
        VERSION: TEXT | {"description": "The version of stream-scorer that wrote it"},
        REPLAYS: DECIMAL | {"description": "How often the record was replayed"},
        TRUNCATED: json_text({"anyOf": [TRUNCATION, {"type": "null"}]}),
        BATCH: json_text({"anyOf": [BATCH_OF_A_LETTER, {"type": "null"}]})
        | {"description": "Only where the dead letter stands for all records of a batch that was not decompressed"},
        "__streams.errors.topic": TEXT,
        "__streams.errors.partition": DECIMAL,
        "__streams.errors.offset": DECIMAL,
        "__streams.errors.message": TEXT,
        "__streams.errors.exception": TEXT,
    }
    description = "They follow the original record's own headers; of several headers with one name the last one counts"
    return titled("Headers of a dead letter", description, fields(headers, optional=(TRUNCATED, BATCH)))


def input_headers() -> Schema:
    """What a record carries, behind its own headers, that we published again: because it was found on another partition
    than its id's, or because an operator replayed it."""
    moved = json_text(SOURCE_OF_A_RECORD) | {"description": "Its position before it was moved to its id's partition"}
    replayed = json_text(SOURCE_OF_A_RECORD) | {
        "description": "Its position before it became the dead letter that was replayed; the topic is the same"
    }
    replays = DECIMAL | {"description": "How often it has been replayed"}
    headers = {MOVED_FROM: moved, REPLAYED_FROM: replayed, REPLAYS: replays}
    return fields(headers, optional=tuple(headers))


def ledger_entry() -> Schema:
    described: Described = {
        "act": {
            "enum": [act.value for act in Action],
            "description": "`reveal`: somebody viewed a dead letter's personal data; `check`: somebody asked a "
            "question whose answer depends on such data",
        },
        "who": TEXT,
        "at": TIME,
        "origin": ORIGIN
        | {"description": "Where the dead letter's record was read; of an unreadable dead letter its own position"},
        "letter": PLACE_OF_A_LETTER | {"description": "The dead letter's position in its topic"},
        "why": TEXT,
        "replays": COUNT | {"description": "How often the record has been replayed, with this one"},
        "became": ORIGIN | {"description": "Where the record was published again"},
        "fix": TEXT | {"description": "The fix: names and paths, no values"},
        "letters": COUNT | {"description": "How many dead letters a check without positions covered"},
        "filter": TEXT | {"description": "The filter of such a check, without the searched text"},
    }
    offsets: Described = {
        "act": {"const": "set_offset"},
        "who": TEXT,
        "at": TIME,
        "why": TEXT,
        "group": TEXT,
        "topic": TEXT,
        "partition": COUNT,
        "was": {"anyOf": [COUNT, {"type": "null"}], "description": "The committed offset before; null: none"},
        "offset": COUNT | {"description": "The committed offset now"},
    }
    acts = {"oneOf": [fields_of(AuditEntry, described), fields_of(OffsetsEntry, offsets)]}
    return titled("Ledger entry", "What an operator did with a dead letter, or with the group's offsets", acts)


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
        "models": model_upload(),
        "model_evidence": model_evidence(),
        "ledger": ledger_entry(),
    }
    return {key: {"$schema": DRAFT, **schema} for key, schema in made.items()}
