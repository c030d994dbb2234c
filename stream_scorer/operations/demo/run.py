"""The demo from start to end: broker, topics, model, worker, warm-up, console, gateway, play, drain, count; every
part is the real one.
"""

import asyncio
import contextlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from stream_scorer.gateway.openapi import EXAMPLE
from stream_scorer.models.stops_csv.stops import StopsFile
from stream_scorer.operations.demo.live_counts import LiveCounts, Watcher
from stream_scorer.operations.demo.rollout_models import StoryModels, train_story_models
from stream_scorer.operations.demo.rollout_story import RolloutStory
from stream_scorer.operations.demo.rollout_summary import sum_up
from stream_scorer.operations.demo.scenario import FAITHFUL, MANY_OUTCOMES, FaultShares, Play
from stream_scorer.operations.demo.summary import DemoSummary, count_up
from stream_scorer.operations.demo.supervisor import Supervisor
from stream_scorer.operations.demo.terminal_view import Scene
from stream_scorer.operations.demo.warm_up import warm_up
from stream_scorer.operations.harness.console_process import ConsoleProcess
from stream_scorer.operations.harness.gateway_process import GatewayProcess
from stream_scorer.operations.harness.service_process import ServiceProcess
from stream_scorer.operations.harness.signals import interrupts
from stream_scorer.operations.harness.temporary_topics import delete_topics, temporary_prefix
from stream_scorer.operations.harness.worker_process import WorkerProcess, folder_for_worker
from stream_scorer.operations.rollout.service import open_rollout
from stream_scorer.operations.sending.event_sender import EventSender
from stream_scorer.operations.sending.event_sources import csv_events
from stream_scorer.operations.sending.schedule import ScheduledEvent
from stream_scorer.operations.sending.scheduled_send import play
from stream_scorer.runtime.cluster.topic_admin import TopicNames, apply, definitions_for
from stream_scorer.runtime.kafka.client import client_options
from stream_scorer.runtime.settings.settings import Settings, load_settings

# Outcomes for nobody must be given up before the demo ends, and no outcome may come later than that
JOIN_WINDOW_S = 10.0
DELAY_S_MAX = 5.0
DRAIN_S_MAX = 60.0
DRAIN_POLL_S = 0.5
SCENE_S = 0.2
# How long a roll-out takes, and who is said to have acted
STORY_S = 120.0
STORY_TELLER = "the demo"
# short enough to be typed, too long to be guessed in a demo's time
ACT_TOKEN_BYTES = 8

T = TypeVar("T")
Say = Callable[[str], None]
Show = Callable[[LiveCounts, Scene], None]


@dataclass(frozen=True)
class DemoPlan:
    """The options of a demo. `rate` in observations a second; without `seconds` it ends with the `rows` of `csv`, or
    when interrupted. On the Kafka at `bootstrap` it plays in topics of its own, deleted afterwards; without one it
    starts a Kafka. With `rollout` models are put into production meanwhile, for about `seconds` or two minutes.
    """

    rate: float
    seconds: float | None = None
    csv: StopsFile | None = None
    rows: int = 0
    http_port: int = 0
    gateway_port: int = 0
    with_outcomes: bool = True
    model: Path | None = None
    bootstrap: str | None = None
    rollout: bool = False
    seed: int = 1


async def run_demo(plan: DemoPlan, *, say: Say, show: Show) -> DemoSummary:
    """Run it all; `say` hears of each step, `show` gets what is seen a few times a second. Ctrl-C ends the play, not
    the count.
    """
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(folder_for_worker("demo"))
        bootstrap, model, models = await _set_up(plan, stack, folder, say)
        settings = _settings(plan, bootstrap, folder)
        await apply(settings)
        try:
            async with contextlib.AsyncExitStack() as opened:
                story = None
                if models is not None:
                    rollout = await opened.enter_async_context(open_rollout(settings, who=STORY_TELLER))
                    story = RolloutStory(rollout, models, plan.seconds or STORY_S)
                    story.told = lambda chapter: say(f"{chapter.title}. {chapter.told}")
                return await _perform(plan, settings, model, folder, story, say, show)
        finally:
            if plan.bootstrap:
                await delete_topics(settings)


