"""The figures of the worker that serves the page.

Invariant: counts are read from the very text that Prometheus gets, so that page and dashboards can't differ; a look
costs the worker two milliseconds and never waits for Kafka.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from stream_scorer.core.quality.confidence_intervals import Interval, newcombe, wilson
from stream_scorer.core.quality.counts import GROUP_COLUMNS
from stream_scorer.core.quality.figures import GroupGap
from stream_scorer.operations.console.snapshots.snapshot import PartitionNow, QualityNow, Snapshot
from stream_scorer.runtime.lanes.lane import Lane
from stream_scorer.runtime.worker.service import WorkerService

LATENCY: Final = "stream_scorer_latency_seconds_bucket"
# prediction, then what was true
Cell = tuple[bool, bool]


class WorkerFigures:
    """Asks a delivery."""

    is_worker = True

    def __init__(self, delivery: WorkerService) -> None:
        self._delivery = delivery

    async def now(self) -> Snapshot:
        delivery = self._delivery
        health, speaker = await delivery.is_ready(), delivery.speaker
        lanes = {lane.partition: lane for lane in delivery.lanes}
        samples = list(samples_of(delivery.figures().decode()))
        bounds, counts = latency(samples)
        return Snapshot(
            partitions=[
                self._partition(lanes[number]) if number in lanes else PartitionNow(number, "elsewhere")
                for number in range(delivery.partitions)
            ],
            ready=health.ok,
            state=health.why,
            model=speaker.model if speaker is not None else None,
            role=speaker.role if speaker is not None else None,
            threshold=speaker.threshold if speaker is not None else None,
            ended=ended(samples),
            latency_bounds_s=bounds,
            latency_counts=counts,
            quality=quality(samples, delivery.settings.business.group_outcomes_min),
        )

    def _partition(self, lane: Lane) -> PartitionNow:
        return PartitionNow(
            lane.partition,
            "open" if lane.open else "opening",
            observations_offset=lane.position(lane.observations),
            outcomes_offset=lane.position(lane.outcomes),
            observations_unread=self._delivery.unread(lane.observations),
            outcomes_unread=self._delivery.unread(lane.outcomes),
            held=lane.held_records,
            oldest_waiting_s=self._delivery.oldest_waiting_s(lane) or None,
            ids=lane.state.store.ids_estimate() if lane.open and lane.state is not None else None,
        )


Sample = tuple[str, dict[str, str], float]
# Of all that a worker tells, what the page shows
SHOWN: Final = (
    "stream_scorer_observations_total",
    "stream_scorer_outcomes_total",
    "stream_scorer_dead_letters_total",
    LATENCY,
    "stream_scorer_predictions_total",
    "stream_scorer_joined_total",
    "stream_scorer_joined_retracted_total",
)


def samples_of(text: str) -> Iterator[Sample]:
    """Name, labels and value of each sample that the page shows. The text is our own: no label of these has a quote or
    a comma in it."""
    for line in text.splitlines():
        if not line.startswith(SHOWN):
            continue
        name, _, rest = line.partition("{")
        labels, _, value = rest.rpartition("} ")
        pairs = (pair.partition("=") for pair in labels.split(",")) if labels else ()
        yield name, {label: said.strip('"') for label, _, said in pairs}, float(value or rest)


def ended(samples: list[Sample]) -> dict[str, int]:
    """How many records ended where since the start, as `observations.predicted`; dead letters of both as `letters`."""
    found: Counter[str] = Counter()
    for name, labels, value in samples:
        if "end" in labels:
            found[f"{name.removeprefix('stream_scorer_').removesuffix('_total')}.{labels['end']}"] += int(value)
        elif name == "stream_scorer_dead_letters_total":
            found["letters"] += int(value)
    return dict(found)


def latency(samples: list[Sample]) -> tuple[list[float], list[int]]:
    """Bounds in seconds, and how many predictions lie up to each and above the one before; one more for those above
    all."""
    buckets = sorted((float(labels["le"]), int(value)) for name, labels, value in samples if name == LATENCY)
    counts = [count - before for (_, count), (_, before) in zip(buckets, [(0.0, 0), *buckets], strict=False)]
    return [bound for bound, _ in buckets[:-1]], counts


def quality(samples: list[Sample], group_positives_min: int) -> QualityNow:
    """How well all models' predictions did since the start, without what corrections took back."""
    joined: Counter[tuple[str, str, Cell]] = Counter()
    predictions = 0
    for name, labels, value in samples:
        if name.startswith("stream_scorer_joined"):
            cell = (labels["predicted"] == "true", labels["actual"] == "true")
            sign = -1 if "retracted" in name else 1
            joined[labels["column"], labels["group"], cell] += sign * int(value)
        elif name == "stream_scorer_predictions_total" and labels["column"] == GROUP_COLUMNS[0]:
            predictions += int(value)
    cells: Counter[Cell] = Counter()
    for (column, _, cell), count in joined.items():
        if column == GROUP_COLUMNS[0]:
            cells[cell] += count
    hits, positive = cells[True, True], cells[True, True] + cells[True, False]
    actual, total = cells[True, True] + cells[False, True], sum(cells.values())
    gaps = (_gap(column, joined, group_positives_min) for column in GROUP_COLUMNS)
    return QualityNow(
        predictions=predictions,
        joined=total,
        predicted_positive=positive,
        actual_positive=actual,
        success_rate=_share(hits, positive),
        recall=_share(hits, actual),
        coverage=_share(total, predictions),
        gaps=tuple(gap for gap in gaps if gap is not None),
    )


def _share(part: int, whole: int) -> Interval | None:
    # an outcome may be of a prediction that was made before the start: then there is no share to tell
    return wilson(part, whole) if 0 <= part <= whole else None


def _gap(column: str, joined: Counter[tuple[str, str, Cell]], positives_min: int) -> GroupGap | None:
    groups = sorted({group for name, group, _ in joined if name == column})
    rates = [
        (group, rate)
        for group in groups
        if (positive := joined[column, group, (True, True)] + joined[column, group, (True, False)]) >= positives_min
        and (rate := wilson(joined[column, group, (True, True)], positive)) is not None
    ]
    if len(rates) < 2:
        return None
    (lowest, low), *_, (highest, high) = sorted(rates, key=lambda each: each[1].value)
    return GroupGap(column, highest, lowest, newcombe(high, low))
