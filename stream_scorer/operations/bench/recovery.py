"""How long records wait when workers come and go: the pause while one joins, and the time after one is killed."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import msgspec
from aiokafka import TopicPartition

from stream_scorer.operations.audit.report import audit
from stream_scorer.operations.bench.environment import BenchEnvironment, Say, stage
from stream_scorer.operations.reading.group_offsets import GroupPosition
from stream_scorer.operations.sending.event_sender import EventSender
from stream_scorer.operations.sending.event_sources import generated_events
from stream_scorer.operations.sending.schedule import ScheduledEvent
from stream_scorer.operations.sending.scheduled_send import play
from stream_scorer.runtime.kafka.client import client_options

ID_PREFIX = "rec-"
POLL_S = 0.02
# Between the steps, so that each is seen by itself
CALM_S = 5.0
# Beyond this a lane is not coming back
RECOVERY_S_MAX = 120.0
# More than all steps take; sending ends with them
SENDING_S_MAX = 600.0


@dataclass(frozen=True)
class RecoveryPlan:
    """What is measured: two workers at `rate` events a second, a third joins, then one of them is killed."""

    rate: float = 400.0
    model: Path | None = None
    bootstrap: str | None = None
    seed: int = 7


class RecoveryFigures(msgspec.Struct, kw_only=True):
    """What came of it, in seconds: the longest time that a partition with records went without a commit around a
    worker's joining, and before it; and from the kill until every partition was committed again.
    """

    rate: float
    calm_pause_s: float
    joining_pause_s: float
    killed_to_commit_s: float
    unaccounted: int
    duplicated: int


class Commits:
    """When each partition's committed offset moved; on the clock of `time.perf_counter`."""

    def __init__(self, on: BenchEnvironment) -> None:
        self._on = on
        self._lanes = [TopicPartition(on.names.observations, partition) for partition in range(on.partitions)]
        self.moved_at: dict[TopicPartition, list[float]] = {lane: [] for lane in self._lanes}

    async def watch(self) -> None:
        """Note commits until cancelled."""
        known = dict.fromkeys(self._lanes, 0)
        async with GroupPosition(self._on.settings.kafka, self._on.settings.group_name) as position:
            while True:
                committed = await position.committed(self._lanes)
                now = time.perf_counter()
                for lane, offset in committed.items():
                    if offset > known[lane]:
                        known[lane] = offset
                        self.moved_at[lane].append(now)
                await asyncio.sleep(POLL_S)

    def longest_pause_s(self, since: float) -> float:
        """The longest time without a commit that any partition saw since then, and until now."""
        now = time.perf_counter()
        return max(
            behind - before
            for moments in self.moved_at.values()
            for before, behind in pairwise([since, *(moment for moment in moments if moment > since), now])
        )

    async def all_moved_after(self, moment: float) -> float:
        """When the last of the partitions was first committed after a moment. Raises TimeoutError."""
        async with asyncio.timeout(RECOVERY_S_MAX):
            while any(not moments or moments[-1] <= moment for moments in self.moved_at.values()):
                await asyncio.sleep(POLL_S)
        return max(next(at for at in moments if at > moment) for moments in self.moved_at.values())


async def measure_recovery(plan: RecoveryPlan, say: Say) -> RecoveryFigures:
    """Send at a fixed rate all the time; watch the group's commits from outside; then account for every record."""
    async with stage(bootstrap=plan.bootstrap, delivery="exactly-once", model=plan.model, say=say) as on:
        second, third = on.another("second"), on.another("third")
        for worker in (on.worker, second):
            await asyncio.to_thread(worker.start().wait_ready)
        commits = Commits(on)
        watching = asyncio.create_task(commits.watch())
        over = asyncio.Event()
        sending = asyncio.create_task(_send(plan, on, over))
        try:
            await commits.all_moved_after(time.perf_counter())
            say("Two workers are running; a third one joins")
            calm_s = await _calm(commits)
            began = time.perf_counter()
            await asyncio.to_thread(third.start().wait_ready)
            await asyncio.sleep(CALM_S)
            joining_s = commits.longest_pause_s(began)
            say("The first worker is killed")
            await asyncio.to_thread(on.worker.kill)
            killed = time.perf_counter()
            # commits of the moment before may be seen a moment later
            recovered = await commits.all_moved_after(killed + 2 * POLL_S)
            over.set()
            await sending
        finally:
            for task in (watching, sending):
                task.cancel()
            await asyncio.gather(watching, sending, return_exceptions=True)
        for worker in (second, third):
            await asyncio.to_thread(worker.stop)
        report = await audit(client_options(on.settings.kafka), on.names, on.settings.group_name)
        return RecoveryFigures(
            rate=plan.rate,
            calm_pause_s=round(calm_s, 2),
            joining_pause_s=round(joining_s, 2),
            killed_to_commit_s=round(recovered - killed, 2),
            unaccounted=report.unaccounted,
            duplicated=report.duplicated + report.predicted_twice,
        )


async def _calm(commits: Commits) -> float:
    began = time.perf_counter()
    await asyncio.sleep(CALM_S)
    return commits.longest_pause_s(began)


async def _send(plan: RecoveryPlan, on: BenchEnvironment, over: asyncio.Event) -> None:
    async with EventSender(client_options(on.settings.kafka)) as sender:
        await play(sender, _events(plan, on.names.observations), paced=True, is_over=over.is_set)


def _events(plan: RecoveryPlan, topic: str) -> Iterator[ScheduledEvent]:
    count = round(plan.rate * SENDING_S_MAX)
    for number, event in enumerate(generated_events(count, seed=plan.seed, broken_share=0.0, id_prefix=ID_PREFIX)):
        yield ScheduledEvent(number / plan.rate, topic, event.key, event.value)
