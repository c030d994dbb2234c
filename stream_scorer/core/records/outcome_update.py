"""Outcome updates: what is said once an outcome is joined, waits, or has waited in vain; encoded and decoded.

Invariant: an update holds all that the state needs of it, so the state can be made again from the topics alone.
"""

from typing import Annotated, Final

import msgspec

from stream_scorer.core.contract.columns import Observation
from stream_scorer.core.records.decode import Name, TimeText
from stream_scorer.core.records.prediction import Probability as Probability
from stream_scorer.core.records.record import BufferedRecord, Source

Revision = Annotated[int, msgspec.Meta(ge=1, lt=1 << 31)]
# An outcome is never further from its observation than times can be apart
Seconds = Annotated[float, msgspec.Meta(ge=-1e12, le=1e12)]


class Joined(msgspec.Struct, frozen=True, gc=False, tag_field="status", tag="joined"):
    """A prediction and what really happened. `delay_s` is the outcome's event time less the observation's, negative
    where the outcome is the older one; times are RFC 3339 in UTC; `source` is the outcome's; `verdicts` (model to
    decision) is there where several models are loaded."""

    id: str
    revision: Revision
    true_class: bool
    prediction: bool
    proba: Probability
    correct: bool
    model: Name
    role: Name
    observation: Observation
    scored_at: TimeText
    outcome_at: TimeText
    delay_s: Seconds
    source: Source
    verdicts: dict[str, bool] | msgspec.UnsetType = msgspec.UNSET


class AwaitingPrediction(msgspec.Struct, frozen=True, gc=False, tag_field="status", tag="awaiting_prediction"):
    """An outcome that came first, with its record (bytes in base64)."""

    id: str
    true_class: bool
    outcome_at: TimeText
    source: Source
    record: BufferedRecord


class Unknown(msgspec.Struct, frozen=True, gc=False, tag_field="status", tag="unknown"):
    """An outcome whose observation did not come within the join window; its record is in the dead letters."""

    id: str
    true_class: bool
    outcome_at: TimeText
    source: Source


Update = Joined | AwaitingPrediction | Unknown

encode_update: Final = msgspec.json.Encoder().encode
decode_update: Final = msgspec.json.Decoder(Update).decode
