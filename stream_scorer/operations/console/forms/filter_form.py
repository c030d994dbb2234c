"""A filter as the fields of a form and the query of an address.

Invariant: every list of dead letters has its own address, which shows the same list to everybody.
"""

from collections.abc import Mapping
from datetime import UTC
from typing import Final
from urllib.parse import urlencode

from multidict import MultiMapping

from stream_scorer.core.contract.reasons import Code, Stage
from stream_scorer.core.records.timestamps import milliseconds
from stream_scorer.errors import SettingsError
from stream_scorer.operations.dead_letters.query.filters import WAITING, Filter, State
from stream_scorer.runtime.worker.clock import wall_clock_ms

WITHIN_S: Final = {"15m": 900, "1h": 3_600, "6h": 21_600, "24h": 86_400, "7d": 604_800, "30d": 2_592_000}
WITHIN_NAMES: Final = {
    "15m": "15 minutes",
    "1h": "hour",
    "6h": "6 hours",
    "24h": "24 hours",
    "7d": "7 days",
    "30d": "30 days",
}
TEXT_CHARACTERS_MAX: Final = 300
FIELDS: Final = ("code", "field", "stage", "within", "since", "until", "partition", "id", "producer", "text")

Fields = dict[str, str | list[str]]


def filled_fields(given: MultiMapping[str]) -> Fields:
    """What was filled in, and nothing else."""
    fields: Fields = {name: str(given[name])[:TEXT_CHARACTERS_MAX] for name in FIELDS if given.get(name)}
    states = [state for state in State if state in given.getall("state", [])]
    if states and set(states) != WAITING:
        fields["state"] = [state.value for state in states]
    return fields


def query_of(fields: Fields, **changes: str | list[str] | None) -> str:
    """The same as the query of an address, with changes; None leaves a field out."""
    kept = {name: value for name, value in (fields | changes).items() if value not in (None, "", [])}
    return urlencode(kept, doseq=True)


def filter_of(fields: Fields, now_ms: int | None = None) -> Filter:
    """The filter that the fields say. Raises SettingsError with what can't be understood."""
    problems: list[str] = []
    now_ms = now_ms or wall_clock_ms()
    given = {name: value for name, value in fields.items() if isinstance(value, str)}
    since_ms = _time("since", given, problems)
    if (within := given.get("within")) and since_ms is None:
        if within not in WITHIN_S:
            problems.append(f"within: {within!r} is none of {', '.join(WITHIN_S)}")
        since_ms = now_ms - WITHIN_S.get(within, 0) * 1000
    stage = given.get("stage")
    if stage and stage not in list(Stage):
        problems.append(f"stage: {stage!r} is none of {', '.join(Stage)}")
        stage = None
    partition = given.get("partition")
    if partition and not (partition.isascii() and partition.isdigit() and len(partition) < 6):
        problems.append(f"partition: {partition!r} is not a whole number")
        partition = None
    until_ms = _time("until", given, problems)
    if problems:
        raise SettingsError("; ".join(problems))
    states = fields.get("state")
    return Filter(
        code=given.get("code"),
        field=given.get("field"),
        stage=Stage(stage) if stage else None,
        since_ms=since_ms,
        until_ms=until_ms,
        partition=int(partition) if partition else None,
        id=given.get("id"),
        producer=given.get("producer"),
        text=given.get("text"),
        states=frozenset(State(state) for state in states) if isinstance(states, list) else WAITING,
    )


def _time(name: str, given: Mapping[str, str], problems: list[str]) -> int | None:
    said = given.get(name)
    if not said:
        return None
    try:
        return milliseconds(said, default_zone=UTC)
    except ValueError:
        problems.append(f"{name}: {said!r} is not a time like 2026-11-22T08:00")
        return None


def in_words(fields: Fields) -> str:
    """What the fields mean, for a person."""
    given = {name: value for name, value in fields.items() if isinstance(value, str)}
    parts = [
        f"{name} {given[name]}" for name in ("code", "field", "stage", "partition", "id", "producer") if name in given
    ]
    if "text" in given:
        parts.append(f"message contains “{given['text']}”")
    if "since" in given:
        parts.append(f"since {given['since']}")
    elif "within" in given:
        parts.append(f"within {WITHIN_NAMES.get(given['within'], given['within'])}")
    if "until" in given:
        parts.append(f"until {given['until']}")
    states = fields.get("state")
    parts.append(" or ".join(states) if isinstance(states, list) else "open or parked")
    return ", ".join(parts)


CHOICES: Final = {"code": [code.value for code in Code], "stage": [stage.value for stage in Stage]}
