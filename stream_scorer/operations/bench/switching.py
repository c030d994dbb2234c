"""What a switch of models costs those who wait for predictions: latency at a fixed rate in calm seconds, in those of a
switch, and in those in which a worker loads a model of a hundred trees.
"""

import asyncio
import contextlib
import functools
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from stream_scorer.errors import OutageError
from stream_scorer.models.artifacts.files import FILES, read_files
from stream_scorer.models.registry.default_model import generated_rows
from stream_scorer.models.registry.model_directory import load_model, save_model
from stream_scorer.operations.bench.environment import Say, stage
from stream_scorer.operations.bench.latency import send_and_read
from stream_scorer.operations.harness.latency_percentiles import latency_figures
from stream_scorer.operations.rollout.model_store import NewModel
from stream_scorer.operations.rollout.planned_act import PlannedAct
from stream_scorer.operations.rollout.service import Rollout, open_rollout, served
from stream_scorer.operations.sending.event_sources import generated_events

ID_PREFIX: Final = "swi-"
SHARES: Final = (0.5, 0.99)
TREES: Final = 100
ROWS: Final = 20_000
SWITCH_S_MAX: Final = 60.0
# What a switch holds up is still read a moment later
AFTER_S: Final = 0.5


@dataclass(frozen=True)
class SwitchPlan:
    """What is measured: `rate` events a second; after a warm-up `seconds` of calm, `switches` between two champions,
    and as many loads of a model of a hundred trees."""

    rate: float
    seconds: float = 20.0
    warm_up_s: float = 40.0
    switches: int = 5
    bootstrap: str | None = None
    seed: int = 7


class SwitchFigures(msgspec.Struct, kw_only=True):
    """Latency in milliseconds, by when an event was due: `calm_ms` before the first switch; `switching_ms` from when a
    control record was written until half a second after every lane served it; `loading_ms` the same, where the worker
    had to load a hundred trees first. `..._s`: how many seconds that was in all."""

    rate: float
    switches: int
    calm_ms: dict[str, float]
    switching_ms: dict[str, float]
    loading_ms: dict[str, float]
    calm_s: float
    switching_s: float
    loading_s: float
    unanswered: int


class Window(NamedTuple):
    """From when to when, in seconds since the first event was due."""

    begin: float
    end: float


class _Switches:
    """Does it all while events are sent, and notes when. `started`: when the first one is due, by
    `time.perf_counter`."""

    def __init__(self, rollout: Rollout, folders: Sequence[Path], plan: SwitchPlan, say: Say) -> None:
        self._rollout, self._plan, self._say = rollout, plan, say
        self._models = [load_model(folder) for folder in folders]
        self.calm = Window(0.0, 0.0)
        self.switching: list[Window] = []
        self.loading: list[Window] = []

    async def upload(self) -> None:
        """Put the models into Kafka, so that nothing but the worker's own work is measured."""
        for model in self._models:
            files, digest = read_files(model.folder)
            name = model.name.partition("@")[0]
            contents = {file: files[file] for file in FILES}
            await self._rollout.upload(NewModel(name, digest, model.threshold, model.form, contents))

    async def run(self, started: float) -> None:
        """Warm up, be calm, switch, load."""
        plan, (one, other, trees) = self._plan, self._models
        await asyncio.sleep(max(started + plan.warm_up_s / 2 - time.perf_counter(), 0))
        await self._act(started, lambda: self._deploy(one, "champion"))
        await asyncio.sleep(max(started + plan.warm_up_s - time.perf_counter(), 0))
        self._say(f"{plan.seconds:.0f} s of calm")
        begin = time.perf_counter() - started
        await asyncio.sleep(plan.seconds)
        self.calm = Window(begin, time.perf_counter() - started)
        self._say(f"{plan.switches} switches of the champion")
        for number in range(plan.switches):
            deploy = functools.partial(self._deploy, (other, one)[number % 2], "champion")
            self.switching.append(await self._act(started, deploy))
        self._say(f"{plan.switches} times a model of {TREES} trees is loaded")
        for _ in range(plan.switches):
            self.loading.append(await self._act(started, lambda: self._deploy(trees, "shadow")))
            await self._act(started, lambda: self._rollout.plan_withdraw(trees.name))

    async def _deploy(self, model: Any, role: str) -> PlannedAct:
        name = model.name.partition("@")[0]
        return await self._rollout.plan_deploy(served(name, model.digest, model.threshold), role)

    async def _act(self, started: float, plan: Callable[[], Awaitable[PlannedAct]]) -> Window:
        planned = await plan()
        begin = time.perf_counter() - started
        act = await self._rollout.commit(planned, "a benchmark")
        lanes = await self._rollout.wait(act, SWITCH_S_MAX)
        if any(lane.state != "serving" for lane in lanes):
            raise OutageError(f"the worker has not switched within {SWITCH_S_MAX:.0f} s: {lanes}")
        await asyncio.sleep(AFTER_S)
        return Window(begin, time.perf_counter() - started)


