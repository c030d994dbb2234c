"""The contract without Kafka.

Invariant: what passes here passes there, because both are the core's own look at the bytes.
"""

from collections.abc import Mapping

import msgspec

from stream_scorer.core.contract.batch_decoding import ValidEvent
from stream_scorer.core.contract.columns import EVENT_BYTES_MAX
from stream_scorer.core.contract.observation_events import validate_observation
from stream_scorer.core.contract.outcome_events import validate_outcome
from stream_scorer.core.contract.reasons import Reason

Event = bytes | str | Mapping[str, object]

encode_event = msgspec.json.Encoder().encode


def check(event: Event, *, event_bytes_max: int = EVENT_BYTES_MAX) -> tuple[Reason, ...]:
    """Every reason for which an observation event would be refused, in order; none: it keeps the contract.

    `event`: the JSON as it would be sent, or the object itself. A conflict with what was sent before, and what a model
    makes of it, only the worker knows.
    """
    found = validate_observation(encoded(event), event_bytes_max)
    return () if isinstance(found, ValidEvent) else found


def check_outcome(event: Event) -> tuple[Reason, ...]:
    """The same for an outcome event."""
    found = validate_outcome(encoded(event))
    return () if isinstance(found, ValidEvent) else found


def encoded(event: Event) -> bytes:
    """The bytes that are sent for an event."""
    if isinstance(event, bytes):
        return event
    return event.encode("utf-8", "surrogatepass") if isinstance(event, str) else encode_event(event)
