"""The data of the overview: from the workers, or from Kafka if no worker answers.

Invariant: counts that never fall, never rates: what is per second comes of two looks and the time between them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from stream_scorer.core.quality.confidence_intervals import Interval
from stream_scorer.core.quality.figures import GroupGap


class PartitionNow(NamedTuple):
    """One partition as of now. Offsets are those read next; None: not known here."""

    partition: int
    state: str  # open, opening, unowned, committed, unknown
    worker: str = ""
    observations_offset: int | None = None
    outcomes_offset: int | None = None
    observations_unread: int | None = None
    outcomes_unread: int | None = None
    held: int | None = None
    oldest_waiting_s: float | None = None
    ids: int | None = None


class WorkerNow(NamedTuple):
    """One worker as of now. `ready` None: it does not answer, and `state` says why."""

    address: str
    ready: bool | None
    state: str
    version: str = ""
    model: str = ""
    role: str = ""
    threshold: float | None = None
    lanes: tuple[int, ...] = ()


class QualityNow(NamedTuple):
    """How well predictions did, of outcomes joined since some start; None: not known yet."""

    predictions: int
    joined: int
    predicted_positive: int
    actual_positive: int
    success_rate: Interval | None
    recall: Interval | None
    coverage: Interval | None
    gaps: tuple[GroupGap, ...]


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One look. `ended`: records by where they ended since the workers started, or as Kafka has them committed.
    `counted` and `latency_counts` (one for each bound, and one beyond) only grow from look to look, and leave out what
    was counted before the first look at a worker: rates and quantiles come of them."""

    partitions: Sequence[PartitionNow]
    workers: Sequence[WorkerNow] = ()
    trouble: str | None = None
    ended: Mapping[str, int] = field(default_factory=dict)
    counted: Mapping[str, int] = field(default_factory=dict)
    latency_bounds_s: Sequence[float] = ()
    latency_counts: Sequence[int] = ()
    quality: QualityNow | None = None

    @property
    def by_workers(self) -> bool:
        """Whether any worker reported its figures."""
        return any(worker.ready is not None for worker in self.workers)

    @property
    def unread(self) -> int:
        return sum((each.observations_unread or 0) + (each.outcomes_unread or 0) for each in self.partitions)


class SnapshotSource(Protocol):
    """Something whose figures the page shows."""

    async def now(self) -> Snapshot:
        """The figures as of now; quick and without effect. Raises Known where they can't be had."""
