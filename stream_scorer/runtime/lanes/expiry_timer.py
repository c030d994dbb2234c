"""What ends with time in a lane, also when nothing arrives.

Invariant: an outcome is given up only once every observation that was published before has been taken into the state.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from stream_scorer.core.records.clock import WindowClock
from stream_scorer.runtime.state.pending_writes import PendingWrites

# How often a lane looks: often enough for the join window, seldom enough to cost nothing
TICK_S_MAX: Final = 5.0
TICKS_A_WINDOW: Final = 20
# Outcomes that may end in one batch for having waited too long
DUE_AT_ONCE_MAX: Final = 1_000


class ExpiryTimer:
    """Forgets what is older than the join window and finds outcomes that have waited for longer. `has_read_all`:
    whether no observation is left unread that they may wait for; `arrived` is called when some are due; `keeps_all`:
    whether nothing may be forgotten or expire now."""

    def __init__(
        self,
        clock: Callable[[], WindowClock],
        has_read_all: Callable[[], Awaitable[bool]],
        arrived: Callable[[], None],
        keeps_all: Callable[[], bool] = lambda: False,
    ) -> None:
        self._clock, self._has_read_all, self._arrived, self._keeps_all = clock, has_read_all, arrived, keeps_all
        self._due: list[tuple[int, bytes]] = []

    @property
    def is_due(self) -> bool:
        return bool(self._due)

    def take(self) -> list[tuple[int, bytes]]:
        """(event time, id) of the outcomes that are due."""
        due, self._due = self._due, []
        return due

    async def run(self, state: PendingWrites) -> None:
        """Look now and then, until cancelled."""
        while True:
            await asyncio.sleep(min(TICK_S_MAX, self._clock().join_window_ms / 1000 / TICKS_A_WINDOW))
            if self._keeps_all():
                continue
            clock = self._clock()
            state.evict(clock)
            if self._due or not state.expired(clock.window_starts_ms, 1):
                continue
            if await self._has_read_all():
                self._due = state.expired(clock.window_starts_ms, DUE_AT_ONCE_MAX)
                self._arrived()
