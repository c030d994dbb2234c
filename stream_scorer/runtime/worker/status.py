"""A worker's own figures as JSON, as it serves them at `/status`: one definition for the worker, which writes it, and
for whoever reads it.

Invariant: counts only, since the worker started; nothing of any record. A field is never given another meaning:
`format` grows instead.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

FORMAT: Final = 1

Count = Annotated[int, Meta(ge=0)]


class LaneFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One lane that the worker has. Offsets are those read next; None: not known yet."""

    partition: Annotated[int, Meta(ge=0)]
    is_open: bool
    observations_offset: int | None = None
    outcomes_offset: int | None = None
    observations_unread: int | None = None
    outcomes_unread: int | None = None
    held_records: Count = 0
    oldest_waiting_s: float | None = None
    ids: int | None = None


class JoinedCount(msgspec.Struct, frozen=True, kw_only=True):
    """Outcomes joined so far within one group, without those that corrections took back."""

    column: str
    group: str
    predicted: bool
    actual: bool
    count: int


class WorkerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Everything at `/status`. `instance` names one start of one worker. `latency_counts`: predictions by their
    latency, one number for each bound, and one beyond. `predictions`: without smoke tests."""

    format: Annotated[int, Meta(ge=FORMAT)] = FORMAT
    version: str
    instance: str
    ready: bool
    state: str
    partitions: Count
    model: str | None = None
    role: str | None = None
    threshold: float | None = None
    lanes: list[LaneFigures] = []
    observations: dict[str, Count] = {}
    outcomes: dict[str, Count] = {}
    dead_letters: Count = 0
    latency_bounds_s: list[float] = []
    latency_counts: list[Count] = []
    predictions: Count = 0
    joined: list[JoinedCount] = []
