"""The five bytes that clients of a schema registry put before a value: a zero and the schema's number.

Invariant: no JSON begins with a zero byte, so a frame is never part of an event; records keep theirs wherever they go.
"""

from collections.abc import Sequence
from typing import Final

from stream_scorer.core.contract.quarantined_batch import QuarantinedBatch

FRAME_BYTES: Final = 5
_ZERO: Final = b"\0"


def schema_frame_of(value: bytes | None) -> bytes:
    """The frame that a value begins with; empty where it has none."""
    return value[:FRAME_BYTES] if value is not None and value.startswith(_ZERO) and len(value) > FRAME_BYTES else b""


def without_frame(value: bytes | None) -> bytes | None:
    """The value behind its frame, or the value itself."""
    if value is None or isinstance(value, QuarantinedBatch):  # a batch begins with a zero too
        return value
    return value[len(schema_frame_of(value)) :]


def without_frames(values: Sequence[bytes | None]) -> Sequence[bytes | None]:
    """The values behind their frames, those without one as they are."""
    return [without_frame(value) for value in values]
