"""Shadow predictions: what models that nobody acts on would have said, beside what was published.

Invariant: every shadow that answered stands in the record of its observation; one that did not is missing there.
"""

from typing import Final

import msgspec

from stream_scorer.core.records.outcome_update import Probability
from stream_scorer.core.records.prediction import Role
from stream_scorer.core.records.record import Source


class PublishedPrediction(msgspec.Struct, frozen=True, gc=False):
    """The published prediction of the same observation."""

    model: str
    role: Role
    prediction: bool
    proba: Probability


class UnpublishedPrediction(msgspec.Struct, frozen=True, gc=False):
    """What one shadow would have said."""

    model: str
    prediction: bool
    proba: Probability
    threshold: Probability


class ShadowPrediction(msgspec.Struct, frozen=True, gc=False):
    """One observation as the shadows see it; `scored_at` is RFC 3339 in UTC."""

    id: str
    observation_code: int
    source: Source
    scored_at: str
    published: PublishedPrediction
    shadows: tuple[UnpublishedPrediction, ...]


encode_shadow_prediction: Final = msgspec.json.Encoder().encode
decode_shadow_prediction: Final = msgspec.json.Decoder(ShadowPrediction).decode
