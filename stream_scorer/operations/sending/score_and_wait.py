"""A timeline sent through the client, each observation with its answer.

Invariant: answers come in the order of sending, and no more events wait for theirs than the bound says.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final, NamedTuple

from stream_scorer.client import Answer, Client
from stream_scorer.core.records.dead_letter_reader import id_of
from stream_scorer.operations.sending.schedule import ScheduledEvent

# Events that wait for their answers at one time
AT_ONCE: Final = 2_000
# how soon the end is noticed where events are far apart
LOOK_UP_S: Final = 0.1


class ScoredEvent(NamedTuple):
    """An observation event and what was answered; `number` counts them from 1, `id` is None where none can be read."""

    number: int
    id: str | None
    answer: Answer


class ScoreAndWait:
    """Sends timelines. `outcomes` counts the outcomes among them that Kafka has acknowledged."""

    def __init__(self, client: Client, *, observations: str, timeout_s: float, at_once: int = AT_ONCE) -> None:
        self._client, self._observations, self._timeout_s = client, observations, timeout_s
        self._room = asyncio.Semaphore(at_once)
        self._sent: asyncio.Queue[tuple[ScheduledEvent, asyncio.Task[Answer]] | None] = asyncio.Queue()
        self._delivering: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._turn = 0
        self.outcomes = 0

    async def answers(
        self, timeline: Iterable[ScheduledEvent], *, paced: bool, is_over: Callable[[], bool] = lambda: False
    ) -> AsyncIterator[ScoredEvent]:
        """The answer to each observation of the timeline. `paced`: each is sent when it is due. Nothing more is sent
        once `is_over`, but what was sent is answered. Raises OutageError where Kafka does not take an event."""
        feeding = asyncio.create_task(self._feed(timeline, paced, is_over))
        number = 0
        try:
            while (asked := await self._sent.get()) is not None:
                planned, answer = asked
                number += 1
                id_ = id_of(planned.value, None)
                yield ScoredEvent(number, None if id_ is None else id_.decode(errors="replace"), await answer)
                self._room.release()
            await feeding
            await asyncio.gather(*self._delivering, return_exceptions=True)
            if self._failure is not None:
                raise self._failure
        finally:
            left = [feeding, *self._delivering]
            while not self._sent.empty():
                if (waiting := self._sent.get_nowait()) is not None:
                    left.append(waiting[1])  # type: ignore[arg-type]  # of all of them only the end is awaited
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _feed(self, timeline: Iterable[ScheduledEvent], paced: bool, is_over: Callable[[], bool]) -> None:
        started_s = time.perf_counter()
        try:
            for planned in timeline:
                while paced and not is_over() and (early_s := planned.due_s + started_s - time.perf_counter()) > 0:
                    await asyncio.sleep(min(early_s, LOOK_UP_S))
                if is_over():
                    return
                await self._room.acquire()
                if planned.topic == self._observations:
                    self._sent.put_nowait((planned, asyncio.create_task(self._ask(planned))))
                else:
                    self._delivering.add(delivering := asyncio.create_task(self._deliver(planned)))
                    delivering.add_done_callback(self._delivered)
        finally:
            self._sent.put_nowait(None)

    async def _ask(self, planned: ScheduledEvent) -> Answer:
        partition, keyed = planned.partition, planned.key is not None
        if partition is None and not keyed:
            # what most producers do with a record that has no key
            self._turn = partition = (self._turn + 1) % self._client.partitions
        return await self._client.ask(planned.value, timeout_s=self._timeout_s, partition=partition, keyed=keyed)

    async def _deliver(self, planned: ScheduledEvent) -> None:
        await self._client.deliver_outcome(planned.value, keyed=planned.key is not None)
        self.outcomes += 1

    def _delivered(self, delivering: "asyncio.Task[None]") -> None:
        self._delivering.discard(delivering)
        self._room.release()
        if not delivering.cancelled():
            self._failure = self._failure or delivering.exception()
