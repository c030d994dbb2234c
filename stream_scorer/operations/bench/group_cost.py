"""What a small batch costs in the step that scores, by the number of lanes that have one at the same time: in a group,
and each alone.

Invariant: both score the same records, none of which the lanes' states know.
"""

import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from stream_scorer.core.observations.limits import Limits
from stream_scorer.core.observations.scoring import FailureThreshold
from stream_scorer.core.records.model_switch import FirstOffsets
from stream_scorer.core.records.partitioner import partition_of
from stream_scorer.operations.sending.event_sources import generated_events
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.lanes.batch import Batch, BatchResult
from stream_scorer.runtime.lanes.group_step import Work
from stream_scorer.runtime.lanes.score_step import ObservationStep
from stream_scorer.runtime.rollout.serving_models import ServingModels
from stream_scorer.runtime.state.pending_writes import PendingWrites
from stream_scorer.runtime.state.restore import open_store
from stream_scorer.runtime.state.rocksdb import shared_memory

LANES: Final = (4, 12, 48)
RECORDS: Final = 2
RUNS: Final = 200


class GroupCost(msgspec.Struct, kw_only=True):
    """Microseconds of processor time for a batch of so many records."""

    lanes: int
    records: int
    grouped_us: float
    alone_us: float


class Read(NamedTuple):
    """A record as it was read."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


async def measure_groups(models: ServingModels, limits: Callable[[int], Limits]) -> list[GroupCost]:
    """The quickest of some runs for each number of lanes. `limits`: by the number of partitions."""
    return [await _measure(models, limits(lanes)) for lanes in LANES]


async def _measure(models: ServingModels, limits: Limits) -> GroupCost:
    lanes = limits.partitions
    now_ms = time.time_ns() // 1_000_000
    step = ObservationStep(TopicNames("bench"), limits, FailureThreshold(0.5, 1_000), lambda: now_ms)
    records = _records(lanes, now_ms)
    with tempfile.TemporaryDirectory(prefix="stream-scorer-groups-") as folder:
        memory = shared_memory(lanes)
        stores = [await open_store(Path(folder), lane, "bench", memory) for lane in range(lanes)]

        def works() -> list[Work]:
            return [
                (Batch(lane, found, (), {}, PendingWrites(store), models, FirstOffsets(0, 0)), BatchResult())
                for lane, (found, store) in enumerate(zip(records, stores, strict=True))
            ]

        async def each_alone(group: list[Work]) -> None:
            for batch, work in group:
                await step.run(batch, work)

        try:
            grouped_s, alone_s = await _quickest(step.run_group, works), await _quickest(each_alone, works)
        finally:
            for store in stores:
                store.close()
    return GroupCost(
        lanes=lanes,
        records=RECORDS,
        grouped_us=round(grouped_s * 1e6 / lanes, 1),
        alone_us=round(alone_s * 1e6 / lanes, 1),
    )


async def _quickest(score: Callable[[list[Work]], Awaitable[None]], works: Callable[[], list[Work]]) -> float:
    best_s = float("inf")
    for _ in range(RUNS):
        group = works()
        began_s = time.thread_time()
        await score(group)
        best_s = min(best_s, time.thread_time() - began_s)
    return best_s


def _records(lanes: int, now_ms: int) -> list[list[Read]]:
    """The first events of each lane's partition."""
    found: list[list[Read]] = [[] for _ in range(lanes)]
    for event in generated_events(1_000 * lanes, seed=7, broken_share=0.0, id_prefix="evt-"):
        own = found[partition_of(event.key or b"", lanes)]
        if len(own) < RECORDS:
            own.append(Read(len(own), now_ms, event.key, event.value))
        if min(map(len, found)) == RECORDS:
            break
    return found
