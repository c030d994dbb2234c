"""The answers to the events of a batch, in the events' order.

Invariant: what is asked together waits as one, yet each answer goes out as soon as those before it have; a place among
the events in flight is given back with the answer, whether or not the client reads it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

from stream_scorer.gateway.problem import Reply

# Answers that are written at once
LINES_AT_ONCE: Final = 256

AskTogether = Callable[[Sequence[bytes], Callable[[int, Reply], None]], Awaitable[None]]


class Slots:
    """How many events may be in flight. Who wants many gets those that are free, in the order of asking."""

    def __init__(self, free: int) -> None:
        self._free = free
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()

    async def take(self, wanted: int) -> int:
        """How many of `wanted` may begin now: one at least."""
        async with self._turn:
            while not self._free:
                self._freed.clear()
                await self._freed.wait()
            taken = min(wanted, self._free)
            self._free -= taken
            return taken

    def give_back(self, count: int = 1) -> None:
        self._free += count
        self._freed.set()


class BatchChunk:
    """Events that are asked together, and their answers as lines."""

    def __init__(self, events: int, slots: Slots) -> None:
        self._lines: list[bytes | None] = [None] * events
        self._slots, self._in_flight, self._given = slots, events, 0
        self._told = asyncio.Event()
        self._failure: BaseException | None = None

    def tell(self, number: int, reply: Reply) -> None:
        """The answer to one of the events."""
        self._lines[number] = reply.line()
        self._in_flight -= 1
        self._slots.give_back()
        self._told.set()

    def end(self, failure: BaseException | None) -> None:
        """No more answers come. `failure`: why not all of them did."""
        self._slots.give_back(self._in_flight)
        self._in_flight, self._failure = 0, failure
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
                begun = 0
                while begun < len(events):
                    taken = await self._slots.take(len(events) - begun)
                    self._begin(events[begun : begun + taken])
                    begun += taken
        finally:
            self._asked.put_nowait(None)

    def _begin(self, events: Sequence[bytes | Reply]) -> None:
        chunk = BatchChunk(len(events), self._slots)
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