async def _perform(
    plan: DemoPlan,
    settings: Settings,
    model: Path,
    folder: Path,
    story: RolloutStory | None,
    say: Say,
    show: Show,
) -> DemoSummary:
    bootstrap, prefix, file = settings.kafka.bootstrap, settings.topics.prefix, folder / "settings.toml"
    with contextlib.ExitStack() as stack:
        say("Starting the worker")
        worker = WorkerProcess(bootstrap, prefix=prefix, model=model, settings=file, folder=folder)
        await _ready(stack.enter_context(worker))
        say(f"Worker ready: metrics http://{worker.http_address}/metrics, figures http://{worker.http_address}/status")
        interrupted = stack.enter_context(interrupts())
        say("Warming up Kafka and the worker")
        warmed_up = await warm_up(settings, rate=plan.rate)
        act_token = secrets.token_hex(ACT_TOKEN_BYTES)
        console = ConsoleProcess(
            bootstrap,
            [worker.http_address or ""],
            prefix=prefix,
            settings=file,
            folder=folder,
            http_port=plan.http_port,
            # by the environment, as other users of the machine see command lines; and nobody's own file beside it
            environ={"STREAM_SCORER_HTTP_ACT_TOKEN": act_token, "STREAM_SCORER_HTTP_ACT_TOKEN_FILE": ""},
        )
        await _ready(stack.enter_context(console))
        say(f"Console: http://{console.http_address}")
        say(f"To replay or discard dead letters in the console, log in with the token {act_token}")
        gateway = GatewayProcess(bootstrap, prefix=prefix, settings=file, folder=folder, http_port=plan.gateway_port)
        await _ready(stack.enter_context(gateway))
        say(f"Gateway: http://{gateway.http_address}/docs, or: {curl_line(gateway.http_address or '')}")
        scene = Scene(
            broker=bootstrap,
            page=console.http_address or "",
            gateway=gateway.http_address or "",
            act_token=act_token,
            prefix=prefix,
            story=None if story is None else story.progress,
        )
        supervisors = Supervisor(worker), Supervisor(console), Supervisor(gateway)
        return await _play(plan, settings, supervisors, scene, story, interrupted, show, warmed_up)


def curl_line(address: str) -> str:
    """A line that asks the gateway for a prediction, to be copied into a shell."""
    event = json.dumps(EXAMPLE)
    return f"curl http://{address}/predict -H 'Content-Type: application/json' -d '{event}'"


async def _ready(process: ServiceProcess) -> None:
    await asyncio.to_thread(process.wait_ready)
    # it keeps its address over a restart
    process.keep_port()


async def _set_up(
    plan: DemoPlan, stack: contextlib.ExitStack, folder: Path, say: Say
) -> tuple[str, Path, StoryModels | None]:
    """The broker's address and the models, both at once: each takes seconds."""
    from stream_scorer.models.registry.default_model import ensure_default_model
    from stream_scorer.operations.local_broker import LocalBroker

    async def models() -> tuple[Path, StoryModels | None]:
        if plan.rollout:
            trained = await asyncio.to_thread(train_story_models, folder / "models", say)
            return trained.champion.folder, trained
        if plan.model is not None:
            return plan.model, None
        return await asyncio.to_thread(ensure_default_model, say), None

    if plan.bootstrap:
        return plan.bootstrap, *await models()
    say("Starting Apache Kafka on this machine")
    broker = LocalBroker(progress=say)
    started = time.monotonic()
    starting = asyncio.to_thread(stack.enter_context, broker)
    _, (model, story_models) = await asyncio.gather(starting, models())
    say(
        f"Apache Kafka {broker.version} on {broker.bootstrap} and the model {model.name} "
        f"after {time.monotonic() - started:.1f} s"
    )
    return broker.bootstrap, model, story_models


def _settings(plan: DemoPlan, bootstrap: str, folder: Path) -> Settings:
    """The demo's own settings, as a file for the worker; the environment's must not lead it to another cluster."""
    lines = ["[kafka]", f'bootstrap = "{bootstrap}"', "[worker]", f"state_folder = '{folder / 'state'}'"]
    if plan.csv is None:
        lines.append(f"join_window_s = {JOIN_WINDOW_S}")
    if plan.bootstrap:
        lines += ["[topics]", f'prefix = "{temporary_prefix("demo")}"']
    path = folder / "settings.toml"
    path.write_text("\n".join(lines) + "\n")
    return load_settings(path, {})


