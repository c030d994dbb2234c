"""How fast one worker gets through a backlog: from the first to the last committed record, as the group's committed
offsets tell from outside.
"""

import asyncio
import random
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
from aiokafka import TopicPartition

from stream_scorer.core.records.partitioner import partition_of
from stream_scorer.errors import OutageError
from stream_scorer.operations.audit.report import audit
from stream_scorer.operations.bench.environment import BenchEnvironment, Say, fill, stage
from stream_scorer.operations.bench.shadow_models import deploy_shadows
from stream_scorer.operations.reading.group_offsets import GroupPosition
from stream_scorer.operations.sending.event_sources import SourceEvent, generated_events
from stream_scorer.operations.sending.schedule import ScheduledEvent
from stream_scorer.runtime.kafka.client import client_options

POLL_S = 0.02
SETTLED_S = 1.0
STALLED_S = 30.0
# 12 bytes with the generator's eight digits
ID_PREFIX = "evt-"
SHADOW_PREDICTIONS = "stream_scorer_shadow_predictions_total"
SHADOWS_MISSING = "stream_scorer_shadows_missing_total"


@dataclass(frozen=True)
class BacklogPlan:
    """What is measured."""

    events: int = 400_000
    broken_share: float = 0.03
    moved_share: float = 0.0
    delivery: str = "exactly-once"
    model: Path | None = None
    bootstrap: str | None = None
    seed: int = 7
    partitions: int | None = None
    tree: Path | None = None
    shadows: int = 0
    only_disagreements: bool = False


class BacklogFigures(msgspec.Struct, kw_only=True):
    """What came of it. `events_per_s`: events a second from the first to the last commit, without those that the
    first one seen already held.
    """

    events: int
    events_per_s: int
    seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    guarantee: str
    ready_s: float
    fill_events_per_s: int
    predictions: int
    dead_letters: int
    redelivered: int
    moved: int
    unaccounted: int
    duplicated: int
    shadow_predictions: int
    shadows_missing: int


@dataclass(frozen=True)
class ThroughputProgress:
    """Commits seen: when the first and the last one were, and how many records each of the two reported. `before_at`:
    the last look that saw none."""

    before_at: float
    first_at: float
    first_records: int
    last_at: float
    last_records: int

    @property
    def seconds(self) -> float:
        return self.last_at - self.first_at

    def events_per_s(self, events: int) -> float:
        """A moved event is committed twice, so the share of all commits stands for the share of the events. Where one
        look saw everything, since the look before it."""
        if not self.seconds:
            return events / (self.last_at - self.before_at)
        return events * (1 - self.first_records / self.last_records) / self.seconds


async def measure_backlog(plan: BacklogPlan, say: Say) -> BacklogFigures:
    """Fill, start the worker, watch until everything is committed, then audit it all."""
    async with stage(
        bootstrap=plan.bootstrap,
        delivery=plan.delivery,
        model=plan.model,
        say=say,
        partitions=plan.partitions,
        tree=plan.tree,
        only_disagreements=plan.only_disagreements,
    ) as on:
        if plan.shadows:
            await deploy_shadows(on, plan.shadows)
        filled_per_s = await _fill(plan, on)
        say(f"{plan.events:,} events are waiting ({filled_per_s:,.0f} a second); starting the worker")
        watching = asyncio.create_task(watch(on, on.names.observations))
        started = time.perf_counter()
        await asyncio.to_thread(on.worker.start().wait_ready)
        ready_s = time.perf_counter() - started
        progress = await watching
        cpu_s, memory = on.worker.cpu_seconds(), on.worker.memory_peak_bytes()
        say(f"Committed after {progress.seconds:.2f} s; counting where every record ended")
        shadow = {name: _total(on.worker.metrics(), name) for name in (SHADOW_PREDICTIONS, SHADOWS_MISSING)}
        await asyncio.to_thread(on.worker.stop)
        report = await audit(client_options(on.settings.kafka), on.names, on.settings.group_name, count_unread=True)
        return BacklogFigures(
            events=plan.events,
            events_per_s=round(progress.events_per_s(plan.events)),
            seconds=round(progress.seconds, 3),
            cpu_seconds=round(cpu_s, 2),
            peak_memory_bytes=memory,
            guarantee=plan.delivery,
            ready_s=round(ready_s, 2),
            fill_events_per_s=round(filled_per_s),
            predictions=report.ended["prediction"],
            dead_letters=report.ended["dead_letter"],
            redelivered=report.ended["redelivery"],
            moved=report.ended["move"],
            unaccounted=report.unaccounted,
            duplicated=report.duplicated + report.predicted_twice,
            shadow_predictions=shadow[SHADOW_PREDICTIONS],
            shadows_missing=shadow[SHADOWS_MISSING],
        )


def _total(metrics: str, name: str) -> int:
    """A counter without labels, as the worker says it."""
    found = re.search(rf"^{name} ([0-9.e+]+)$", metrics, re.MULTILINE)
    return 0 if found is None else int(float(found[1]))


async def _fill(plan: BacklogPlan, on: BenchEnvironment) -> float:
    """Events a second that went in."""
    started = time.perf_counter()
    delivered = await fill(on, events_of(plan, on.names.observations, on.partitions))
    return delivered / (time.perf_counter() - started)


def generated(plan: BacklogPlan) -> Iterator[SourceEvent]:
    """The backlog's events, the same at each call."""
    return generated_events(plan.events, seed=plan.seed, broken_share=plan.broken_share, id_prefix=ID_PREFIX)


def events_of(plan: BacklogPlan, topic: str, partitions: int) -> Iterator[ScheduledEvent]:
    """The backlog as it is sent, some of it on a wrong partition."""
    draw = random.Random(plan.seed)
    for event in generated(plan):
        wrong = None
        if plan.moved_share and draw.random() < plan.moved_share:
            wrong = (partition_of(event.key or b"", partitions) + draw.randrange(1, partitions)) % partitions
        yield ScheduledEvent(0.0, topic, event.key, event.value, wrong)


async def watch(on: BenchEnvironment, topic: str) -> ThroughputProgress:
    """Ask for the group's committed offsets of a topic fifty times a second until nothing is left; OutageError when
    nothing moves for long.
    """
    lanes = [TopicPartition(topic, partition) for partition in range(on.partitions)]
    first: tuple[float, int] | None = None
    before_at = time.perf_counter()
    last = (before_at, 0)
    async with GroupPosition(on.settings.kafka, on.settings.group_name) as position:
        while True:
            await asyncio.sleep(POLL_S)
            committed = await position.committed(lanes)
            now, records = time.perf_counter(), sum(committed.values())
            if records > last[1]:
                first, last = first or (now, records), (now, records)
            elif not first:
                before_at = now
            elif first and now - last[0] > SETTLED_S:
                ends = await position.ends(lanes)
                # behind the last record may stand markers of the transactions that moved records here, one of each lane
                if all(ends[lane] - committed.get(lane, 0) <= on.partitions for lane in lanes):
                    return ThroughputProgress(before_at, *first, *last)
            if now - last[0] > STALLED_S:
                raise OutageError(
                    f"the worker has committed nothing for {STALLED_S:.0f} s, after {last[1]:,} records; "
                    f"{on.worker.last_words()}"
                )
