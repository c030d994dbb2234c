"""Jobs of the console: what becomes of them, and how visitors share what there is."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from stream_scorer.operations.console.fair_slots import FairSlots, QueueFullError
from stream_scorer.operations.console.jobs import (
    KEPT_EACH_MAX,
    UNDER_WAY_EACH_MAX,
    Job,
    Jobs,
    QuotaError,
)
from stream_scorer.operations.dead_letters.replay.retry_when_fenced import OnProgress


def a_job(kind: str = "check", visitor: str = "ann") -> Job:
    return Job(kind, "letters", "unchanged", visitor, visitor, [], "/", time.time_ns() // 1_000_000)


async def at_once(_: OnProgress) -> str:
    return "done"


def until(event: asyncio.Event) -> Callable[[OnProgress], Awaitable[str]]:
    async def work(_: OnProgress) -> str:
        await event.wait()
        return "done"

    return work


async def test_a_job_tells_how_far_it_is_and_what_came_of_it() -> None:
    changes: list[int] = []
    jobs = Jobs(lambda: changes.append(1))

    async def work(on_progress: OnProgress) -> str:
        on_progress(3, 7)
        return "done"

    job = jobs.start(a_job("replay"), work, changes=True)
    assert not job.is_over
    assert job.waits
    await jobs.idle()
    assert (job.done, job.total, job.report, job.trouble, job.waits) == (3, 7, "done", None, False)
    assert changes == [1]
    assert jobs[job.name] is job


async def test_an_internal_error_is_told_without_what_it_quotes(caplog: pytest.LogCaptureFixture) -> None:
    jobs, quoted = Jobs(lambda: None), "a secret of somebody"

    async def work(_: OnProgress) -> None:
        raise ValueError(quoted)

    job = jobs.start(a_job(), work, changes=False)
    await jobs.idle()
    assert job.trouble == "Internal error: ValueError. See the console's log."
    assert "ValueError" in caplog.text
    assert quoted not in caplog.text


async def test_a_job_that_only_looks_is_given_up_after_a_while_and_its_slot_is_free_again() -> None:
    jobs = Jobs(lambda: None, look_s_max=0.05)
    stuck = [jobs.start(a_job(), until(asyncio.Event()), changes=False) for _ in range(UNDER_WAY_EACH_MAX)]
    await jobs.idle()
    assert all("Stopped after" in (job.trouble or "") for job in stuck)
    job = jobs.start(a_job(), at_once, changes=False)
    await jobs.idle()
    assert job.report == "done"


async def test_a_visitor_has_a_quota_and_others_are_not_held_up_by_it() -> None:
    jobs, never = Jobs(lambda: None), asyncio.Event()
    for _ in range(UNDER_WAY_EACH_MAX):
        jobs.start(a_job(visitor="greedy"), until(never), changes=False)
    with pytest.raises(QuotaError, match="You have 8 jobs under way"):
        jobs.start(a_job(visitor="greedy"), at_once, changes=False)
    other = jobs.start(a_job(visitor="bob"), at_once, changes=False)
    async with asyncio.timeout(10):
        while not other.is_over:
            await asyncio.sleep(0)
    assert other.report == "done"
    await jobs.stop()


async def test_what_one_visitor_starts_never_takes_anothers_result_away() -> None:
    jobs = Jobs(lambda: None)
    kept = jobs.start(a_job(visitor="bob"), at_once, changes=False)
    await jobs.idle()
    for _ in range(KEPT_EACH_MAX * 3):
        jobs.start(a_job(visitor="greedy"), at_once, changes=False)
        await jobs.idle()
    assert jobs[kept.name] is kept
    assert sum(job.visitor == "greedy" for job in jobs.newest_first()) == KEPT_EACH_MAX


async def test_jobs_that_change_something_run_one_after_the_other() -> None:
    jobs, running = Jobs(lambda: None), []

    async def work(_: OnProgress) -> int:
        running.append(1)
        await asyncio.sleep(0)
        among = len(running)
        running.pop()
        return among

    started = [jobs.start(a_job("replay", visitor), work, changes=True) for visitor in "abcabc"]
    await jobs.idle()
    assert [job.report for job in started] == [1] * 6


async def test_the_ledgers_job_goes_on_while_looks_take_all_their_slots() -> None:
    jobs, never = Jobs(lambda: None), asyncio.Event()
    for visitor in "abcd":
        jobs.start(a_job(visitor=visitor), until(never), changes=False)
    changing = jobs.start(a_job("discard", "eve"), at_once, changes=True)
    async with asyncio.timeout(10):
        while not changing.is_over:
            await asyncio.sleep(0)
    assert changing.report == "done"
    await jobs.stop()


# Slots


async def test_slots_go_round_between_visitors_whoever_asked_first() -> None:
    slots, order = FairSlots(1, slots_each=1, waiting_max=10), list[str]()

    async def take(visitor: str) -> None:
        async with slots.slot(visitor):
            order.append(visitor)
            await asyncio.sleep(0)

    async with slots.slot("first"):
        waiting = [asyncio.create_task(take(visitor)) for visitor in "aaaabc"]
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    assert order == ["a", "b", "c", "a", "a", "a"]


async def test_one_visitor_leaves_slots_for_others() -> None:
    slots = FairSlots(4, slots_each=2, waiting_max=10)
    async with slots.slot("a"), slots.slot("a"):
        third = asyncio.create_task(slots.slot("a").__aenter__())
        await asyncio.sleep(0)
        assert not third.done()
        async with slots.slot("b"):
            pass
        third.cancel()
        await asyncio.gather(third, return_exceptions=True)
    async with asyncio.timeout(1), slots.slot("a"), slots.slot("a"):
        pass  # the cancelled one holds no slot


async def test_a_visitor_with_too_much_waiting_is_refused_and_another_is_not() -> None:
    slots = FairSlots(1, slots_each=1, waiting_max=2)
    async with slots.slot("other"):
        waiting = [asyncio.create_task(slots.slot("a").__aenter__()) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(QueueFullError):
            await slots.slot("a").__aenter__()
        patient = asyncio.create_task(slots.slot("b").__aenter__())
        await asyncio.sleep(0)
        for task in (*waiting, patient):
            task.cancel()
        await asyncio.gather(*waiting, patient, return_exceptions=True)
    for visitor in "ab":
        async with asyncio.timeout(1), slots.slot(visitor):
            pass  # the cancelled ones hold no slot
