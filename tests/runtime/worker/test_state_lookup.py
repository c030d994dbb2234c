"""Look-ups at a worker's door: which status stands for what, and how many are made."""

from collections.abc import Mapping
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from stream_scorer.core.records.partitioner import partition_of
from stream_scorer.core.state.entry import Entry, ScoredObservation, pack
from stream_scorer.core.state.model_ids import ModelIds
from stream_scorer.runtime.lanes.lane import Lane
from stream_scorer.runtime.lanes.lifecycle import LaneStatus
from stream_scorer.runtime.settings.settings import load_settings
from stream_scorer.runtime.worker.state_lookup import StateLookup, application_server

PARTITIONS = 4
ENTRY = pack(Entry(ScoredObservation(5, 0.5, True, 0, 3, 0, 0)))


class HeldLane:
    """What a look-up sees of a lane."""

    def __init__(self, status: LaneStatus, entries: Mapping[bytes, bytes], pending: int = 0) -> None:
        self.status, self._entries, self._pending = status, entries, pending

    def is_pending(self, id_: bytes) -> bool:
        self._pending -= 1
        return self._pending >= 0

    def committed(self, id_: bytes) -> tuple[bytes | None, ModelIds] | None:
        if self.status is not LaneStatus.OPEN or self._pending > 0:
            return None
        return self._entries.get(id_), ModelIds([("m@1", "champion")])


def a_lookup(
    status: LaneStatus = LaneStatus.OPEN, *, owned: str = "known", pending: int = 0, per_s_max: float = 500, **http: Any
) -> StateLookup:
    settings = load_settings(None, {}, {f"http.{name}": value for name, value in http.items()})
    lanes = {partition_of(owned.encode(), PARTITIONS): HeldLane(status, {b"known": ENTRY}, pending)}
    return StateLookup(settings.http, PARTITIONS, lambda: cast(Mapping[int, Lane], lanes), per_s_max=per_s_max)


async def status_of(lookup: StateLookup, path: str, times: int = 1) -> list[int]:
    app = web.Application()
    app.router.add_get("/state/{id:.+}", lookup.view)
    async with TestClient(TestServer(app)) as client:
        return [(await client.get(path)).status for _ in range(times)]


@pytest.mark.parametrize("status", [LaneStatus.OPENING, LaneStatus.DRAINING, LaneStatus.CLOSED])
async def test_a_lane_that_is_not_open_can_not_say(status: LaneStatus) -> None:
    assert await status_of(a_lookup(status), "/state/known") == [503]


async def test_an_open_lane_says_what_it_knows() -> None:
    assert await status_of(a_lookup(), "/state/known") == [200]
    stranger = next(
        id_
        for id_ in map(str, range(99))
        if partition_of(id_.encode(), PARTITIONS) == partition_of(b"known", PARTITIONS)
    )
    assert await status_of(a_lookup(), f"/state/{stranger}") == [404]


async def test_a_batch_that_is_being_committed_is_waited_for_a_little() -> None:
    assert await status_of(a_lookup(pending=3), "/state/known") == [200]
    assert await status_of(a_lookup(pending=10_000), "/state/known") == [503]


async def test_another_workers_id_is_misdirected() -> None:
    other = next(
        id_
        for id_ in map(str, range(99))
        if partition_of(id_.encode(), PARTITIONS) != partition_of(b"known", PARTITIONS)
    )
    assert await status_of(a_lookup(), f"/state/{other}") == [421]


async def test_what_can_be_no_id_is_refused() -> None:
    assert await status_of(a_lookup(), "/state/" + "x" * 201) == [400]


async def test_more_look_ups_than_a_worker_makes_are_told_to_come_again() -> None:
    lookup = a_lookup(per_s_max=0.001)
    assert await status_of(lookup, "/state/known", 2) == [200, 429]


async def test_beyond_loopback_there_is_no_look_up_without_a_token() -> None:
    assert await status_of(a_lookup(host="0.0.0.0"), "/state/known") == [403]


@pytest.mark.parametrize(
    ("given", "host", "named"),
    [
        ({}, "127.0.0.1", "127.0.0.1:80"),
        ({}, "::1", "[::1]:80"),
        ({"worker.application_server": "pod-0.scorers:8080"}, "0.0.0.0", "pod-0.scorers:8080"),
    ],
)
def test_a_worker_names_where_it_listens_or_what_it_is_told(given: dict[str, Any], host: str, named: str) -> None:
    assert application_server(load_settings(None, {}, given), host, 80) == named


def test_a_worker_that_listens_at_every_address_names_its_machine() -> None:
    assert application_server(load_settings(None, {}, {}), "0.0.0.0", 80) not in ("0.0.0.0:80", ":80")