async def measure_switches(plan: SwitchPlan, say: Say) -> SwitchFigures:
    """Start a worker, send at the fixed rate, switch, and note when each prediction is visible."""
    async with stage(bootstrap=plan.bootstrap, delivery="exactly-once", model=None, say=say) as on:
        say(f"Training two champions and {TREES} trees")
        folders = await asyncio.to_thread(_train, on.worker.folder)
        await asyncio.to_thread(on.worker.start().wait_ready)
        # as long as it takes: a switch waits for the worker, and the worker for a machine that may be busy
        events = generated_events(
            round(plan.rate * (plan.warm_up_s + plan.seconds + plan.switches * 3 * SWITCH_S_MAX)),
            seed=plan.seed,
            broken_share=0.0,
            id_prefix=ID_PREFIX,
        )
        async with contextlib.AsyncExitStack() as stack:
            rollout = await stack.enter_async_context(open_rollout(on.settings, who="bench"))
            switches = _Switches(rollout, folders, plan, say)
            await switches.upload()
            names = on.names
            say(f"{plan.rate:,.0f} events a second: {plan.warm_up_s:.0f} s to warm up")
            waits, sent = await send_and_read(
                plan.rate, on, events, written=names.observations, read=names.predictions, beside=switches.run
            )
    return _figures(plan, switches, waits, sent)


def _figures(plan: SwitchPlan, switches: _Switches, waits: dict[int, float], sent: int) -> SwitchFigures:
    def of(*windows: Window) -> dict[str, float]:
        numbers = [
            n for each in windows for n in range(round(each.begin * plan.rate), min(round(each.end * plan.rate), sent))
        ]
        return latency_figures([waits[n] for n in numbers if n in waits], SHARES)

    def seconds(*windows: Window) -> float:
        return round(sum(each.end - each.begin for each in windows), 2)

    return SwitchFigures(
        rate=plan.rate,
        switches=plan.switches,
        calm_ms=of(switches.calm),
        switching_ms=of(*switches.switching),
        loading_ms=of(*switches.loading),
        calm_s=seconds(switches.calm),
        switching_s=seconds(*switches.switching),
        loading_s=seconds(*switches.loading),
        unanswered=sum(n not in waits for n in range(sent)),
    )


def _train(folder: Path) -> tuple[Path, Path, Path]:
    """Two additive models, and one of a hundred trees."""
    from threadpoolctl import threadpool_limits

    from stream_scorer.models.dataframes import frame_of
    from stream_scorer.models.training.pipelines import gradient_boosting, logistic

    trees = gradient_boosting(0).set_params(classifier__max_iter=TREES)
    with threadpool_limits(limits=1):
        for name, pipeline, seed in (("one", logistic(0), 1), ("other", logistic(0), 2), ("trees", trees, 3)):
            labelled = generated_rows(ROWS, seed)
            pipeline.fit(frame_of(labelled.codes), labelled.classes)
            save_model(folder / name, pipeline, name=name, threshold=0.4)
    return folder / "one", folder / "other", folder / "trees"
