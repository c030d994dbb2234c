"""Samples of a snapshot source over time, and the rates that follow from them."""

import asyncio
import contextlib
import itertools
import time
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from stream_scorer.errors import UserError
from stream_scorer.operations.console.error_log import log_fault
from stream_scorer.operations.console.snapshots.snapshot import Snapshot, SnapshotSource

LOOK_EVERY_S: Final = 2.0
LOOKS_KEPT: Final = 151  # five minutes
RATE_OVER_S: Final = 10.0
LATENCY_OVER_S: Final = 300.0
# A figure that takes longer is not waited for
LOOK_WAIT_S: Final = 10.0


class Sample(NamedTuple):
    """A look and when it was taken, on the monotonic clock."""

    at_s: float
    now: Snapshot


class Recorder:
    """Looks every two seconds and remembers five minutes of it."""

    def __init__(self, source: SnapshotSource) -> None:
        self.source = source
        self.looks: deque[Sample] = deque(maxlen=LOOKS_KEPT)
        self.trouble: str | None = None

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Take one sample; the page shows which part is missing."""
        try:
            async with asyncio.timeout(LOOK_WAIT_S):
                now = await self.source.now()
        except (UserError, TimeoutError) as error:
            self.trouble = str(error) or "Kafka does not answer."
        except Exception as error:
            self.trouble = "Internal error; see the console's log."
            log_fault("asking the workers and Kafka", error)
        else:
            self.trouble = now.trouble
            self.looks.append(Sample(time.monotonic(), now))

    async def latest(self) -> Snapshot | None:
        """The last look, at most two seconds old where looks succeed."""
        if not self.looks:
            with contextlib.suppress(UserError):
                await self.look()
        return self.looks[-1].now if self.looks else None

    def rate(self, *ends: str) -> float | None:
        """How many records ended so, a second, over the last ten seconds; None while that is not known."""
        if len(self.looks) < 2:
            return None
        last = self.looks[-1]
        first = next((look for look in self.looks if last.at_s - look.at_s <= RATE_OVER_S), self.looks[-2])
        if first is last:
            first = self.looks[-2]
        return _rate(first, last, ends)

    def rates(self, *ends: str) -> list[float]:
        """The same between every two looks."""
        looks = list(self.looks)
        return [_rate(one, other, ends) or 0.0 for one, other in itertools.pairwise(looks)]

    def unread(self) -> list[float]:
        """Records that wait, at every look."""
        return [float(look.now.unread) for look in self.looks]

    def latency_s(self, *quantiles: float) -> list[float | None]:
        """Quantiles of the latency over the last five minutes, or as long as the page has been looking; None where
        nothing was predicted in them. What was predicted before counts in none, so that a slow start is soon gone."""
        within = [look.now for look in self.looks if self.looks[-1].at_s - look.at_s <= LATENCY_OVER_S]
        if not within:
            return [None] * len(quantiles)
        bounds = within[-1].latency_bounds_s
        before = next(now for now in within if now.latency_bounds_s in (bounds, ()))
        was = before.latency_counts or [0] * len(within[-1].latency_counts)
        counts = [after - earlier for earlier, after in zip(was, within[-1].latency_counts, strict=True)]
        return [_quantile(quantile, bounds, counts) for quantile in quantiles]


def _rate(first: Sample, last: Sample, ends: Sequence[str]) -> float | None:
    seconds = last.at_s - first.at_s
    if seconds <= 0:
        return None
    before, after = first.now.counted, last.now.counted
    # what only one of the two knows (workers, or Kafka where none answers) has not happened between them
    return sum(max(0, after[end] - before[end]) for end in ends if end in before and end in after) / seconds


def _quantile(quantile: float, bounds: Sequence[float], counts: Sequence[int]) -> float | None:
    """Where so much of the counts lies below, a straight line drawn within the bucket; beyond the last bound, that."""
    total = sum(counts)
    if total <= 0:
        return None
    wanted, below, lower = quantile * total, 0, 0.0
    for bound, number in zip(bounds, counts, strict=False):
        if number and below + number >= wanted:
            return lower + (bound - lower) * (wanted - below) / number
        below, lower = below + number, bound
    return bounds[-1]
