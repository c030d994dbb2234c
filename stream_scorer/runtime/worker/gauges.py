"""What a worker's gauges say, looked up when somebody asks.

Invariant: looking changes nothing and waits for nobody.
"""

import shutil
import time
from collections.abc import Collection
from pathlib import Path

from stream_scorer.runtime.kafka.client import open_connections
from stream_scorer.runtime.lanes.consumer import ConsumerLoop
from stream_scorer.runtime.lanes.consumer_lag import ConsumerLag
from stream_scorer.runtime.lanes.lane import Lane
from stream_scorer.runtime.metrics import catalogue as catalogue
from stream_scorer.runtime.metrics.registry import Metrics
from stream_scorer.runtime.worker.status import LaneFigures


def update_gauges(metrics: Metrics, consumer_loop: ConsumerLoop | None, *, ready: bool, state_path: Path) -> None:
    """Set every gauge to what is the case now."""
    lanes = list(consumer_loop.lanes.values()) if consumer_loop is not None else []
    opened = [lane for lane in lanes if lane.open]
    metrics.set(catalogue.LANES, len(opened))
    metrics.set(catalogue.OPENING_LANES, len(lanes) - len(opened))
    metrics.set(catalogue.READY, ready)
    held = sum(lane.held_records for lane in lanes)
    metrics.set(catalogue.HELD_RECORDS, held)
    metrics.set(catalogue.COMMIT_AGE, commit_age_s(lanes))
    if consumer_loop is not None:
        metrics.set(
            catalogue.OLDEST_UNCOMMITTED_RECORD_AGE,
            max((oldest_s(lane, consumer_loop.backlog) for lane in lanes), default=0.0),
        )
        metrics.set(catalogue.CONSUMER_LAG, held + sum(map(consumer_loop.backlog.unread, consumer_loop.inputs)))
        metrics.set(catalogue.CONNECTIONS, open_connections(consumer_loop.consumer))
    stores = [lane.state.store for lane in opened if lane.state is not None]
    metrics.set(catalogue.STATE_IDS, sum(store.ids_estimate() for store in stores))
    metrics.set(catalogue.STATE_BYTES, sum(store.bytes_on_disk() for store in stores))
    disk = shutil.disk_usage(existing(state_path))
    metrics.set(catalogue.DISK_FREE, disk.free)
    metrics.set(catalogue.DISK_SIZE, disk.total)


def lane_statuses(consumer_loop: ConsumerLoop) -> list[LaneFigures]:
    """Every lane that is ours now, by partition."""
    backlog = consumer_loop.backlog
    return [
        LaneFigures(
            partition=lane.partition,
            is_open=lane.open,
            observations_offset=lane.position(lane.observations),
            outcomes_offset=lane.position(lane.outcomes),
            observations_unread=backlog.unread(lane.observations),
            outcomes_unread=backlog.unread(lane.outcomes),
            held_records=lane.held_records,
            oldest_waiting_s=oldest_s(lane, backlog) or None,
            ids=lane.state.store.ids_estimate() if lane.open and lane.state is not None else None,
        )
        for _, lane in sorted(consumer_loop.lanes.items())
    ]


def commit_age_s(lanes: Collection[Lane]) -> float:
    """The longest time that a lane has held records without a commit."""
    now_s = time.monotonic()
    return max(
        (now_s - max(lane.committed_at_s, lane.held_since_s) for lane in lanes if lane.held_records), default=0.0
    )


def oldest_s(lane: Lane, backlog: ConsumerLag) -> float:
    """The age of the oldest record of a lane that is not committed, at least: by its timestamp where it was read."""
    held_ms = lane.oldest_waiting_ms()
    held_s = 0.0 if held_ms is None else time.time() - held_ms / 1000
    return max(0.0, held_s, *map(backlog.waits_s, lane.inputs))


def existing(path: Path) -> Path:
    """The folder, or the nearest above it that is there already."""
    return next(folder for folder in (path, *path.parents) if folder.exists())
