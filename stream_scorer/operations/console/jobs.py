"""What takes longer than a page may: checks, replays and discards, run beside the page that shows how far they are.

Invariant: one job that changes something runs at a time, and none outlives the process; what it did stands in the
ledger, so that it can be asked for again. A visitor's jobs make room only for that visitor's.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from stream_scorer.errors import UserError
from stream_scorer.operations.console.error_log import log_fault
from stream_scorer.operations.console.fair_slots import FairSlots
from stream_scorer.operations.dead_letters.replay.retry_when_fenced import OnProgress
from stream_scorer.runtime.worker.clock import wall_clock_ms

# At once: of all visitors, and of one
RUNNING_MAX: Final = 4
RUNNING_EACH_MAX: Final = 2
# Under way, waiting ones included, of one visitor; what is beyond is refused
UNDER_WAY_EACH_MAX: Final = 8
# Finished ones: of one visitor so many are kept, and none for longer
KEPT_EACH_MAX: Final = 50
KEPT_S: Final = 12 * 3600.0
# Of all visitors, so that memory has a bound; beyond it new ones are refused, and nobody loses any
KNOWN_MAX: Final = 1_000
# One that only looks is given up after this; one that changes something may be slowed down by its rate for hours
LOOK_S_MAX: Final = 600.0

Work = Callable[[OnProgress], Awaitable[Any]]


class QuotaError(Exception):
    """No room for another job; the text says what to wait for."""


@dataclass
class Job:
    """One of them. `visitor` tells visitors apart, `who` is their name. `again`: the form that asks for it, to ask for
    the next step."""

    kind: str  # check, dry-run, replay, discard-dry-run, discard, scorecards
    letters: str  # which, in words
    how: str  # fix and reason, in words
    visitor: str
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
    waits: bool = True

    @property
    def is_over(self) -> bool:
        return self.ended_ms is not None

    @property
    def seconds(self) -> float:
        return ((self.ended_ms or wall_clock_ms()) - self.started_ms) / 1000

    def note(self, done: int, total: int) -> None:
        self.done, self.total = done, total


class Jobs:
    """The jobs of this process. `changed` is called after each that may have changed something."""

    def __init__(self, changed: Callable[[], None], *, look_s_max: float = LOOK_S_MAX) -> None:
        self._changed, self._look_s_max = changed, look_s_max
        self._known: dict[str, Job] = {}  # the oldest first
        self._tasks: set[asyncio.Task[None]] = set()
        self._looking = FairSlots(RUNNING_MAX, slots_each=RUNNING_EACH_MAX, waiting_max=UNDER_WAY_EACH_MAX)
        self._changing = FairSlots(1, slots_each=1, waiting_max=UNDER_WAY_EACH_MAX)

    def __getitem__(self, name: str) -> Job:
        return self._known[name]

    def newest_first(self) -> list[Job]:
        return list(reversed(self._known.values()))

    def make_room(self, visitor: str) -> None:
        """Let go of what this visitor has finished longest ago, where that is needed for another job of theirs. Raises
        QuotaError where it does not help."""
        expired_ms = wall_clock_ms() - int(KEPT_S * 1000)
        for job in [job for job in self._known.values() if (job.ended_ms or expired_ms) < expired_ms]:
            del self._known[job.name]
        own = [job for job in self._known.values() if job.visitor == visitor]
        under_way = [job for job in own if not job.is_over]
        if len(under_way) >= UNDER_WAY_EACH_MAX:
            raise QuotaError(f"You have {len(under_way)} jobs under way. Wait until one of them has ended.")
        finished = [job for job in own if job.is_over]
        keep = KEPT_EACH_MAX - 1
        if len(self._known) >= KNOWN_MAX:
            if not finished:
                raise QuotaError("The console has as many jobs as it can hold. Try again later.")
            keep = min(keep, len(finished) - 1)
        for job in finished[: max(0, len(finished) - keep)]:
            del self._known[job.name]

    def start(self, job: Job, work: Work, *, changes: bool) -> Job:
        """Run it beside everything else; those that change something, one after the other. Raises QuotaError."""
        self.make_room(job.visitor)
        self._known[job.name] = job
        task = asyncio.create_task(self._run(job, work, changes=changes), name=f"job {job.kind}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return job

    async def _run(self, job: Job, work: Work, *, changes: bool) -> None:
        try:
            async with (self._changing if changes else self._looking).slot(job.visitor):
                job.waits = False
                async with asyncio.timeout(None if changes else self._look_s_max):
                    job.report = await work(job.note)
        except UserError as error:
            job.trouble = str(error)
        except TimeoutError:
            job.trouble = (
                f"Stopped after {self._look_s_max:,.0f} s. Nothing was changed. Narrow the filter and try again."
            )
        except asyncio.CancelledError:
            job.trouble = "The console stopped during the job. What it had done counts; start it again for the rest."
            raise
        except Exception as error:
            job.trouble = f"Internal error: {type(error).__name__}. See the console's log."
            log_fault(f"running the job {job.kind!r}", error)
        finally:
            job.waits = False
            job.ended_ms = wall_clock_ms()
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
