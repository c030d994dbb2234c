"""Valid things by default; a test says only what it is about."""

import json
from typing import Any

OBSERVATION: dict[str, Any] = {
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
}


def an_observation(**changes: object) -> dict[str, Any]:
    """The ten columns, with some of them changed or others added."""
    return OBSERVATION | changes


def an_event(id: str | int = "ev-1", **changes: object) -> bytes:  # noqa: A002  # the contract's own word
    """An observation event as producers send it."""
    return json.dumps({"id": id, "observation": an_observation(**changes)}).encode()


def an_outcome(id: str | int = "ev-1", true_class: object = True) -> bytes:  # noqa: A002
    """An outcome event as producers send it."""
    return json.dumps({"id": id, "true_class": true_class}).encode()
