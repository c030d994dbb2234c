"""How fast outcomes are joined, and how fast a worker's state comes back: from its own store, from the topics alone."""

import asyncio
import re
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from stream_scorer.operations.audit.report import audit
from stream_scorer.operations.bench.environment import BenchEnvironment, Say, fill, stage
from stream_scorer.operations.bench.shadow_models import deploy_shadows
from stream_scorer.operations.bench.throughput import ID_PREFIX, watch
from stream_scorer.operations.sending.event_sources import encode_outcome, generated_events
from stream_scorer.operations.sending.schedule import ScheduledEvent
from stream_scorer.runtime.kafka.client import client_options
from stream_scorer.runtime.state.state_directory import bytes_on_disk, delete_stores, find_stores

SEED = 7
RESTORED = re.compile(r"lane \d+ restored in ([\d.]+) s from (\d+) predictions and (\d+) outcome updates")


class JoinFigures(msgspec.Struct, kw_only=True):
    """What came of it. Rates of joining and scoring are from the first to the last commit; `restored_per_s` and
    `restored_joined_per_s` are ids a second, over all lanes, from the topics alone; `bytes_an_id` is on disk once all
    are joined; `peak_memory_bytes` the most that the worker took while it scored or joined.
    """

    ids: int
    id_bytes: int
    scored_per_s: int
    joined_per_s: int
    restored_per_s: int
    restored_joined_per_s: int
    ready_with_store_s: float
    bytes_an_id: float
    peak_memory_bytes: int
    unaccounted: int
    duplicated: int


async def measure_joins(
    ids: int, model: Path | None, bootstrap: str | None, say: Say, *, shadows: int = 0
) -> JoinFigures:
    """Score, restore, join, start again with what is there, restore again; then account for every record. `shadows`:
    how many are deployed beside the champion."""
    async with stage(bootstrap=bootstrap, delivery="exactly-once", model=model, say=say) as on:
        if shadows:
            await deploy_shadows(on, shadows)
        await fill(on, _observations(ids, on.names.observations))
        say(f"{ids:,} observations are waiting")
        scored_per_s, scoring_bytes = await _work_off(on, on.names.observations, ids)
        restored_per_s = await _restore_from_topics(on, ids)
        await fill(on, _outcomes(ids, on.names.outcomes))
        say(f"{ids:,} outcomes are waiting")
        joined_per_s, joining_bytes = await _work_off(on, on.names.outcomes, ids)
        stores = find_stores(on.worker_state)
        bytes_an_id = sum(map(bytes_on_disk, stores)) / ids
        ready_s = await _start(on)
        await asyncio.to_thread(on.worker.stop)
        restored_joined_per_s = await _restore_from_topics(on, ids)
        say("Counting where every record ended")
        report = await audit(client_options(on.settings.kafka), on.names, on.settings.group_name, count_unread=True)
        return JoinFigures(
            ids=ids,
            id_bytes=len(ID_PREFIX) + 8,
            scored_per_s=round(scored_per_s),
            joined_per_s=round(joined_per_s),
            restored_per_s=round(restored_per_s),
            restored_joined_per_s=round(restored_joined_per_s),
            ready_with_store_s=round(ready_s, 2),
            bytes_an_id=round(bytes_an_id, 1),
            peak_memory_bytes=max(scoring_bytes, joining_bytes),
            unaccounted=report.unaccounted,
            duplicated=report.duplicated + report.predicted_twice,
        )


async def _start(on: BenchEnvironment) -> float:
    """Start the worker; seconds until it was ready."""
    started = time.perf_counter()
    await asyncio.to_thread(on.worker.start().wait_ready)
    return time.perf_counter() - started


async def _work_off(on: BenchEnvironment, topic: str, records: int) -> tuple[float, int]:
    """Records a second of a topic that waits, by a worker that is started for it and stopped again; and its peak
    memory."""
    watching = asyncio.create_task(watch(on, topic))
    await _start(on)
    progress, memory = await watching, on.worker.memory_peak_bytes()
    await asyncio.to_thread(on.worker.stop)
    return progress.events_per_s(records), memory


async def _restore_from_topics(on: BenchEnvironment, ids: int) -> float:
    """Ids a second that a worker without a store restores; its lanes do so at once, so the slowest one counts."""
    delete_stores(on.worker_state)
    told = len(on.worker.log())
    await _start(on)
    await asyncio.to_thread(on.worker.stop)
    return ids / max(float(seconds) for seconds, _, _ in RESTORED.findall(on.worker.log()[told:]))


def _observations(ids: int, topic: str) -> Iterator[ScheduledEvent]:
    for event in generated_events(ids, seed=SEED, broken_share=0.0, id_prefix=ID_PREFIX):
        yield ScheduledEvent(0.0, topic, event.key, event.value, None)


def _outcomes(ids: int, topic: str) -> Iterator[ScheduledEvent]:
    for event in generated_events(ids, seed=SEED, broken_share=0.0, id_prefix=ID_PREFIX):
        yield ScheduledEvent(0.0, topic, event.key, encode_outcome(event.id or "", event.true_class), None)
