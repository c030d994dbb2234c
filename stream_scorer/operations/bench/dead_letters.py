"""How long operators wait: grouping many dead letters without and with an index, and replaying some of them mended."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import orjson

from stream_scorer.errors import OutageError
from stream_scorer.operations.audit.report import audit
from stream_scorer.operations.bench.environment import BenchEnvironment, Say, fill, stage
from stream_scorer.operations.bench.throughput import watch
from stream_scorer.operations.sending.event_sources import generated_events
from stream_scorer.operations.sending.schedule import ScheduledEvent
from stream_scorer.runtime.kafka.client import client_options

ID_PREFIX = "let-"
MENDED_ID_PREFIX = "mend-"
# Whose events break in a way that a fix mends; they are replayed
CARELESS = b"careless"
REPLAYED = 10_000


@dataclass(frozen=True)
class LettersPlan:
    """What is measured: `letters` dead letters, and `REPLAYED` more that are mended and replayed."""

    letters: int
    model: Path | None = None
    bootstrap: str | None = None
    seed: int = 7


class LettersFigures(msgspec.Struct, kw_only=True):
    """What came of it: each command as people run it, with its start, in seconds; and what it took of the memory."""

    letters: int
    buried_per_s: int
    list_cold_s: float
    list_warm_s: float
    list_peak_memory_bytes: int
    replayed: int
    replay_s: float
    unaccounted: int
    duplicated: int


class Told(msgspec.Struct):
    """What a command printed, how long it took, and its peak memory."""

    said: dict[str, Any]
    seconds: float
    peak_memory_bytes: int


async def measure_letters(plan: LettersPlan, say: Say) -> LettersFigures:
    """Let a worker to_dead_letter broken events; list them without an index and with it; mend and replay some."""
    async with stage(bootstrap=plan.bootstrap, delivery="exactly-once", model=plan.model, say=say) as on:
        await fill(on, _broken(plan, on.names.observations))
        say(f"{plan.letters + REPLAYED:,} invalid events are waiting")
        watching = asyncio.create_task(watch(on, on.names.observations))
        await asyncio.to_thread(on.worker.start().wait_ready)
        buried_per_s = (await watching).events_per_s(plan.letters + REPLAYED)
        say("Listing them, without an index and with it")
        cold = await _dead_letters(on, "list")
        warm = await _dead_letters(on, "list")
        say(f"Fixing and replaying {REPLAYED:,}")
        replayed = await _dead_letters(on, "replay", "--producer", CARELESS.decode(), "--fix", "match-case", "--yes")
        await asyncio.to_thread(on.worker.stop)
        say("Counting where every record ended")
        report = await audit(client_options(on.settings.kafka), on.names, on.settings.group_name)
        return LettersFigures(
            letters=plan.letters + REPLAYED,
            buried_per_s=round(buried_per_s),
            list_cold_s=round(cold.seconds, 2),
            list_warm_s=round(warm.seconds, 2),
            list_peak_memory_bytes=cold.peak_memory_bytes,
            replayed=replayed.said["replayed"],
            replay_s=round(replayed.seconds, 2),
            unaccounted=report.unaccounted,
            duplicated=report.duplicated + report.predicted_twice,
        )


async def _dead_letters(on: BenchEnvironment, *arguments: str) -> Told:
    """A command of an operator in a process of its own. OutageError where it fails."""
    kafka, prefix = on.settings.kafka.bootstrap, on.settings.topics.prefix
    command = [sys.executable, "-m", "stream_scorer", "dead-letters", *arguments, "--json"]
    return await asyncio.to_thread(
        _run,
        [*command, "--bootstrap", kafka, "--prefix", prefix],
        {"STREAM_SCORER_WORKER_STATE_FOLDER": on.settings.worker.state_folder},
    )


def _run(command: list[str], environ: dict[str, str]) -> Told:
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, **environ}) as process:
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise OutageError(f"`{' '.join(command[2:])}` ended with exit status {process.returncode}: run it by hand.")
    return Told(orjson.loads(printed), time.perf_counter() - began, used.ru_maxrss * 1024)


def _broken(plan: LettersPlan, topic: str) -> Iterator[ScheduledEvent]:
    for event in generated_events(plan.letters, seed=plan.seed, broken_share=1.0, id_prefix=ID_PREFIX):
        yield ScheduledEvent(0.0, topic, event.key, event.value, None)
    for event in generated_events(REPLAYED, seed=plan.seed, broken_share=0.0, id_prefix=MENDED_ID_PREFIX):
        value = orjson.loads(event.value)
        value["observation"]["SubjectSexCode"] = value["observation"]["SubjectSexCode"].lower()
        yield ScheduledEvent(0.0, topic, event.key, orjson.dumps(value), None, [("client-id", CARELESS)])
