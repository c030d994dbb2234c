"""When which event is sent: observations at a rate, outcomes some time after them; pure, no clock is read here."""

import heapq
import random
from collections.abc import Iterable, Iterator
from itertools import count
from typing import NamedTuple

from stream_scorer.core.records.record import NO_HEADERS, Headers
from stream_scorer.operations.sending.event_sources import SourceEvent, encode_outcome


class ScheduledEvent(NamedTuple):
    """An event to send `due_s` seconds after the start; on the partition of its key unless `partition` says another."""

    due_s: float
    topic: str
    key: bytes | None
    value: bytes
    partition: int | None = None
    headers: Headers = NO_HEADERS


def in_due_order(groups: Iterable[list[ScheduledEvent]], *, ahead_s: float = 0.0) -> Iterator[ScheduledEvent]:
    """The events of all groups by due time. Each group's first event says how far the groups have come: later groups
    hold nothing that is due more than `ahead_s` before it, so only what lies in between is kept in memory.
    """
    numbers = count()
    waiting: list[tuple[float, int, ScheduledEvent]] = []
    for group in groups:
        if not waiting and len(group) == 1 and not ahead_s:
            yield group[0]
            continue
        for event in group:
            heapq.heappush(waiting, (event.due_s, next(numbers), event))
        while waiting and waiting[0][0] <= group[0].due_s - ahead_s:
            yield heapq.heappop(waiting)[2]
    while waiting:
        yield heapq.heappop(waiting)[2]


def at_rate(
    events: Iterable[SourceEvent],
    *,
    topic: str,
    rate: float | None,
    with_keys: bool = True,
    outcomes: "OutcomeSchedule | None" = None,
) -> Iterator[list[ScheduledEvent]]:
    """Each event, `rate` a second (all at once without a rate), in one group with its outcome if it gets one."""
    for index, event in enumerate(events):
        due_s = index / rate if rate else 0.0
        group = [ScheduledEvent(due_s, topic, event.key if with_keys else None, event.value)]
        if outcomes:
            group += outcomes.of(event, due_s, with_keys)
        yield group


class OutcomeSchedule:
    """Gives a `share` of the events whose outcome is known that outcome, `delay_s` later on average (exponential,
    four times that at most).
    """

    def __init__(self, *, topic: str, share: float, delay_s: float, seed: int) -> None:
        self._topic, self._share, self._delay_s = topic, share, delay_s
        self._draw = random.Random(seed)

    def of(self, event: SourceEvent, due_s: float, with_key: bool = True) -> list[ScheduledEvent]:
        if event.id is None or event.true_class is None or self._draw.random() >= self._share:
            return []
        later_s = min(self._draw.expovariate(1 / self._delay_s), 4 * self._delay_s) if self._delay_s else 0.0
        return [
            ScheduledEvent(
                due_s + later_s,
                self._topic,
                event.key if with_key else None,
                encode_outcome(event.id, event.true_class),
            )
        ]
