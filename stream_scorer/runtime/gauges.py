"""What a worker's gauges say, looked up when somebody asks.

Law: looking changes nothing and waits for nobody.
"""

import contextlib
import shutil
import time
from collections.abc import Collection
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from stream_scorer.runtime import metric_catalogue as catalogue
from stream_scorer.runtime.intake import Intake
from stream_scorer.runtime.kafka import open_connections
from stream_scorer.runtime.lanes import Lane
from stream_scorer.runtime.metrics import Metrics


def look(metrics: Metrics, intake: Intake | None, *, ready: bool, state_path: Path) -> None:
    """Set every gauge to what is the case now."""
    lanes = list(intake.lanes.values()) if intake is not None else []
    opened = [lane for lane in lanes if lane.open]
    metrics.set(catalogue.LANES, len(opened))
    metrics.set(catalogue.OPENING_LANES, len(lanes) - len(opened))
    metrics.set(catalogue.READY, ready)
    held = sum(lane.held_records for lane in lanes)
    metrics.set(catalogue.HELD_RECORDS, held)
    metrics.set(catalogue.COMMIT_AGE, commit_age_s(lanes))
    oldest_ms = min((oldest for lane in lanes if (oldest := lane.oldest_waiting_ms()) is not None), default=None)
    metrics.set(catalogue.OLDEST_WAITING, 0 if oldest_ms is None else max(0.0, time.time() - oldest_ms / 1000))
    if intake is not None:
        inputs = [(lane, partition) for lane in lanes for partition in lane.inputs]
        unread = sum(unread_records(lane, partition, intake.consumer) for lane, partition in inputs)
        metrics.set(catalogue.LAG_RECORDS, held + unread)
        metrics.set(catalogue.CONNECTIONS, open_connections(intake.consumer))
    stores = [lane.state.store for lane in opened if lane.state is not None]
    metrics.set(catalogue.STATE_IDS, sum(store.ids_estimate() for store in stores))
    metrics.set(catalogue.STATE_BYTES, sum(store.bytes_on_disk() for store in stores))
    disk = shutil.disk_usage(existing(state_path))
    metrics.set(catalogue.DISK_FREE, disk.free)
    metrics.set(catalogue.DISK_SIZE, disk.total)


def commit_age_s(lanes: Collection[Lane]) -> float:
    """The longest time that a lane has held records without a commit."""
    now_s = time.monotonic()
    return max(
        (now_s - max(lane.committed_at_s, lane.held_since_s) for lane in lanes if lane.held_records), default=0.0
    )


def unread_records(lane: Lane, partition: TopicPartition, consumer: AIOKafkaConsumer) -> int:
    """Records of a lane's input that wait in Kafka, as of the last fetch."""
    position = lane.position(partition)
    with contextlib.suppress(KafkaError, AssertionError):  # a partition that was taken from us a moment ago
        end = consumer.highwater(partition)
        return max(0, end - position) if end is not None and position is not None else 0
    return 0


def existing(path: Path) -> Path:
    """The folder, or the nearest above it that is there already."""
    return next(folder for folder in (path, *path.parents) if folder.exists())
