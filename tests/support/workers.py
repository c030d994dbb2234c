"""An environment of a test's own on a real Kafka: its topics, its worker processes, and their folders.

A worker is a process of its own, seen from outside only. `start("a")` twice is a restart: the same folder of state.
"""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from stream_scorer.operations.harness.worker_process import WorkerProcess
from stream_scorer.runtime.cluster.topic_admin import TopicNames, apply
from stream_scorer.runtime.settings.settings import load_settings
from tests.support.kafka_environment import Account, Topics, account
from tests.support.reliability_report import Accounted, note

ROOT = Path(__file__).parents[2]
# However slow the machine: who waits for longer waits in vain
WAIT_S_MAX = 60.0
LOOK_EVERY_S = 0.02


async def until(condition: Callable[[], object], what: str, wait_s_max: float = WAIT_S_MAX) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + wait_s_max
    while not condition():
        assert time.monotonic() < deadline, f"waited {wait_s_max:.0f} s in vain until {what}"
        await asyncio.sleep(LOOK_EVERY_S)


class Environment:
    """Topics under one prefix and the workers on them. `settings`: by `section.name`, the same for every worker."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path, settings: dict[str, Any]) -> None:
        self.bootstrap, self.folder = bootstrap, folder
        self.settings = load_settings(None, {}, {"kafka.bootstrap": bootstrap, "topics.prefix": prefix, **settings})
        self.names = TopicNames(prefix)
        self.topics = Topics(bootstrap, self.names, self.settings.group_name, self.settings.topics.partitions or 4)
        self._given = settings
        self._started: dict[str, WorkerProcess] = {}

    def worker(self, name: str = "worker", **settings: Any) -> WorkerProcess:
        """A worker, not started yet; `settings`, named `section__name`, are for this one alone."""
        given = self._given | {key.replace("__", "."): value for key, value in settings.items()}
        state = {"worker.state_folder": str(self.state_of(name))}
        environ = {variable(key): text(value) for key, value in (state | given).items()}
        made = WorkerProcess(
            self.bootstrap,
            prefix=self.settings.topics.prefix,
            folder=self.folder,
            name=name,
            # models of the tests are imported by their full names
            environ={"PYTHONPATH": str(ROOT), **environ},
        )
        self._started[name] = made
        return made

    async def start(self, name: str = "worker", **settings: Any) -> WorkerProcess:
        """Start a worker and wait until it is ready."""
        worker = self.worker(name, **settings).start()
        await asyncio.to_thread(worker.wait_ready)
        return worker

    def started(self, name: str) -> WorkerProcess:
        """The worker that was started last under that name."""
        return self._started[name]

    def state_of(self, name: str) -> Path:
        """Where the worker of that name keeps its state."""
        return self.folder / f"state-{name}"

    def lanes_of(self, name: str) -> list[Path]:
        """The folders of its lanes."""
        return sorted(self.state_of(name).glob("*/lane-*[0-9]"))

    def forget(self, name: str) -> None:
        """Delete the state of a worker that does not run."""
        shutil.rmtree(self.state_of(name))

    async def settled(self, wait_s_max: float = WAIT_S_MAX) -> None:
        """Wait until every input was read and committed, and every transaction is over."""
        running = [worker for worker in self._started.values() if worker.is_started]
        await self.topics.settled(wait_s_max, lambda: "\n".join(worker.last_words() for worker in running))

    async def account(self, *, forgets: bool = False, other_timestamps: bool = False, **expected: int) -> Account:
        """Wait until all is settled, then see where every input ended; audit and the tests' own reader must agree.

        `forgets`, `other_timestamps`: as `account` has them. `expected`: how many ended where, if that is known;
        what is left out must be none."""
        began_s = time.monotonic()
        await self.settled()
        caught_up_s = time.monotonic() - began_s
        result = await account(
            self.topics,
            join_window_s=self.settings.worker.join_window_s,
            forgets=forgets,
            other_timestamps=other_timestamps,
        )
        note(Accounted(dict(result.ended), result.report.unaccounted, result.report.duplicated, caught_up_s))
        if expected:
            assert dict(result.ended) == expected
        return result

    async def __aenter__(self) -> Self:
        await apply(self.settings)
        await self.topics.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._started.values():
            if worker.is_started and worker.exit_status() is None:
                worker.resume()
                worker.kill()
        await self.topics.stop()


@asynccontextmanager
async def an_environment(bootstrap: str, prefix: str, folder: Path, **settings: Any) -> AsyncIterator[Environment]:
    """Fresh topics, no worker yet. `settings` are named `section__name`."""
    given = {key.replace("__", "."): value for key, value in settings.items()}
    async with Environment(bootstrap, prefix, folder, given) as environment:
        yield environment


def variable(setting: str) -> str:
    return "STREAM_SCORER_" + setting.replace(".", "_").upper()


def text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, tuple) else str(value)


async def stopped(worker: WorkerProcess) -> int:
    """SIGTERM; its exit status."""
    return await asyncio.to_thread(worker.stop)


async def ended(worker: WorkerProcess) -> int:
    """Wait for a worker to end by itself; its exit status."""
    return await asyncio.to_thread(worker.wait, WAIT_S_MAX)


async def woken_without_a_commit(worker: WorkerProcess) -> None:
    """Wake a suspended worker whose lanes another one has taken over, and wait until it has noticed.

    Where a transaction of its was undecided it is fenced and ends. Where it learns of its lost membership first, or
    its last transaction was decided already, there is nothing to be fenced from: it joins the group as a new member.
    """
    joined = worker.log().count("joined the group")
    worker.resume()
    await until(
        lambda: worker.exit_status() is not None or worker.log().count("joined the group") > joined,
        "it is fenced, or a new member",
    )
    assert worker.exit_status() in (None, 1)
    assert worker.exit_status() is None or "another worker has taken over" in worker.log()


def environ() -> dict[str, str]:
    """What a worker's process inherits."""
    return dict(os.environ)
