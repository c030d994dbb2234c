"""The schemas of what is said about models in production: control records, switches, shadow predictions.

Invariant: made of the records that we write.
"""

from typing import get_args

from stream_scorer.core.contract.columns import COLUMN_NAMES
from stream_scorer.core.records.model_control import (
    AcceptanceTest,
    Canary,
    Contrast,
    ControlAct,
    ModelControl,
    ModelIds,
    ServedModel,
)
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


CONTROLLED_MODEL: Described = {
    "name": TEXT,
    "digest": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    "threshold": PROBABILITY | {"description": "From here on a prediction is true"},
    "share": PROBABILITY | {"description": "Share of the ids that the canary serves"},
    "salt": {"type": "string", "pattern": "^[0-9a-f]{32}$", "description": "The same while the share changes"},
}
SERVED_MODEL = fields_of(ServedModel, CONTROLLED_MODEL)
SERVING = titled(
    "Models that serve",
    "One champion, at most one canary (for a share of the ids), any number of shadows, and the champion before",
    fields_of(
        ModelIds,
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
        "reason": TEXT | {"description": "Why it was refused or suspended"},
    }
    description = "What a partition did with a control record; `serving`: its models score from these offsets on"
    return titled("Model switch", description, fields_of(ModelSwitch, described))
