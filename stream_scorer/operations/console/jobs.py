"""What takes longer than a page may: checks, replays and discards, run beside the page that shows how far they are.

Invariant: one errand that changes something runs at a time, and none outlives the process; what it did stands in the
ledger, so that it can be asked for again.
"""

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from stream_scorer.errors import UserError
from stream_scorer.operations.console.error_log import log_fault

KEPT_MAX: Final = 100
WAITING_MAX: Final = 8

OnProgress = Callable[[int, int], None]
Work = Callable[[OnProgress], Awaitable[Any]]


@dataclass
class Job:
    """One of them. `again`: the form that asks for it, to ask for the next step."""

    kind: str  # check, dry-run, replay, discard
    letters: str  # which, in words
    how: str  # fix and reason, in words
    who: str
    again: list[tuple[str, str]]
    back: str
    started_ms: int
    name: str = field(default_factory=lambda: secrets.token_urlsafe(9))
    done: int = 0
    total: int = 0
    report: Any = None
    trouble: str | None = None
    ended_ms: int | None = None

    @property
    def is_over(self) -> bool:
        return self.ended_ms is not None

    @property
    def seconds(self) -> float:
        return ((self.ended_ms or _now_ms()) - self.started_ms) / 1000

    def note(self, done: int, total: int) -> None:
        self.done, self.total = done, total


class Jobs:
    """The errands of this process, newest last. `changed` is called after each that may have changed something."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._known: OrderedDict[str, Job] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._changing = asyncio.Lock()

    def __getitem__(self, name: str) -> Job:
        return self._known[name]

    def newest_first(self) -> list[Job]:
        return list(reversed(self._known.values()))

    @property
    def is_full(self) -> bool:
        """Whether so many are under way that another would only wait."""
        return len(self._tasks) >= WAITING_MAX

    def start(self, errand: Job, work: Work, *, changes: bool) -> Job:
        """Run it beside everything else; those that change something, one after the other."""
        self._known[errand.name] = errand
        while len(self._known) > KEPT_MAX:
            self._known.popitem(last=False)
        task = asyncio.create_task(self._run(errand, work, changes=changes), name=f"errand {errand.kind}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return errand

    async def _run(self, errand: Job, work: Work, *, changes: bool) -> None:
        try:
            if changes:
                async with self._changing:
                    errand.report = await work(errand.note)
            else:
                errand.report = await work(errand.note)
        except UserError as error:
            errand.trouble = str(error)
        except asyncio.CancelledError:
            errand.trouble = "Ended with the process that ran it. What it had done counts; ask again for the rest."
            raise
        except Exception as error:
            errand.trouble = f"A fault of our own: {type(error).__name__}. The log says more."
            log_fault(f"running the errand {errand.kind!r}", error)
        finally:
            errand.ended_ms = _now_ms()
            if changes:
                self._changed()

    async def idle(self) -> None:
        """Wait until nothing is under way."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def stop(self) -> None:
        """End what is under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
