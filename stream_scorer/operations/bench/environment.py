"""What both benchmarks stand on: a broker, topics of their own, a model, and a worker that leaves nothing behind."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream_scorer.operations.harness.other_tree import apply_topics_of_tree, environ_of_tree
from stream_scorer.operations.harness.temporary_topics import delete_topics, temporary_prefix
from stream_scorer.operations.harness.worker_process import WorkerProcess, folder_for_worker
from stream_scorer.operations.sending.event_sender import EventSender
from stream_scorer.operations.sending.schedule import ScheduledEvent
from stream_scorer.operations.sending.scheduled_send import play
from stream_scorer.runtime.cluster.topic_admin import TopicNames, apply, definitions_for
from stream_scorer.runtime.kafka.client import client_options
from stream_scorer.runtime.settings.settings import Settings, load_settings

Say = Callable[[str], None]


@dataclass(frozen=True)
class BenchEnvironment:
    """Where a benchmark runs. The worker is not started yet; `another` makes one more of the same group, by a name.
    `model`: the directory of the model that it serves."""

    settings: Settings
    model: Path
    names: TopicNames
    partitions: int
    worker: WorkerProcess
    worker_state: Path
    another: Callable[[str], WorkerProcess]


@contextlib.asynccontextmanager
async def stage(
    *,
    bootstrap: str | None,
    delivery: str,
    model: Path | None,
    say: Say,
    partitions: int | None = None,
    tree: Path | None = None,
    only_disagreements: bool = False,
) -> AsyncIterator[BenchEnvironment]:
    """Topics under a prefix that nobody else has, on `bootstrap` or on a local broker, deleted afterwards; the worker
    ends with the stage. `tree`: the source tree whose topics and worker are measured, this one if none is named;
    `only_disagreements`: the worker writes shadow predictions only where decisions differ.
    """
    from stream_scorer.models.registry.default_model import ensure_default_model
    from stream_scorer.operations.local_broker import LocalBroker

    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(folder_for_worker("bench"))
        served = await asyncio.to_thread(ensure_default_model, say) if model is None else model
        if bootstrap is None:
            say("Starting Apache Kafka on this machine")
            bootstrap = (await asyncio.to_thread(stack.enter_context, LocalBroker(tuned=True, progress=say))).bootstrap
        prefix = temporary_prefix("bench")
        overrides: dict[str, Any] = {
            "kafka.bootstrap": bootstrap,
            "topics.prefix": prefix,
            "worker.state_folder": str(folder / "state"),
        }
        environ = {"STREAM_SCORER_WORKER_STATE_FOLDER": str(folder / "state")}
        if partitions is not None:
            overrides["topics.partitions"] = partitions
            environ["STREAM_SCORER_TOPICS_PARTITIONS"] = str(partitions)
        if only_disagreements:
            environ["STREAM_SCORER_MODELS_SHADOW_PREDICTIONS"] = "disagreements"
        if tree is not None:
            environ |= environ_of_tree(tree)
        settings = load_settings(None, {}, overrides)
        if tree is None:
            await apply(settings)
        else:
            await asyncio.to_thread(apply_topics_of_tree, tree, bootstrap, prefix, environ)
        workers: list[WorkerProcess] = []

        def another(name: str) -> WorkerProcess:
            workers.append(
                WorkerProcess(
                    bootstrap,
                    prefix=prefix,
                    model=served,
                    folder=folder,
                    name=name,
                    arguments=["--delivery", delivery],
                    environ=environ,
                )
            )
            return workers[-1]

        worker = another("worker")
        names = TopicNames(prefix)
        partitions = next(topic.partitions for topic in definitions_for(settings) if topic.name == names.observations)
        try:
            yield BenchEnvironment(settings, served, names, partitions, worker, settings.state_path, another)
        finally:
            for each in workers:
                if each.is_started:
                    await asyncio.to_thread(each.__exit__, None, None, None)
            await delete_topics(settings)


async def fill(on: BenchEnvironment, planned: Iterator[ScheduledEvent]) -> int:
    """Send it all as fast as Kafka takes it; how many were delivered."""
    async with EventSender(client_options(on.settings.kafka)) as sender:
        await play(sender, planned, paced=False)
        return sender.delivered_count
