"""The input that an output names, read from one header or field alone: the position, the topic, the codes of reasons.

Invariant: only what these fields need is decoded, so that a record of another version, or of another program, is read
as far as it can be.
"""

from typing import Final

import msgspec

from stream_scorer.core.records.record import Source


class TopicSource(Source, frozen=True, gc=False):
    """The source of a dead letter: a position with its topic."""

    topic: str


class ReasonCode(msgspec.Struct, gc=False):
    """The code of a reason."""

    code: str


decode_source: Final = msgspec.json.Decoder(Source).decode
decode_topic_source: Final = msgspec.json.Decoder(TopicSource).decode
decode_reason_codes: Final = msgspec.json.Decoder(list[ReasonCode]).decode
