"""What shadows cost: the same backlog with the champion alone and with one shadow more each time, in turns.

Invariant: a run in which a shadow missed an observation is a fault, however fast it was.
"""

from dataclasses import replace
from typing import Final

import msgspec

from stream_scorer.operations.bench.comparison import bench_broker, medians, numbers_of
from stream_scorer.operations.bench.environment import Say
from stream_scorer.operations.bench.throughput import BacklogPlan, measure_backlog

SHOWN: Final = ("events_per_s", "cpu_seconds", "peak_memory_bytes", "shadow_predictions")


class ShadowFigures(msgspec.Struct, kw_only=True):
    """Medians of `rounds` by number of shadows, from none on. `ratio`: of the throughput of the champion alone."""

    rounds: int
    only_disagreements: bool
    figures: list[dict[str, float]]
    ratio: list[float]
    unaccounted: int
    duplicated: int
    shadows_missing: int


async def measure_shadows(plan: BacklogPlan, rounds: int, say: Say) -> ShadowFigures:
    """Measure none to `plan.shadows` shadows in turns, so that what changes on the machine changes for all."""
    runs: list[list[dict[str, float]]] = [[] for _ in range(plan.shadows + 1)]
    async with bench_broker(plan.bootstrap, say) as address:
        for number in range(rounds):
            for shadows, found in enumerate(runs):
                say(f"Round {number + 1} of {rounds}: {shadows} shadows")
                figures = await measure_backlog(replace(plan, bootstrap=address, shadows=shadows), say)
                found.append(numbers_of(msgspec.to_builtins(figures)))
    every = [run for found in runs for run in found]
    middle = [medians(found) for found in runs]
    return ShadowFigures(
        rounds=rounds,
        only_disagreements=plan.only_disagreements,
        figures=[{name: each[name] for name in SHOWN} for each in middle],
        ratio=[round(each["events_per_s"] / middle[0]["events_per_s"], 3) for each in middle],
        unaccounted=int(sum(run["unaccounted"] for run in every)),
        duplicated=int(sum(run["duplicated"] for run in every)),
        shadows_missing=int(sum(run["shadows_missing"] for run in every)),
    )
