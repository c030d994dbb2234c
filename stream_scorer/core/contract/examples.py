"""Good and bad events, one for each rule, for those who build producers.

Invariant: the verdicts are the contract's own.
"""

import base64
import json
from collections.abc import Iterator
from typing import Any

from stream_scorer.core.contract.batch_decoding import ValidEvent
from stream_scorer.core.contract.columns import DEPTH_MAX, EVENT_BYTES_MAX, ID_BYTES_MAX, INTEGER_DIGITS_MAX
from stream_scorer.core.contract.observation_events import validate_observation
from stream_scorer.core.contract.outcome_events import validate_outcome
from stream_scorer.core.contract.reasons import Reason

COLUMNS: dict[str, object] = {
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
OPEN = "[" * (DEPTH_MAX - 1)
CLOSE = "]" * (DEPTH_MAX - 1)


def written(event: object) -> str:
    return json.dumps(event, ensure_ascii=False)


def event(**changes: object) -> str:
    """A valid event but for its columns that are changed or added."""
    return written({"id": "ev-1", "observation": COLUMNS | changes})


def event_with(**literals: str) -> str:
    """A valid event with columns written as this JSON text, where a Python value would not come out as it."""
    text = event(**{name: f"<{name}>" for name in literals})
    for name, literal in literals.items():
        text = text.replace(f'"<{name}>"', literal)
    return text


def event_with_id(id_literal: str) -> str:
    """A valid event but for its id, written as this JSON text."""
    return event().replace('"ev-1"', id_literal)


def event_without(*names: str) -> str:
    return written({"id": "ev-1", "observation": {name: COLUMNS[name] for name in COLUMNS if name not in names}})


def event_and(more: str) -> str:
    """A valid event with one more field, written as this JSON text."""
    return f"{event()[:-1]}, {more}}}"


OBSERVATIONS: dict[str, str | bytes] = {
    "a valid event": event(),
    "hour 0 is midnight": event(hour=0),
    "hour 24 is allowed": event(hour=24),
    "hour 25 is not": event(hour=25),
    "age 10 is the lowest": event(SubjectAge=10),
    "age 100 is the highest": event(SubjectAge=100),
    "age 0 is out of range, not missing": event(SubjectAge=0),
    "20.0 is not an integer": event_with(SubjectAge="20.0"),
    "2e1 is not an integer": event_with(SubjectAge="2e1"),
    "text is not an integer": event(SubjectAge="20"),
    "null is not an integer": event(SubjectAge=None),
    "true is not an integer": event(SubjectAge=True),
    "1 is not a boolean": event(ResidentIndicator=1),
    "a text is not a boolean": event(ResidentIndicator="true"),
    "a category outside its list": event(SubjectRaceCode="t"),
    "null is no category": event(SubjectRaceCode=None),
    "a list is no category": event(SubjectRaceCode=["W"]),
    "an object is no category": event(SubjectRaceCode={"code": "W"}),
    "case matters": event(StatuteReason="Stop sign"),
    "a space at the end matters": event(StatuteReason="Stop Sign "),
    "a value longer than is printed": event(StatuteReason="x" * 201),
    "a column is missing": event_without("hour"),
    "missing columns are sorted": event_without("SubjectSexCode", "SubjectEthnicityCode"),
    "a column too many": event(SomeRandomColumn="x"),
    "more columns too many than are printed": event(**{f"column{number:02}": 1 for number in range(21)}),
    "every fault is reported": written({"observation": COLUMNS | {"hour": 30, "SubjectAge": "old", "day_of_week": 1}}),
    "the observation is a text": written({"id": "ev-1", "observation": "B"}),
    "the observation is a list": written({"id": "ev-1", "observation": [COLUMNS]}),
    "the observation is null": written({"id": "ev-1", "observation": None}),
    "the observation is missing": written({"id": "ev-1"}),
    "the id is missing": written({"observation": COLUMNS}),
    "an empty object lacks both": "{}",
    "a whole number is an id": event_with_id("-12345678901234567890"),
    "5.0 is not": event_with_id("5.0"),
    "true is not an id": event_with_id("true"),
    "null is not an id": event_with_id("null"),
    "an empty id": event_with_id('""'),
    f"an id of {ID_BYTES_MAX} bytes": event_with_id(f'"{"é" * (ID_BYTES_MAX // 2)}"'),
    f"an id of {ID_BYTES_MAX + 1} bytes": event_with_id(f'"{"é" * (ID_BYTES_MAX // 2)}a"'),
    "an id with escapes": event_with_id(r'"\u00e9\ud83d\ude00"'),
    "fields beside the two are allowed": event_and('"source": {"system": "north"}'),
    "of a key that stands twice the last one wins": event_and('"id": "ev-2"'),
    f"nested {DEPTH_MAX} deep": event_and(f'"deep": {OPEN}{CLOSE}'),
    f"nested {DEPTH_MAX + 1} deep": event_and(f'"deep": {OPEN}[]{CLOSE}'),
    "a lone surrogate": event_with_id(r'"\ud800"'),
    f"an integer of {INTEGER_DIGITS_MAX + 1} digits": event_and(f'"number": {"9" * (INTEGER_DIGITS_MAX + 1)}'),
    "NaN": event_with(SubjectAge="NaN"),
    "Infinity": event_with(hour="-Infinity"),
    "bytes behind the event": f"{event()} {{}}",
    "a byte order mark": f"\ufeff{event()}",
    "positions count bytes": '{"id": "é", "observation": ?}',
    "not UTF-8": event_with_id('"\xe9"').encode("latin-1"),
    "an event cut short": event()[:40],
    "an empty value": "",
    "a list is not an event": f"[{event()}]",
    "a text is not an event": '"event"',
    "blanks count as bytes": event().ljust(EVENT_BYTES_MAX + 1),
}
OUTCOMES: dict[str, str | bytes] = {
    "contraband was found": '{"id": "ev-1", "true_class": true}',
    "none was found": '{"id": "ev-1", "true_class": false}',
    "1 is true": '{"id": "ev-1", "true_class": 1}',
    "0 is false": '{"id": 17, "true_class": 0}',
    "1.0 is neither": '{"id": "ev-1", "true_class": 1.0}',
    "2 is neither": '{"id": "ev-1", "true_class": 2}',
    "a text is neither": '{"id": "ev-1", "true_class": "true"}',
    "null is neither": '{"id": "ev-1", "true_class": null}',
    "every fault is reported": '{"id": ""}',
    "an empty object lacks both": "{}",
    "a list is not an event": "[]",
    "an empty value": "",
}


def example_lines() -> str:
    """JSON lines: name, topic, the value (as base64 where it is no text) and what the contract says of it."""
    return "".join(json.dumps(example) + "\n" for example in examples())


def examples() -> Iterator[dict[str, Any]]:
    for topic, values in (("observations", OBSERVATIONS), ("outcomes", OUTCOMES)):
        for name, value in values.items():
            encoded = value.encode() if isinstance(value, str) else value
            yield {"name": name, "topic": topic} | written_value(encoded) | verdict_on(topic, encoded)


def written_value(value: bytes) -> dict[str, str]:
    try:
        return {"value": value.decode()}
    except UnicodeDecodeError:
        return {"value_base64": base64.b64encode(value).decode()}


def verdict_on(topic: str, value: bytes) -> dict[str, Any]:
    """Either id and content, or the errors, in the words that dead letters carry."""
    found: ValidEvent[int] | ValidEvent[bool] | tuple[Reason, ...]
    if topic == "observations":
        found, content = validate_observation(value), "observation_code"
    else:
        found, content = validate_outcome(value), "true_class"
    if isinstance(found, ValidEvent):
        return {"ok": True, "id": found.id.decode(), content: found.content}
    errors = [{"code": reason.code, "field": reason.field, "message": reason.message} for reason in found]
    return {"ok": False, "errors": errors}
