"""The figures of the worker that serves the page. Law: it asks what is in memory; a look costs the worker microseconds
and never waits for Kafka.
"""

import time

from stream_scorer.core.quality import figures
from stream_scorer.operations.console.watched import Now, PartitionNow
from stream_scorer.runtime.delivery import Delivery
from stream_scorer.runtime.lanes import Lane
from stream_scorer.runtime.metrics import LATENCY_BOUNDS_S


class WorkerFigures:
    """Asks a delivery."""

    is_worker = True

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery

    async def now(self) -> Now:
        delivery = self._delivery
        health, metrics, business = await delivery.is_ready(), delivery.metrics, delivery.settings.business
        lanes = {lane.partition: lane for lane in delivery.lanes}
        speaker = delivery.speaker
        return Now(
            partitions=[
                self._partition(lanes[number]) if number in lanes else PartitionNow(number, "elsewhere")
                for number in range(delivery.partitions)
            ],
            ready=health.ok,
            state=health.why,
            model=speaker.model if speaker is not None else None,
            role=speaker.role if speaker is not None else None,
            threshold=speaker.threshold if speaker is not None else None,
            ended=metrics.ended(),
            latency_bounds_s=LATENCY_BOUNDS_S,
            latency_counts=metrics.latency_counts,
            quality=figures(metrics.quality.net(), group_positives_min=business.group_outcomes_min),
        )

    def _partition(self, lane: Lane) -> PartitionNow:
        oldest_ms = lane.oldest_waiting_ms()
        held = lane.held_records
        since_s = max(lane.committed_at_s, lane.held_since_s)
        return PartitionNow(
            lane.partition,
            "open" if lane.open else "opening",
            observations_offset=lane.position(lane.observations),
            outcomes_offset=lane.position(lane.outcomes),
            observations_unread=self._delivery.unread(lane, lane.observations),
            outcomes_unread=self._delivery.unread(lane, lane.outcomes),
            held=held,
            oldest_waiting_s=None if oldest_ms is None else max(0.0, time.time() - oldest_ms / 1000),
            commit_age_s=time.monotonic() - since_s if held else 0.0,
            ids=lane.state.store.ids_estimate() if lane.open and lane.state is not None else None,
        )
