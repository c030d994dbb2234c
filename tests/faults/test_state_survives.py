"""The state is what the output topics say: whatever becomes of a local store, of a worker or of its lanes, the same
decisions follow.
"""

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.builders import an_event, an_outcome
from tests.support.kafka_environment import Account
from tests.support.reference_audit import Reckoning, body, said
from tests.support.traffic import Sent, feed, send, traffic
from tests.support.workers import Environment, stopped

SMALL_BATCHES: dict[str, Any] = {"worker__batch_records_max": 100}


def only(side: str, events: list[Sent]) -> list[Sent]:
    return [one for one in events if one.side == side]


def flipped(events: list[Sent]) -> list[Sent]:
    """The outcomes again, each saying the opposite."""
    return [
        one._replace(
            value=one.value.replace(b"true}", b"other}").replace(b"false}", b"true}").replace(b"other}", b"false}")
        )
        for one in only("outcomes", events)
    ]


def cut_in_half(lane: Path) -> None:
    for path in lane.iterdir():
        os.truncate(path, path.stat().st_size // 2)


def scramble(lane: Path) -> None:
    for path in lane.glob("*.sst"):
        path.write_bytes(os.urandom(path.stat().st_size))


def lose_its_files(lane: Path) -> None:
    for path in [*lane.glob("*.sst"), *lane.glob("MANIFEST*")]:
        path.unlink()


def delete(lane: Path) -> None:
    for path in lane.iterdir():
        path.unlink()
    lane.rmdir()


async def everything_again(environment: Environment, events: list[Sent]) -> Account:
    """Send what was sent before once more: each observation is known, each opposite outcome is a correction."""
    before = await environment.account()
    await send(environment.topics, only("observations", events) + flipped(events))
    after = await environment.account()
    assert after.ended["prediction"] == before.ended["prediction"]
    assert after.ended["redelivery"] > before.ended["redelivery"] + 0.9 * len(only("observations", events))
    assert after.ended["joined"] > before.ended["joined"]
    return after


@pytest.mark.parametrize("killed", [False, True], ids=["stopped", "killed"])
@pytest.mark.fault("the state on disk is deleted, damaged or old", promise="the state is restored from the topics")
async def test_a_restart_knows_what_was_said_whatever_became_of_its_stores(
    environment: Environment, killed: bool
) -> None:
    events = traffic(2_000)
    await send(environment.topics, events)
    # under one name, so that the group does not wait for the one that was killed
    worker = await environment.start(worker__group_instance_id="w", **SMALL_BATCHES)
    await environment.settled()
    if killed:
        worker.kill()
    else:
        assert await stopped(worker) == 0
    # to each lane something else; when stopped, one is left as it was
    accidents = [cut_in_half, scramble, lose_its_files, delete][: None if killed else 3]
    for lane, accident in zip(environment.lanes_of("worker"), accidents, strict=False):
        accident(lane)
    await environment.start(worker__group_instance_id="w")
    await everything_again(environment, events)


@pytest.mark.fault(
    "kill -9 between a commit and the write of the state", promise="the state catches up from the topics"
)
async def test_a_worker_that_was_killed_goes_on_from_what_its_stores_still_hold(environment: Environment) -> None:
    events = traffic(2_000)
    worker = await environment.start(worker__group_instance_id="w", **SMALL_BATCHES)
    await send(environment.topics, events[:2_000])
    await environment.topics.read_until(lambda read: len(read.predictions) > 500, "it is at work")
    worker.kill()
    await environment.start(worker__group_instance_id="w", **SMALL_BATCHES)
    await send(environment.topics, events[2_000:])
    await everything_again(environment, events)


def pairs(count: int, id_prefix: str) -> list[Sent]:
    """Observations and outcomes of the same ids at the same moment, in turn the one and the other first."""
    return [
        one
        for number in range(count)
        for one in (
            Sent(number, "observations", an_event(f"{id_prefix}{number}", SubjectAge=10 + number % 90)),
            Sent(number, "outcomes", an_outcome(f"{id_prefix}{number}", number % 2 == 0)),
        )[:: 1 if number % 2 else -1]
    ]


async def back_and_forth(environment: Environment, times: int) -> None:
    """A second worker comes and goes, each with its own folder of state, under load all the while."""
    topics, going_on = environment.topics, True
    events: list[Sent] = []

    async def load() -> None:
        turn = 0
        while going_on:
            turn += 1
            prefix = f"turn-{turn}-"
            new = pairs(100, prefix) if turn % 2 else traffic(200, seed=turn, id_prefix=prefix)
            events.extend(new)
            await feed(topics, new, pause_s=0.02, at_once=40)

    settings = SMALL_BATCHES | {"worker__session_timeout_ms": 6_000}
    await environment.start("one", **settings)
    loading = asyncio.create_task(load())
    try:
        for turn in range(times):
            two = await environment.start("two", **settings)
            before = len((await topics.read()).predictions)
            await topics.read_until(lambda read, least=before + 200: len(read.predictions) > least, "both go on")  # type: ignore[misc]
            if turn % 2:
                assert await stopped(two) == 0
            else:
                two.kill()
    finally:
        going_on = False
        await loading
    result = await environment.account()
    assert result.ended["joined"] > 100
    await everything_again(environment, events)


@pytest.mark.long
@pytest.mark.fault("lanes move between workers under load", promise="nothing lost, nothing doubled")
async def test_lanes_move_back_and_forth_under_load(environment: Environment) -> None:
    await back_and_forth(environment, 1)


@pytest.mark.long
@pytest.mark.fault("lanes move between workers ten times under load", promise="nothing lost, nothing doubled")
async def test_lanes_move_back_and_forth_ten_times_under_load(environment: Environment) -> None:
    await back_and_forth(environment, 10)


async def test_a_state_made_from_the_topics_alone_decides_as_the_one_that_was_kept(environment: Environment) -> None:
    """After all that went before, in another folder, under another name."""
    events = traffic(2_000)
    worker = await environment.start("first", worker__group_instance_id="w", **SMALL_BATCHES)
    await send(environment.topics, events)
    await environment.settled()
    worker.kill()
    second = await environment.start("second", worker__group_instance_id="w")
    await everything_again(environment, events)
    assert await stopped(second) == 0
    await environment.start("third", worker__group_instance_id="w")
    # the opposites of the opposites: the next revision of each
    await send(environment.topics, only("outcomes", events))
    result = await environment.account()
    last: dict[str, tuple[int, bool]] = {}
    for record in result.read.updates:
        event = body(record)
        if event["status"] == "joined":
            last[event["id"]] = event["revision"], event["true_class"]
    reported = {told.id: told.event["true_class"] for one in only("outcomes", events) if (told := said(one.value))}
    assert len(last) > 600
    assert {id_: true_class for id_, (_, true_class) in last.items()} == {id_: reported[id_] for id_ in last}


async def test_what_happened_long_ago_and_was_scored_just_now_is_known_after_a_restart(
    environment: Environment,
) -> None:
    """An import of older stops: their records' times lie before the join window, their scoring does not."""
    topics, forty_days_ago_ms = environment.topics, int((time.time() - 40 * 86_400) * 1000)
    worker = await environment.start()
    await topics.observe(an_event("recent"), an_event("old-0"))
    await topics.observe(an_event("old-1"), an_event("old-2"), timestamp_ms=forty_days_ago_ms)
    await topics.report(an_outcome("old-2", True), timestamp_ms=forty_days_ago_ms)
    await environment.settled()
    assert await stopped(worker) == 0
    environment.forget("worker")
    await environment.start()
    await topics.observe(an_event("old-1"), an_event("old-2", hour=7))
    await topics.report(an_outcome("old-1", False), an_outcome("old-2", False))
    await environment.account(prediction=4, redelivery=1, dead_letter=1, joined=3)


@pytest.mark.fault("kill -9 under at-least-once", promise="nothing lost")
async def test_at_least_once_loses_nothing(environment: Environment) -> None:
    """What was published and not yet committed is published again; nothing is missing."""
    topics, events = environment.topics, traffic(4_000)
    for part in range(2):
        worker = await environment.start(
            worker__delivery="at-least-once", worker__group_instance_id="w", **SMALL_BATCHES
        )
        before = len((await topics.read()).predictions)
        await send(topics, events[part::2])
        await topics.read_until(lambda read, least=before: len(read.predictions) > least, "it is at work")  # type: ignore[misc]
        worker.kill()
    worker = await environment.start(worker__delivery="at-least-once", worker__group_instance_id="w")
    await environment.settled()
    faults = Reckoning(await topics.read(), environment.names, 4).faults
    assert [fault for fault in faults if "unaccounted" in fault] == []
    assert {fault for fault in faults if not fault_of_repetition(fault)} == set()
    assert await stopped(worker) == 0


def fault_of_repetition(fault: str) -> bool:
    """Whether it says that something was said twice, which is what at-least-once allows."""
    return any(
        sign in fault for sign in ("ended more than once", "though its id was", "is out of order", "times", "joined as")
    )
