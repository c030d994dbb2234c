"""Turns: of the lanes that have a little to commit, a few at a time.

Transactions side by side slow each other down, on few cores most of all, and every record waits for the slowest. One
behind the other each is short, and what comes in the meantime goes along with the next one.
"""

import asyncio
import contextlib
from typing import Final

# Measured on two cores at 1,000 events a second over four lanes: median and 99th percentile were lowest with two
AT_ONCE: Final = 2
# Longer than a healthy transaction takes; a lane whose partition has no leader must not hold up the others
ACQUIRE_TIMEOUT_S: Final = 0.05


class CommitSlots:
    """Shared by the lanes of a worker."""

    def __init__(self, at_once: int = AT_ONCE, patience_s: float = ACQUIRE_TIMEOUT_S) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._patience_s = patience_s

    async def take(self) -> contextlib.ExitStack:
        """Wait for a turn, and go without one once the patience is over. Close it to give it back."""
        turn = contextlib.ExitStack()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience_s):
                await self._free.acquire()
                turn.callback(self._free.release)
        return turn
