"""The schemas of what is said about models in production: models, control records, switches, evidence, shadow
predictions.

Invariant: made of the records that we write.
"""

from typing import get_args

from stream_scorer.core.contract.columns import COLUMN_NAMES
from stream_scorer.core.records.model_control import (
    AcceptanceTest,
    Canary,
    ConditionVerdict,
    Contrast,
    ControlAct,
    DecisionEvidence,
    DeployedModels,
    EvidencePosition,
    ModelControl,
    ServedModel,
)
from stream_scorer.core.records.model_evidence import CALIBRATION, CELLS, GROUPS, RECENT_OUTCOMES, SCORES, ModelEvidence
from stream_scorer.core.records.model_manifest import CHUNK_BYTES_MAX, ModelFile, ModelManifest
from stream_scorer.core.records.model_switch import FirstOffsets, ModelSwitch, SwitchState
from stream_scorer.core.records.schema_parts import (
    BOOLEAN,
    COUNT,
    PROBABILITY,
    SAID,
    TEXT,
    TIME,
    Described,
    Schema,
    fields_of,
    titled,
)
from stream_scorer.core.records.shadow_prediction import PublishedPrediction, ShadowPrediction, UnpublishedPrediction


def shadow_prediction() -> Schema:
    published = fields_of(PublishedPrediction, SAID) | {
        "description": "The published prediction of the same observation"
    }
    said = fields_of(UnpublishedPrediction, SAID)
    described = {**SAID, "published": published, "shadows": {"type": "array", "minItems": 1, "items": said}}
    description = "What shadow models predict for one observation; nobody acts on it"
    return titled("Shadow prediction", description, fields_of(ShadowPrediction, described))


DIGEST: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
CONTROLLED_MODEL: Described = {
    "name": TEXT,
    "digest": DIGEST,
    "threshold": PROBABILITY | {"description": "From here on a prediction is true"},
    "share": PROBABILITY | {"description": "Share of the ids that the canary serves"},
    "salt": {"type": "string", "pattern": "^[0-9a-f]{32}$", "description": "The same while the share changes"},
}
SERVED_MODEL = fields_of(ServedModel, CONTROLLED_MODEL)
SERVING = titled(
    "Models that serve",
    "One champion, at most one canary (for a share of the ids), any number of shadows, and the champion before",
    fields_of(
        DeployedModels,
        {
            "champion": SERVED_MODEL,
            "canary": fields_of(Canary, CONTROLLED_MODEL),
            "shadows": {"type": "array", "items": SERVED_MODEL},
            "previous": SERVED_MODEL,
        },
    ),
)
RECORD_FORMAT: Schema = {
    "type": "integer",
    "minimum": 1,
    "description": "Format of this record; a reader accepts formats up to its own",
}
CONTROL_OFFSET: Schema = {"type": ["integer", "null"], "minimum": 0}


def acceptance_test() -> Schema:
    margins = ("floor", "success_rate_margin", "recall_margin", "gap_max", "gain_min", "calibration_margin")
    contrast = fields_of(Contrast, {"column": {"enum": list(COLUMN_NAMES[:3])}, "minuend": TEXT, "subtrahend": TEXT})
    described: Described = {
        "alpha": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.5},
        **dict.fromkeys((*margins, "coverage_margin"), PROBABILITY),
        "contrasts": {"type": "array", "items": contrast},
        "auto": BOOLEAN | {"description": "Whether the judge may promote or withdraw by itself, once"},
    }
    return fields_of(AcceptanceTest, described) | {
        "description": "The rules for a candidate, fixed when it is deployed"
    }


def decision_evidence() -> Schema:
    condition: Described = {
        "name": TEXT,
        "value": {"type": "number"},
        **dict.fromkeys(("shown", "opposed", "judged"), BOOLEAN),
    }
    position: Described = {"partition": COUNT, "offset": COUNT}
    counts: Schema = {"type": "array", "items": COUNT}
    described: Described = {
        "champion": SERVED_MODEL,
        "candidate": SERVED_MODEL,
        "candidates": {"type": "integer", "minimum": 1, "description": "How many shared the errors"},
        "records": {
            "type": "array",
            "items": fields_of(EvidencePosition, position),
            "description": "Where the lanes' evidence records stand whose sums these are",
        },
        "outcomes": counts | {"description": "As in evidence records"},
        "recent": counts | {"description": "How many of the last outcomes fell into each cell"},
        "scored": counts | {"description": "As in evidence records"},
        "residual_sum": {"type": "number"},
        "residual_squares": {"type": "number", "minimum": 0},
        "futile": BOOLEAN | {"description": "No gain is in sight"},
        "conditions": {"type": "array", "items": fields_of(ConditionVerdict, condition)},
    }
    return fields_of(DecisionEvidence, described) | {
        "description": "What the judge decided by; left out where a person decided"
    }


