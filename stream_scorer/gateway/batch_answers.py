"""The answers to the events of a batch, in the events' order.

Invariant: what is asked together waits as one, yet each answer goes out as soon as those before it have; a place among
the events in flight is given back with the answer, whether or not the client reads it.
"""

import asyncio
import time
from bisect import bisect_right
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from itertools import accumulate
from typing import Final

from stream_scorer.gateway.problem import Reply

# Bodies of events in flight, whatever their number: what a gateway's memory allows
IN_FLIGHT_BYTES_MAX: Final = 16 * 1024 * 1024
# Events that are sent together at most; other requests have their turn before the next ones
TOGETHER_EVENTS_MAX: Final = 4_096
# Answers that are written at once
LINES_AT_ONCE: Final = 256

AskTogether = Callable[[Sequence[bytes], Callable[[int, Reply], None]], Awaitable[None]]


class Slots:
    """How many events may be in flight, and how many bytes of them. Who wants many gets what is free, in the order of
    asking."""

    def __init__(self, events: int, bytes_max: int = IN_FLIGHT_BYTES_MAX) -> None:
        self._free, self._free_bytes, self._bytes_max = events, bytes_max, bytes_max
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()

    async def take(self, sizes: Sequence[int]) -> int:
        """How many events of these sizes in bytes may begin now, from the first on: one at least."""
        async with self._turn:
            while not (taken := self._fitting(sizes)):
                self._freed.clear()
                await self._freed.wait()
            self._free -= taken
            self._free_bytes -= sum(sizes[:taken])
            return taken

    def give_back(self, size: int) -> None:
        """An event of this size is answered, or given up."""
        self._free += 1
        self._free_bytes += size
        self._freed.set()

    def _fitting(self, sizes: Sequence[int]) -> int:
        free = min(self._free, TOGETHER_EVENTS_MAX)
        fitting = bisect_right(list(accumulate(sizes[:free])), self._free_bytes)
        # one that is larger than all of it goes alone
        return fitting or int(free > 0 and self._free_bytes == self._bytes_max)


class BatchChunk:
    """Events of these sizes that are asked together, and their answers as lines."""

    def __init__(self, sizes: Sequence[int], slots: Slots) -> None:
        self._lines: list[bytes | None] = [None] * len(sizes)
        self._slots, self._in_flight, self._given = slots, dict(enumerate(sizes)), 0
        self._told = asyncio.Event()
        self._failure: BaseException | None = None

    def tell(self, number: int, reply: Reply) -> None:
        """The answer to one of the events."""
        self._lines[number] = reply.line()
        self._slots.give_back(self._in_flight.pop(number))
        self._told.set()

    def end(self, failure: BaseException | None) -> None:
        """No more answers come. `failure`: why not all of them did."""
        while self._in_flight:
            self._slots.give_back(self._in_flight.popitem()[1])
        self._failure = failure
        self._told.set()

    async def lines(self) -> AsyncIterator[list[bytes]]:
        """Answers in the events' order, as they come in. Raises what kept them from coming."""
        while self._given < len(self._lines):
            ready = []
            for line in self._lines[self._given : self._given + LINES_AT_ONCE]:
                if line is None:
                    break
                ready.append(line)
            if ready:
                end = self._given + len(ready)
                self._lines[self._given : end] = [b""] * len(ready)
                self._given = end
                yield ready
            elif self._failure is not None:
                raise self._failure
            else:
                self._told.clear()
                await self._told.wait()


class Answers:
    """The answers to a stream of events, as lines in the events' order. The stream gives what has come in by then; an
    event that could not be read is a reply already."""

    def __init__(self, ask: AskTogether, slots: Slots, events: AsyncIterator[Sequence[bytes | Reply]]) -> None:
        self._ask, self._slots, self._events = ask, slots, events
        self._asked: asyncio.Queue[BatchChunk | None] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._reading: asyncio.Task[None] | None = None
        # when the last event came, on the monotonic clock
        self.read_at_s = time.monotonic()

    async def __aenter__(self) -> AsyncIterator[list[bytes]]:
        self._reading = asyncio.create_task(self._read())
        return self._lines()

    async def __aexit__(self, *_: object) -> None:
        """What nobody waits for any more is given up; what was sent is scored all the same."""
        tasks = [*self._tasks, *([self._reading] if self._reading else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _lines(self) -> AsyncIterator[list[bytes]]:
        while (chunk := await self._asked.get()) is not None:
            async for lines in chunk.lines():
                yield lines
        if self._reading is not None:
            await self._reading  # raises what reading met

    async def _read(self) -> None:
        try:
            async for events in self._events:
                self.read_at_s = time.monotonic()
                sizes, begun = [0 if isinstance(event, Reply) else len(event) for event in events], 0
                while begun < len(events):
                    end = begun + await self._slots.take(sizes[begun : begun + TOGETHER_EVENTS_MAX])
                    self._begin(events[begun:end], sizes[begun:end])
                    begun = end
        finally:
            self._asked.put_nowait(None)

    def _begin(self, events: Sequence[bytes | Reply], sizes: Sequence[int]) -> None:
        chunk = BatchChunk(sizes, self._slots)
        task = asyncio.create_task(self._answer(events, chunk))
        self._tasks.add(task)

        def ended(task: "asyncio.Task[None]") -> None:
            self._tasks.discard(task)
            chunk.end(asyncio.CancelledError() if task.cancelled() else task.exception())

        task.add_done_callback(ended)
        self._asked.put_nowait(chunk)

    async def _answer(self, events: Sequence[bytes | Reply], chunk: BatchChunk) -> None:
        readable: list[int] = []
        for number, event in enumerate(events):
            if isinstance(event, Reply):
                chunk.tell(number, event)
            else:
                readable.append(number)
        values = [event for event in events if not isinstance(event, Reply)]
        if values:
            await self._ask(values, lambda number, reply: chunk.tell(readable[number], reply))
