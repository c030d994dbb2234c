"""A record batch that is not unfolded: what is kept of it, and what is known of it without a look inside.

Invariant: it stands where a record's value stands, as bytes that no contract accepts, so it goes the way of every bad
record and ends as one dead letter for all offsets of the batch.
"""

from typing import Annotated, Final, Self

import msgspec

from stream_scorer.core.contract.reasons import Reason

_Offset = Annotated[int, msgspec.Meta(ge=0, lt=1 << 44)]
_Text = Annotated[str, msgspec.Meta(max_length=64)]

KEPT_OF_BATCH_BYTES: Final = 64 * 1024


class BatchSummary(msgspec.Struct, frozen=True):
    """What a batch's header says, and its bytes as they were fetched: their number and digest. The broker has checked
    offsets and the number of records."""

    codec: _Text
    bytes: Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)]
    sha256: _Text
    first_offset: _Offset
    last_offset: _Offset
    records: Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)]


class QuarantinedBatch(bytes):
    """The first bytes of a batch as they were fetched; `reason` says why it was not unfolded."""

    summary: BatchSummary
    reason: Reason

    @classmethod
    def of(cls, kept: bytes, summary: BatchSummary, reason: Reason) -> Self:
        made = cls(kept)
        made.summary, made.reason = summary, reason
        return made