async def _play(
    plan: DemoPlan,
    settings: Settings,
    supervisors: tuple[Supervisor, Supervisor, Supervisor],
    scene: Scene,
    story: RolloutStory | None,
    interrupted: asyncio.Event,
    show: Show,
    warmed_up: int,
) -> DemoSummary:
    of_worker, *others = supervisors
    names = TopicNames(settings.topics.prefix)
    partitions = next(topic.partitions for topic in definitions_for(settings) if topic.key == "observations")
    watcher = Watcher(settings, partitions)
    started = time.monotonic()
    async with EventSender(client_options(settings.kafka)) as sender:

        def refresh() -> None:
            scene.elapsed_s = time.monotonic() - started
            scene.observations = sender.delivered.get(names.observations, 0)
            scene.outcomes = sender.delivered.get(names.outcomes, 0)
            scene.restarts = of_worker.restarts
            show(watcher.seen, scene)

        telling = [] if story is None else [story.watch(), _tell(story, interrupted)]
        async with _beside(
            watcher.run(), *(supervisor.run() for supervisor in (of_worker, *others)), _repeat(refresh), *telling
        ) as beside:
            scene.state = "playing"
            await beside.until(play(sender, _timeline(plan, names), paced=True, is_over=interrupted.is_set))
            scene.state = "waiting until every record that was sent has ended"
            summary = await beside.until(_drain(settings, watcher.seen, warmed_up, outcomes_expire=plan.csv is None))
            if story is not None:
                scene.state = "reading every prediction again"
                summary.rollout = await beside.until(sum_up(story, settings, watcher.seen.by_model))
        refresh()
    summary.worker_restarts = of_worker.restarts
    return summary


async def _tell(story: RolloutStory, over: asyncio.Event) -> None:
    """Tell the story, then end the play."""
    await story.run()
    over.set()
    await asyncio.Event().wait()


def _timeline(plan: DemoPlan, names: TopicNames) -> Iterator[ScheduledEvent]:
    if plan.rollout:  # it ends when the story does
        return Play(names, rate=plan.rate, delay_s_max=DELAY_S_MAX, shares=MANY_OUTCOMES, seed=plan.seed).generated()
    shares = FaultShares() if plan.csv is None else FAITHFUL
    shares = shares if plan.with_outcomes else replace(shares, repeated=0, conflicting=0, outcome=0)
    if plan.csv is None:
        return Play(
            names, rate=plan.rate, seconds=plan.seconds, delay_s_max=DELAY_S_MAX, shares=shares, seed=plan.seed
        ).generated()
    # every row is played, within the seconds if they were given
    rate = max(plan.rate, plan.rows / plan.seconds) if plan.seconds else plan.rate
    return Play(names, rate=rate, delay_s_max=DELAY_S_MAX, shares=shares, seed=plan.seed).of(
        csv_events(plan.csv, "row-")
    )


async def _drain(settings: Settings, seen: LiveCounts, warmed_up: int, *, outcomes_expire: bool) -> DemoSummary:
    """Count until every input has come to an end; what has not within a minute is what the summary says it is. Where
    outcomes expire, those for nobody are waited for too.
    """
    deadline = time.monotonic() + DRAIN_S_MAX
    while True:
        summary = await count_up(settings, list(seen.latencies_ms), warmed_up)
        is_settled = not summary.unaccounted and not (outcomes_expire and summary.awaiting)
        if is_settled or time.monotonic() > deadline:
            return summary
        await asyncio.sleep(max(DRAIN_POLL_S, summary.counting_s))


async def _repeat(refresh: Callable[[], None]) -> None:
    while True:
        refresh()
        await asyncio.sleep(SCENE_S)


class Beside:
    """Tasks that run beside the play; when one of them ends, it has failed, and the play ends with its error."""

    def __init__(self, tasks: list[asyncio.Task[None]]) -> None:
        self._tasks = tasks

    async def until(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`."""
        task = asyncio.ensure_future(work)
        done, _ = await asyncio.wait({task, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
        if task in done:
            return task.result()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for failed in done:
            failed.result()
        raise AssertionError("a background task of the demo has ended without an error")


@contextlib.asynccontextmanager
async def _beside(*work: Coroutine[Any, Any, None]) -> AsyncIterator[Beside]:
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        yield Beside(tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
