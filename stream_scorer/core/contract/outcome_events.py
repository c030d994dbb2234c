"""Outcome events, from bytes to ids and true classes.

Invariant: as for observations, two looks that agree.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Annotated, Literal, NamedTuple

import msgspec

from stream_scorer.core.contract import reasons
from stream_scorer.core.contract.batch_decoding import NO_TIMER, ValidEvent, combine_parts, decode_batch
from stream_scorer.core.contract.columns import ID_BYTES_MAX, check_id
from stream_scorer.core.contract.quarantined_batch import QuarantinedBatch
from stream_scorer.core.contract.reasons import Code, Reason
from stream_scorer.core.contract.strict_json import parse_object


class OutcomeEvent(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """What producers send once a search has shown what was there."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=ID_BYTES_MAX)] | int
    true_class: bool | Literal[0, 1]


class DecodedOutcomes(NamedTuple):
    """Outcome events, separated: the valid ones as three lists of one length, in their order, and the others."""

    positions: list[int]
    """Which of the values these are."""
    ids: list[bytes]
    """Their ids in UTF-8."""
    classes: list[bool]
    """What was true."""
    rejected: list[tuple[int, tuple[Reason, ...]]]
    """The position of each value that breaks the contract, with every reason; their stage is always `outcome`."""


decode_event = msgspec.json.Decoder(OutcomeEvent).decode


def decode_outcomes(
    values: Sequence[bytes | None], second_look: AbstractContextManager[None] = NO_TIMER
) -> DecodedOutcomes:
    """Decode and validate a batch; each value is among those that pass or among the rejected, and nothing is raised."""
    return DecodedOutcomes(*decode_batch(values, decode_event, classes_of, validate_outcome, None, second_look))


def classes_of(events: Sequence[OutcomeEvent]) -> list[bool]:
    return [bool(event.true_class) for event in events]


def validate_outcome(value: bytes | None) -> ValidEvent[bool] | tuple[Reason, ...]:
    """The second look: what a faultless event says, else every reason, in order. Slow, and right on any bytes."""
    if isinstance(value, QuarantinedBatch):
        return (value.reason,)
    event = parse_object(value)
    return (event,) if isinstance(event, Reason) else combine_parts(check_id(event), check_class(event))


def check_class(event: Mapping[str, object]) -> bool | tuple[Reason, ...]:
    """An event's true class, or its fault."""
    if "true_class" not in event:
        return (reasons.missing_field(Code.MISSING_TRUE_CLASS, "true_class", event),)
    given = event["true_class"]
    # The type comes first: for Python 1.0 is 1 too.
    if type(given) in (bool, int) and given in (0, 1):
        return bool(given)
    return (reasons.invalid_value("true_class", given, (True, False), Code.INVALID_TRUE_CLASS),)
