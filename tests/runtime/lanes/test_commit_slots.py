"""Lanes take turns, and none waits for ever for one that hangs."""

import asyncio

from stream_scorer.runtime.lanes.commit_slots import CommitSlots


async def test_so_many_at_once_and_the_others_when_one_is_done() -> None:
    turns, order = CommitSlots(at_once=2, patience_s=60.0), []

    async def commit(name: str, done: asyncio.Event) -> None:
        with await turns.take():
            order.append(name)
            await done.wait()

    ends = {name: asyncio.Event() for name in "abc"}
    tasks = [asyncio.create_task(commit(name, done)) for name, done in ends.items()]
    await asyncio.sleep(0.05)
    assert order == ["a", "b"]
    ends["b"].set()
    await asyncio.sleep(0.05)
    assert order == ["a", "b", "c"]
    for done in ends.values():
        done.set()
    await asyncio.gather(*tasks)


async def test_who_has_waited_long_enough_goes_without_a_turn() -> None:
    turns = CommitSlots(at_once=1, patience_s=0.01)
    hanging = await turns.take()
    impatient = await turns.take()
    impatient.close()  # it had none, so it gives none back
    assert await is_held(turns)
    hanging.close()
    hanging.close()
    assert not await is_held(turns)


async def test_a_lane_that_is_closed_while_it_waits_leaves_the_turn_to_the_next() -> None:
    turns = CommitSlots(at_once=1, patience_s=60.0)
    hanging = await turns.take()
    closed = asyncio.create_task(turns.take())
    await asyncio.sleep(0)
    closed.cancel()
    await asyncio.gather(closed, return_exceptions=True)
    hanging.close()
    async with asyncio.timeout(5.0):
        (await turns.take()).close()


async def is_held(turns: CommitSlots) -> bool:
    """Whether no turn is free now."""
    free = turns._free.locked()
    return bool(free)
