"""A few slots shared fairly between visitors: each visitor's requests wait in a queue of their own, and the queues take
turns.

Invariant: however many requests one user sends, another waits for at most one turn of each; and nobody may have more
than `waiting_max` requests waiting.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class QueueFullError(Exception):
    """This visitor has too much waiting already."""


class FairSlots:
    """`slots` at once, of one visitor at most `slots_each`."""

    def __init__(self, slots: int, *, slots_each: int, waiting_max: int) -> None:
        self._slots, self._slots_each, self._waiting_max = slots, slots_each, waiting_max
        self._running: dict[str, int] = {}
        # whose turn is next stands first
        self._queues: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def slot(self, visitor: str) -> AsyncIterator[None]:
        """A slot for as long as the block lasts. Raises QueueFullError where this visitor waits for too many."""
        await self._take(visitor)
        try:
            yield
        finally:
            self._release(visitor)
            self._grant()

    async def _take(self, visitor: str) -> None:
        queue = self._queues.setdefault(visitor, deque())
        if len(queue) >= self._waiting_max:
            raise QueueFullError
        turn = asyncio.get_running_loop().create_future()
        queue.append(turn)
        self._grant()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release(visitor)
            else:
                self._forget(visitor, turn)
            self._grant()
            raise

    def _grant(self) -> None:
        """Give free slots out, one visitor after the other."""
        while sum(self._running.values()) < self._slots:
            visitor = next(
                (one for one, queue in self._queues.items() if queue and self._running.get(one, 0) < self._slots_each),
                None,
            )
            if visitor is None:
                return
            queue = self._queues[visitor]
            turn = queue.popleft()
            self._queues.move_to_end(visitor)
            if not queue:
                del self._queues[visitor]
            self._running[visitor] = self._running.get(visitor, 0) + 1
            turn.set_result(None)

    def _forget(self, visitor: str, turn: "asyncio.Future[None]") -> None:
        queue = self._queues.get(visitor, deque())
        if turn in queue:
            queue.remove(turn)
        if not queue:
            self._queues.pop(visitor, None)

    def _release(self, visitor: str) -> None:
        left = self._running[visitor] - 1
        if left:
            self._running[visitor] = left
        else:
            del self._running[visitor]