def model_control() -> Schema:
    based_on = {"description": "The offset of the last record that counted; null where none did"}
    described: Described = {
        "format": RECORD_FORMAT,
        "environment": TEXT,
        "based_on": CONTROL_OFFSET | based_on,
        "act": {"enum": [act.value for act in ControlAct]},
        "models": SERVING,
        "test": acceptance_test(),
        "who": TEXT,
        "at": TIME,
        "why": TEXT,
        "evidence": decision_evidence(),
    }
    description = (
        "Which models should serve in an environment; all records are kept. A record counts only if it is based on "
        "the last one that counted"
    )
    return titled("Model control", description, fields_of(ModelControl, described))


def model_switch() -> Schema:
    described: Described = {
        "format": RECORD_FORMAT,
        "partition": COUNT,
        "control_offset": CONTROL_OFFSET
        | {"description": "Offset of the control record; null: the worker's own settings"},
        "state": {"enum": list(get_args(SwitchState))},
        "from": fields_of(FirstOffsets, {"observations": COUNT, "outcomes": COUNT}),
        "models": SERVING,
        "versions": {
            "type": "object",
            "additionalProperties": TEXT,
            "description": "Versions of the libraries that score",
        },
        "worker": TEXT,
        "at": TIME,
        "model": TEXT | {"description": "Which one was refused or suspended, as predictions name it"},
        "reason": TEXT | {"description": "Why it was refused or suspended"},
    }
    description = (
        "What a partition did with a control record. `serving` and `suspended`: from these offsets on these models "
        "score; the last such record counts"
    )
    return titled("Model switch", description, fields_of(ModelSwitch, described))


def model_upload() -> Schema:
    """A chunk or a manifest, by the record's key."""
    file: Described = {"name": TEXT, "bytes": COUNT, "sha256": DIGEST}
    described: Described = {
        "format": RECORD_FORMAT,
        "name": TEXT,
        "digest": DIGEST,
        "threshold": PROBABILITY | {"description": "The card's; which one counts says the control record"},
        "form": TEXT | {"description": "additive, matrix or pipeline"},
        "chunks": {"type": "integer", "minimum": 1},
        "files": {"type": "array", "minItems": 1, "items": fields_of(ModelFile, file)},
        "first_offset": COUNT | {"description": "Of its first chunk in the topic"},
        "who": TEXT,
        "at": TIME,
    }
    description = (
        "Under the key <digest>/<chunk>, counted from 0: the next bytes of the model's files, one behind the other, at "
        f"most {CHUNK_BYTES_MAX} in a record; they are no JSON. Under <digest>/manifest, after all of them: what to "
        "put together of them, as described here"
    )
    return titled("Model", description, fields_of(ModelManifest, described))


def model_evidence() -> Schema:
    offsets = fields_of(FirstOffsets, {"observations": COUNT, "outcomes": COUNT})

    def counts(length: int, description: str) -> Schema:
        shape = {"type": "array", "minItems": length, "maxItems": length, "items": COUNT}
        return shape | {"description": description}

    described: Described = {
        "format": RECORD_FORMAT,
        "partition": COUNT,
        "champion": SERVED_MODEL,
        "candidate": SERVED_MODEL,
        "from": offsets | {"description": "From which offsets on it was counted: the candidate's first"},
        "gaps": {
            "type": "array",
            "items": {"type": "array", "prefixItems": [COUNT, COUNT], "minItems": 2, "maxItems": 2},
            "description": "Stretches of observations that are not among the scored, from an offset to before another; "
            "their outcomes do not count",
        },
        "next": offsets | {"description": "Behind what was counted"},
        "outcomes": counts(
            GROUPS * CELLS,
            "First revisions, by race, sex, ethnicity and cell, the last fastest; "
            "a cell is champion says · 4 + candidate says · 2 + outcome",
        ),
        "corrections": {
            "type": "array",
            "minItems": GROUPS * CELLS,
            "maxItems": GROUPS * CELLS,
            "items": {"type": "integer"},
            "description": "What later revisions add to each of `outcomes`, below 0 where they take away",
        },
        "recent": {
            "type": "string",
            "pattern": f"^[0-7]{{0,{RECENT_OUTCOMES}}}$",
            "description": "The cells of the last outcomes, oldest first",
        },
        "scored": counts(4, "Stops that both spoke of, by champion says · 2 + candidate says"),
        "residual_sum": {"type": "number", "description": "Of outcome less champion's probability"},
        "residual_squares": {"type": "number", "minimum": 0},
        "worker": TEXT,
        "at": TIME,
        "scores": counts(
            SCORES,
            "Stops that both spoke of, by model (champion, candidate), group (each race, each sex, each ethnicity) and "
            "tenth of its probability, the last fastest",
        ),
        "calibration": counts(
            CALIBRATION, "First revisions, by the same and by what is counted: outcomes, and those that were true"
        ),
    }
    description = "What one lane's outcomes say of champion and candidate, cumulative: the last record of a pair counts"
    return titled("Model evidence", description, fields_of(ModelEvidence, described))
