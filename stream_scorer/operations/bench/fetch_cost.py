"""What one fetch costs a worker in packing and reading, by its number of lanes: in a session, and through the client's
own tables, which name every partition each time.

Invariant: both are asked for the same partitions and get the same records.
"""

import time
from collections.abc import Callable
from io import BytesIO
from typing import Any, Final

import msgspec
from aiokafka.protocol.fetch import FetchRequest, FetchRequest_v11, FetchResponse_v11

from stream_scorer.runtime.kafka.fetch_sessions import FetchSession

LANES: Final = (4, 12, 48)
# Partitions that a fetch brings records of
MOVED_ON: Final = 2
RECORDS: Final = b"x" * 400
TOPICS: Final = ("bench.stops.observations", "bench.stops.outcomes")
RUNS: Final = 20
FETCHES_A_RUN: Final = 100


class FetchCost(msgspec.Struct, kw_only=True):
    """Microseconds for a request and its answer."""

    lanes: int
    in_session_us: float
    by_tables_us: float


def measure_fetches() -> list[FetchCost]:
    """The quickest of some runs for each number of lanes."""
    return [FetchCost(lanes=lanes, in_session_us=in_session(lanes), by_tables_us=by_tables(lanes)) for lanes in LANES]


def in_session(lanes: int) -> float:
    session, answer = FetchSession(), packed_answer(MOVED_ON, lanes)
    offset = 0

    def fetch() -> None:
        nonlocal offset
        offset += 1
        session.next(request_for(lanes, offset)).encode()
        session.decode(BytesIO(answer))

    return quickest_us(fetch)


def by_tables(lanes: int) -> float:
    answer = packed_answer(lanes, lanes)

    def fetch() -> None:
        request_for(lanes, 1).build(FetchRequest_v11).encode()
        FetchResponse_v11.decode(BytesIO(answer))

    return quickest_us(fetch)


def request_for(lanes: int, offset: int) -> FetchRequest:
    """For both topics; `MOVED_ON` partitions of the first are at that offset, all others where they were."""
    places: list[tuple[str, list[tuple[int, int, int]]]] = [
        (topic, [(lane, offset if topic is TOPICS[0] and lane < MOVED_ON else 0, 1 << 21) for lane in range(lanes)])
        for topic in TOPICS
    ]
    return FetchRequest(100, 1, 1 << 24, 1, places)


def packed_answer(partitions: int, lanes: int) -> bytes:
    """Records for `MOVED_ON` partitions of the first topic, and so many partitions named in all."""
    named: list[Any] = [(lane, 0, 9, 9, 0, [], -1, RECORDS if lane < MOVED_ON else b"") for lane in range(partitions)]
    topics: list[Any] = [(TOPICS[0], named)]
    if partitions == lanes:
        topics.append((TOPICS[1], [(lane, 0, 9, 9, 0, [], -1, b"") for lane in range(lanes)]))
    packed: bytes = FetchResponse_v11(0, 0, 1, topics).encode()
    return packed


def quickest_us(fetch: Callable[[], None]) -> float:
    best_s = float("inf")
    for _ in range(RUNS):
        began_s = time.thread_time()
        for _ in range(FETCHES_A_RUN):
            fetch()
        best_s = min(best_s, time.thread_time() - began_s)
    return round(best_s / FETCHES_A_RUN * 1e6, 1)
