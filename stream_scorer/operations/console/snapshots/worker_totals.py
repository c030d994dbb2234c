"""Counts of many workers added up, over their starts and ends.

Invariant: no total ever falls. A worker that starts again counts from 0 under another name; one that is gone stays
counted.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from stream_scorer.runtime.worker.status import WorkerStatus

# Starts of workers that are counted separately; the oldest of more than these no longer reports
INSTANCES_MAX: Final = 1_024

JoinedKey = tuple[str, str, bool, bool]  # column, group, predicted, actual


class WorkerCounts(NamedTuple):
    """What one worker counted since its start."""

    ended: Counter[str]
    joined: Counter[JoinedKey]
    predictions: int
    latency: tuple[int, ...]


def counts_of(status: WorkerStatus) -> WorkerCounts:
    """Where records ended as `observations.predicted`; dead letters of both inputs as `dead_letters`."""
    ended = Counter({f"observations.{end}": count for end, count in status.observations.items()})
    ended.update({f"outcomes.{end}": count for end, count in status.outcomes.items()})
    ended["dead_letters"] = status.dead_letters
    joined = Counter({(one.column, one.group, one.predicted, one.actual): one.count for one in status.joined})
    return WorkerCounts(ended, joined, status.predictions, tuple(status.latency_counts))


class WorkerTotals:
    """Adds up what workers say. `ended`, `joined`, `predictions`: since each worker's start; `counted` and `latency`:
    since it was first seen here, so that a long history that comes into sight is no burst."""

    def __init__(self) -> None:
        self.ended: Counter[str] = Counter()
        self.counted: Counter[str] = Counter()
        self.joined: Counter[JoinedKey] = Counter()
        self.predictions = 0
        self.latency_bounds_s: tuple[float, ...] = ()
        self.latency: list[int] = []
        self._last: OrderedDict[str, WorkerCounts] = OrderedDict()

    def add(self, statuses: Iterable[WorkerStatus]) -> None:
        """Take up what every worker says now."""
        for status in statuses:
            self._add(status)
        while len(self._last) > INSTANCES_MAX:
            self._last.popitem(last=False)

    def _add(self, status: WorkerStatus) -> None:
        now, before = counts_of(status), self._last.get(status.instance)
        self._last[status.instance] = now
        self._last.move_to_end(status.instance)
        _grow(self.ended, now.ended, before.ended if before else None)
        for key, count in now.joined.items():
            # a correction takes back: of joined outcomes a worker's own count may fall
            self.joined[key] += count - (before.joined[key] if before else 0)
        self.predictions += max(0, now.predictions - (before.predictions if before else 0))
        if before is None:
            self.counted.update(dict.fromkeys(now.ended, 0))
        else:
            _grow(self.counted, now.ended, before.ended)
            self._add_latency(tuple(status.latency_bounds_s), now.latency, before.latency)

    def _add_latency(self, bounds_s: tuple[float, ...], now: Sequence[int], before: Sequence[int]) -> None:
        if bounds_s != self.latency_bounds_s:
            # another limit in the settings of a worker: buckets of two kinds can't be added up
            self.latency_bounds_s, self.latency = bounds_s, [0] * len(now)
        grown = [max(0, after - was) for after, was in zip(now, before, strict=False)]
        self.latency = [total + more for total, more in zip(self.latency, grown, strict=False)]


def _grow(totals: Counter[str], now: Counter[str], before: Counter[str] | None) -> None:
    for key, count in now.items():
        totals[key] += max(0, count - (before[key] if before is not None else 0))
