"""What the console makes of the figures of workers: totals over many of them, rates, latency, quality."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from stream_scorer.core.quality.confidence_intervals import wilson
from stream_scorer.operations.console.snapshots.recorder import LATENCY_OVER_S, Recorder, Sample
from stream_scorer.operations.console.snapshots.snapshot import PartitionNow, Snapshot
from stream_scorer.operations.console.snapshots.worker_client import ANSWER_WAIT_S, WorkerAnswer, WorkerClient
from stream_scorer.operations.console.snapshots.worker_totals import WorkerTotals
from stream_scorer.operations.console.snapshots.workers_snapshot import partitions_now, quality_now
from stream_scorer.runtime.worker.status import FORMAT, JoinedCount, LaneFigures, WorkerStatus

BOUNDS_S = [0.1, 0.5]


def a_status(instance: str = "one", predicted: int = 0, **fields: object) -> WorkerStatus:
    plain = WorkerStatus(
        version="1.0",
        instance=instance,
        ready=True,
        state="ready, 1 lanes",
        partitions=4,
        observations={"predicted": predicted, "dead_lettered": 3},
        dead_letters=3,
        latency_bounds_s=BOUNDS_S,
        latency_counts=[predicted, 0, 0],
    )
    return msgspec.structs.replace(plain, **fields)


# Totals


def test_the_counts_of_workers_add_up() -> None:
    totals = WorkerTotals()
    totals.add([a_status("one", 10), a_status("two", 5)])
    assert totals.ended["observations.predicted"] == 15
    assert totals.ended["dead_letters"] == 6


def test_a_worker_that_starts_again_takes_nothing_back() -> None:
    totals = WorkerTotals()
    totals.add([a_status("before", 10)])
    totals.add([a_status("before", 12)])
    totals.add([a_status("after", 1)])
    totals.add([])
    assert totals.ended["observations.predicted"] == 13


def test_a_long_history_that_comes_into_sight_is_no_burst() -> None:
    totals = WorkerTotals()
    totals.add([a_status("old", 1_000_000)])
    assert (totals.counted["observations.predicted"], totals.latency) == (0, [])
    totals.add([a_status("old", 1_000_007)])
    assert (totals.counted["observations.predicted"], totals.latency) == (7, [7, 0, 0])


def test_a_correction_moves_a_joined_outcome_from_one_group_to_the_other() -> None:
    def joined(actual: bool, count: int) -> JoinedCount:
        return JoinedCount(column="SubjectRaceCode", group="W", predicted=True, actual=actual, count=count)

    totals = WorkerTotals()
    totals.add([a_status(joined=[joined(True, 5), joined(False, 0)])])
    totals.add([a_status(joined=[joined(True, 4), joined(False, 1)])])
    assert dict(totals.joined) == {
        ("SubjectRaceCode", "W", True, True): 4,
        ("SubjectRaceCode", "W", True, False): 1,
    }


def test_quality_is_that_of_all_joined_outcomes() -> None:
    totals = WorkerTotals()
    counts = {("W", True, True): 60, ("W", True, False): 40, ("B", True, True): 30, ("B", True, False): 70}
    counts |= {("B", False, True): 10}
    joined = [
        JoinedCount(column="SubjectRaceCode", group=group, predicted=predicted, actual=actual, count=count)
        for (group, predicted, actual), count in counts.items()
    ]
    totals.add([a_status("one", joined=joined[:2], predictions=100), a_status("two", joined=joined[2:])])
    said = quality_now(totals.joined, totals.predictions, 1)
    assert (said.joined, said.predicted_positive, said.actual_positive) == (210, 200, 100)
    assert said.success_rate == wilson(90, 200)
    (gap,) = said.gaps
    assert (gap.highest, gap.lowest) == ("W", "B")
    assert gap.gap.value == pytest.approx(0.3)


# Partitions


def test_a_partition_that_two_workers_name_belongs_to_the_one_that_has_it_open() -> None:
    leaving = a_status("one", lanes=[LaneFigures(partition=0, is_open=False)])
    coming = a_status("two", lanes=[LaneFigures(partition=0, is_open=True), LaneFigures(partition=1, is_open=True)])
    for answers in (
        [WorkerAnswer("a:1", leaving), WorkerAnswer("b:1", coming)],
        [WorkerAnswer("b:1", coming), WorkerAnswer("a:1", leaving)],
    ):
        found = partitions_now(answers)
        assert [(each.state, each.worker) for each in found[:2]] == [("open", "b:1"), ("open", "b:1")]
        assert [each.state for each in found[2:]] == ["unowned", "unowned"]


def test_a_partition_is_unknown_rather_than_unowned_while_a_worker_does_not_answer() -> None:
    found = partitions_now([WorkerAnswer("a:1", a_status()), WorkerAnswer("b:1", None, "it does not answer")])
    assert {each.state for each in found} == {"unknown"}


# Asking


@asynccontextmanager
async def a_worker(content: bytes, *, status: int = 200, wait_s: float = 0.0) -> AsyncIterator[str]:
    async def answer(_: web.Request) -> web.Response:
        await asyncio.sleep(wait_s)
        return web.Response(body=content, status=status)

    app = web.Application()
    app.router.add_get("/status", answer)
    async with TestServer(app) as server:
        yield f"http://127.0.0.1:{server.port}"


async def asked(*urls: str) -> list[WorkerAnswer]:
    client = WorkerClient(urls)
    try:
        return await client.ask()
    finally:
        await client.close()


async def test_a_worker_tells_what_it_writes() -> None:
    status = a_status(lanes=[LaneFigures(partition=2, is_open=True, ids=7)])
    async with a_worker(msgspec.json.encode(status)) as url:
        (answer,) = await asked(url)
    assert answer.status == status


async def test_fields_of_a_later_version_are_passed_over() -> None:
    later = msgspec.to_builtins(a_status()) | {"format": FORMAT + 1, "more": [1]}
    async with a_worker(msgspec.json.encode(later)) as url:
        (answer,) = await asked(url)
    assert answer.status is not None


@pytest.mark.parametrize(
    ("content", "status", "why"),
    [
        pytest.param(b"<html>", 200, "can't be read", id="no JSON"),
        pytest.param(b"{}", 200, "can't be read", id="another object"),
        pytest.param(b"[" * 100_000, 200, "can't be read", id="nested without end"),
        pytest.param(b" " * 2_000_000, 200, "can't be read", id="larger than any worker's"),
        pytest.param(b"", 404, "HTTP status 404", id="no worker"),
        pytest.param(b"", 302, "HTTP status 302", id="leads elsewhere"),
    ],
)
async def test_what_is_no_workers_answer_is_told_beside_those_that_are(content: bytes, status: int, why: str) -> None:
    async with a_worker(msgspec.json.encode(a_status())) as good, a_worker(content, status=status) as bad:
        fine, wrong = await asked(good, bad)
    assert fine.status is not None
    assert wrong.status is None
    assert why in wrong.why


async def test_a_worker_that_hangs_does_not_keep_the_others_figures_away() -> None:
    async with (
        a_worker(msgspec.json.encode(a_status())) as good,
        a_worker(b"", wait_s=ANSWER_WAIT_S + 1.0) as slow,
    ):
        fine, hanging = await asked(good, slow)
    assert fine.status is not None
    assert hanging.why == "it does not answer: no answer in time"


async def test_a_name_that_nobody_knows_is_told() -> None:
    (answer,) = await asked("http://nobody.invalid:8080")
    assert answer.status is None
    assert "name can't be resolved" in answer.why


# Rates and latency


class Counting:
    """Workers that have predicted a thousand more at each look, the first ones slowly."""

    looks = 0

    async def now(self) -> Snapshot:
        self.looks += 1
        counted = {"observations.predicted": 1_000 * self.looks}
        return Snapshot(
            partitions=[PartitionNow(0, "open", observations_unread=5, outcomes_unread=2)],
            ended=counted,
            counted=counted,
            latency_bounds_s=(0.1, 0.2),
            latency_counts=(500 * self.looks, 500 * self.looks, 400),
        )


async def looked(times: int, *, every_s: float) -> Recorder:
    recorder = Recorder(Counting())
    for _ in range(times):
        await recorder.look()
    begin_s = recorder.looks[0].at_s
    recorder.looks.extend([Sample(begin_s + every_s * n, recorder.looks.popleft().now) for n in range(times)])
    return recorder


async def test_rates_come_of_two_looks_and_the_time_between() -> None:
    recorder = Recorder(Counting())
    assert recorder.rate("observations.predicted") is None
    recorder = await looked(2, every_s=4.0)
    assert recorder.rate("observations.predicted") == pytest.approx(250)
    assert recorder.rates("observations.predicted") == [pytest.approx(250)]
    assert recorder.unread() == [7, 7]


async def test_what_only_one_of_two_looks_knows_is_no_burst() -> None:
    recorder = await looked(2, every_s=4.0)
    first, last = recorder.looks
    recorder.looks[0] = Sample(first.at_s, Snapshot(partitions=[], counted={"observations.read": 9}))
    assert recorder.rate("observations.predicted") == 0
    assert recorder.rate("observations.read") == 0
    assert last.now.counted["observations.predicted"] == 2_000


async def test_a_single_look_tells_no_latency() -> None:
    recorder = await looked(1, every_s=1.0)
    assert recorder.latency_s(0.5) == [None]


async def test_latency_leaves_out_what_was_before_the_first_look() -> None:
    recorder = await looked(2, every_s=2.0)
    median_s, slow_s = recorder.latency_s(0.5, 0.99)
    assert median_s == pytest.approx(0.1)
    assert slow_s == pytest.approx(0.198)


async def test_latency_is_that_of_the_last_five_minutes() -> None:
    recorder = await looked(3, every_s=LATENCY_OVER_S * 0.6)
    oldest = recorder.looks[0]
    slow = Snapshot(partitions=[], latency_bounds_s=(0.1, 0.2), latency_counts=(0, 0, 0))
    recorder.looks[0] = Sample(oldest.at_s, slow)
    # the 400 slow ones lie between the first two looks, and the first is older than five minutes
    assert recorder.latency_s(0.99) == [pytest.approx(0.198)]
    recorder.looks[0] = Sample(recorder.looks[1].at_s - 1.0, slow)
    assert recorder.latency_s(0.99) == [pytest.approx(0.2)]
