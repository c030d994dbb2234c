"""A timeline sent at its due times or as fast as it goes; due times are kept however slow the answers are."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator

from stream_scorer.operations.sending.event_sender import EventSender
from stream_scorer.operations.sending.schedule import ScheduledEvent

CHUNK = 4_096
PACE_S = 0.001
# how soon the end is noticed where events are far apart
LOOK_UP_S = 0.1


async def play(
    sender: EventSender,
    timeline: Iterable[ScheduledEvent],
    *,
    paced: bool,
    started: float | None = None,
    is_over: Callable[[], bool] = lambda: False,
    on_sent: Callable[[int], None] = lambda count: None,
) -> None:
    """Send a timeline (due times never fall) and settle it; ends early once `is_over`.

    `paced` is an open loop: each event is sent when it is due, however slow the answers are, and carries the time it
    was due as its timestamp, so that waiting shows in whatever is measured from it. Otherwise everything is sent as
    fast as Kafka takes it. Due times count from `started`, on the clock of `time.perf_counter`, which may lie ahead;
    else from now.
    """
    started = time.perf_counter() if started is None else started
    start_ms = (time.time() + started - time.perf_counter()) * 1000
    waiting = iter(timeline)
    held: ScheduledEvent | None = None
    while not is_over():
        now_s = time.perf_counter() - started if paced else float("inf")
        chunk, held = _due(waiting, held, now_s)
        if chunk:
            await sender.send(chunk, start_ms=start_ms if paced else None)
            on_sent(len(chunk))
        if held is None and len(chunk) < CHUNK:
            break
        await asyncio.sleep(min(max(held.due_s - now_s, PACE_S), LOOK_UP_S) if held and paced else 0)
    await sender.settle()


def _due(
    waiting: Iterator[ScheduledEvent], held: ScheduledEvent | None, now_s: float
) -> tuple[list[ScheduledEvent], ScheduledEvent | None]:
    """What is due by now, at most a chunk, and the first one that is not."""
    if held and held.due_s > now_s:
        return [], held
    chunk = [held] if held else []
    while len(chunk) < CHUNK:
        event = next(waiting, None)
        if event is None:
            return chunk, None
        if event.due_s > now_s:
            return chunk, event
        chunk.append(event)
    return chunk, None
