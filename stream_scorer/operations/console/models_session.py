"""The models in production as the page has them: opened at the first need, read on at each look, opened anew after a
fault.

Invariant: whoever gives up waiting leaves no read half done, because all share one connection.
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
    """Keeps the connection. `open_rollout` connects; what it raises is told, and tried again at the next look."""

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
                # a refusal says nothing of the connection; after anything else it is made anew
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
