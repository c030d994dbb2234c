"""The models in production for the console: opened at first use, updated at each request, reopened after a
fault.

Invariant: a request that is cancelled does not interrupt a read, because all share one connection.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import TypeVar

from stream_scorer.errors import OutageError, UserError
from stream_scorer.operations.rollout.service import Rollout

T = TypeVar("T")

OpenRollout = Callable[[], AbstractAsyncContextManager[Rollout]]


class ModelsSession:
    """Keeps the connection. `open_rollout` connects; a fault is shown, and the next request tries again."""

    def __init__(self, open_rollout: OpenRollout) -> None:
        self._open_rollout = open_rollout
        self._turn = asyncio.Lock()
        self._rollout: Rollout | None = None
        self._connection = AsyncExitStack()

    async def ask(self, question: Callable[[Rollout], Awaitable[T]]) -> T:
        """What the models' topics answer. Raises UserError."""
        return await asyncio.shield(self._asked(question))

    async def _asked(self, question: Callable[[Rollout], Awaitable[T]]) -> T:
        async with self._turn:
            if self._rollout is None:
                self._rollout = await self._connection.enter_async_context(self._open_rollout())
            try:
                return await question(self._rollout)
            except Exception as error:
                # a refusal says nothing of the connection; after any other fault it is reopened
                if not isinstance(error, UserError) or isinstance(error, OutageError):
                    await self._close()
                raise

    async def close(self) -> None:
        """End the connection."""
        async with self._turn:
            await self._close()

    async def _close(self) -> None:
        self._rollout = None
        await self._connection.aclose()
