"""Letters acted on, partition by partition and part by part, also where other operators act on the same.

Invariant: a part that somebody else got in the way of is looked at again from the start, and a part that is settled
never.
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

import numpy as np

from stream_scorer.core.records.dead_letter_reader import DeadLetter, UnreadableDeadLetter
from stream_scorer.errors import FencedError
from stream_scorer.operations.dead_letters.context import Context
from stream_scorer.operations.dead_letters.query.search import Offsets, read_letters
from stream_scorer.operations.dead_letters.replay.action_transaction import TOGETHER_MAX, ActionTransaction

# Letters acted on so far, in all
OnProgress = Callable[[int, int], None]
Letters = Sequence[DeadLetter | UnreadableDeadLetter]
# Settles some letters in one transaction at most, and counts nothing before that is committed
Settle = Callable[[ActionTransaction, Letters], Awaitable[None]]

# How often in a row another operator may take over before we leave the field to them
FENCED_MAX: Final = 10
FENCED_WAIT_S: Final = (0.2, 1.0)


async def apply_in_chunks(
    access: Context,
    places: Offsets,
    settle: Settle,
    *,
    together: int = TOGETHER_MAX,
    on_progress: OnProgress | None = None,
) -> None:
    """Settle all letters at these places, so many together. Raises FencedError where other operators keep taking
    over."""
    left = {partition: offsets for partition, offsets in places.items() if len(offsets)}
    total, acted = sum(map(len, left.values())), 0
    queue, fenced = deque(left), 0
    while queue:
        partition = queue.popleft()
        try:
            async with ActionTransaction(access, partition) as actor:
                async for letters in _in_parts(access, {partition: left[partition]}, together):
                    await settle(actor, letters)
                    behind = int(np.searchsorted(left[partition], letters[-1].place.offset, side="right"))
                    left[partition] = left[partition][behind:]
                    acted, fenced = acted + behind, 0
                    if on_progress is not None:
                        on_progress(acted, total)
        except FencedError:
            fenced += 1
            if fenced > FENCED_MAX:
                raise
            # the other partitions first: another operator works on this one
            queue.append(partition)
            await asyncio.sleep(random.uniform(*FENCED_WAIT_S))


async def _in_parts(access: Context, offsets: Offsets, together: int) -> AsyncIterator[Letters]:
    async for _, letters in read_letters(access, offsets):
        for begin in range(0, len(letters), together):
            yield letters[begin : begin + together]
