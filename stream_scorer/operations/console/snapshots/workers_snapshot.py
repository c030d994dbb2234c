"""The figures of all workers, as they tell them; of Kafka alone where none of them answers.

Invariant: a sample costs each worker one small response, however many people use the page.
"""

from collections import Counter
from collections.abc import Sequence

from stream_scorer.core.quality.confidence_intervals import Interval, newcombe, wilson
from stream_scorer.core.quality.counts import GROUP_COLUMNS
from stream_scorer.core.quality.figures import GroupGap
from stream_scorer.operations.console.snapshots.kafka_snapshot import TopicFigures
from stream_scorer.operations.console.snapshots.snapshot import PartitionNow, QualityNow, Snapshot, WorkerNow
from stream_scorer.operations.console.snapshots.worker_client import WorkerAnswer, WorkerClient
from stream_scorer.operations.console.snapshots.worker_totals import JoinedKey, WorkerTotals
from stream_scorer.runtime.settings.settings import Settings
from stream_scorer.runtime.worker.status import LaneFigures

# prediction, then what was true
Cell = tuple[bool, bool]


class WorkerFigures:
    """Asks the workers of the settings, and Kafka where it must."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = WorkerClient(settings.console.workers)
        self._kafka = TopicFigures(settings)
        self._totals = WorkerTotals()

    async def now(self) -> Snapshot:
        answers = await self._client.ask()
        statuses = [answer.status for answer in answers if answer.status is not None]
        totals = self._totals
        totals.add(statuses)
        workers = [worker_now(answer) for answer in answers]
        if not statuses:
            return await self._without_workers(workers)
        return Snapshot(
            partitions=partitions_now(answers),
            workers=workers,
            ended=dict(totals.ended),
            counted=dict(totals.counted),
            latency_bounds_s=totals.latency_bounds_s,
            latency_counts=tuple(totals.latency),
            quality=quality_now(totals.joined, totals.predictions, self._settings.business.group_outcomes_min),
        )

    async def _without_workers(self, workers: Sequence[WorkerNow]) -> Snapshot:
        kafka, totals = await self._kafka.now(), self._totals
        named = ", ".join(self._settings.console.workers)
        return Snapshot(
            partitions=kafka.partitions,
            workers=workers,
            trouble=f"No worker answers at {named} (console.workers)." if named else None,
            ended=kafka.ended,
            counted=dict(kafka.ended) | dict(totals.counted),
            latency_bounds_s=totals.latency_bounds_s,
            latency_counts=tuple(totals.latency),
        )

    async def close(self) -> None:
        await self._client.close()
        await self._kafka.close()


def worker_now(answer: WorkerAnswer) -> WorkerNow:
    status = answer.status
    if status is None:
        return WorkerNow(answer.address, None, answer.why)
    return WorkerNow(
        answer.address,
        status.ready,
        status.state,
        version=status.version,
        model=status.model or "",
        role=status.role or "",
        threshold=status.threshold,
        lanes=tuple(lane.partition for lane in status.lanes),
    )


def partitions_now(answers: Sequence[WorkerAnswer]) -> list[PartitionNow]:
    """Every partition with the worker that has it. Where two say so, as in a rebalance, the one that has it open."""
    owned: dict[int, tuple[str, LaneFigures]] = {}
    partitions = 0
    for answer in answers:
        if answer.status is not None:
            partitions = max(partitions, answer.status.partitions)
            for lane in answer.status.lanes:
                if lane.partition not in owned or lane.is_open:
                    owned[lane.partition] = answer.address, lane
    silent = any(answer.status is None for answer in answers)
    return [
        _partition(*owned[number]) if number in owned else PartitionNow(number, "unknown" if silent else "unowned")
        for number in range(partitions)
    ]


def _partition(address: str, lane: LaneFigures) -> PartitionNow:
    return PartitionNow(
        lane.partition,
        "open" if lane.is_open else "opening",
        worker=address,
        observations_offset=lane.observations_offset,
        outcomes_offset=lane.outcomes_offset,
        observations_unread=lane.observations_unread,
        outcomes_unread=lane.outcomes_unread,
        held=lane.held_records,
        oldest_waiting_s=lane.oldest_waiting_s,
        ids=lane.ids,
    )


def quality_now(joined: Counter[JoinedKey], predictions: int, group_positives_min: int) -> QualityNow:
    """How well all models' predictions did since the workers started, without what corrections took back."""
    cells: Counter[Cell] = Counter()
    for (column, _, predicted, actual), count in joined.items():
        if column == GROUP_COLUMNS[0]:
            cells[predicted, actual] += count
    hits, positive = cells[True, True], cells[True, True] + cells[True, False]
    actual_positive, total = cells[True, True] + cells[False, True], sum(cells.values())
    gaps = (_gap(column, joined, group_positives_min) for column in GROUP_COLUMNS)
    return QualityNow(
        predictions=predictions,
        joined=total,
        predicted_positive=positive,
        actual_positive=actual_positive,
        success_rate=_share(hits, positive),
        recall=_share(hits, actual_positive),
        coverage=_share(total, predictions),
        gaps=tuple(gap for gap in gaps if gap is not None),
    )


def _share(part: int, whole: int) -> Interval | None:
    # an outcome may be of a prediction that was made before the start: then there is no share to tell
    return wilson(part, whole) if 0 <= part <= whole else None


def _gap(column: str, joined: Counter[JoinedKey], positives_min: int) -> GroupGap | None:
    groups = sorted({group for name, group, *_ in joined if name == column})
    rates = []
    for group in groups:
        hits = joined[column, group, True, True]
        positive = hits + joined[column, group, True, False]
        if positive >= positives_min and (rate := _share(hits, positive)) is not None:
            rates.append((group, rate))
    if len(rates) < 2:
        return None
    (lowest, low), *_, (highest, high) = sorted(rates, key=lambda each: each[1].value)
    return GroupGap(column, highest, lowest, newcombe(high, low))
