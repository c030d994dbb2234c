"""Fetch requests packed by hand are those of aiokafka's tables, and so is what is read of answers."""

import struct
from typing import Any, Final

import pytest
from aiokafka.protocol.fetch import FetchRequest_v11, FetchResponse_v11

from stream_scorer.runtime.kafka.protocol.fetch_packing import FetchLimits, pack_fetch, read_fetched

LIMITS: Final = FetchLimits(500, 1, 16_000_000, 1)


@pytest.mark.parametrize(
    ("session", "partitions", "forgotten"),
    [
        pytest.param((0, 0), {"orders": [(0, 7, 1_000), (3, 2**40, 9)], "späte": [(1, 0, 5)]}, {}, id="a new session"),
        pytest.param((77, 4), {"orders": [(3, 8, 9)]}, {"orders": [0, 2], "late": [1]}, id="some are forgotten"),
        pytest.param((-2, 2**31 - 1), {}, {}, id="nothing has moved on"),
    ],
)
def test_a_request_is_that_of_the_table(session: Any, partitions: Any, forgotten: Any) -> None:
    table = FetchRequest_v11(
        -1,
        *LIMITS,
        *session,
        [(topic, [(number, -1, offset, -1, most) for number, offset, most in of]) for topic, of in partitions.items()],
        list(forgotten.items()),
        "",
    )
    assert pack_fetch(LIMITS, session, partitions, forgotten) == table.encode()


@pytest.mark.parametrize(
    "topics",
    [
        pytest.param([], id="nothing new"),
        pytest.param([("späte", [(0, 6, -1, -1, -1, [], -1, None)])], id="an error"),
        pytest.param(
            [
                (
                    "orders",
                    [(0, 0, 9, 8, 1, [(4_000_000_000, 5), (7, 6)], -1, b"records"), (2, 0, 3, 3, 3, [], 1, b"")],
                ),
                ("late", [(1, 0, 2**40, 2**40, 0, [], -1, b"others")]),
            ],
            id="records, some of transactions that were aborted",
        ),
        pytest.param([("orders", [(0, 0, 9, -1, 1, None, -1, b"records")])], id="read uncommitted"),
    ],
)
def test_an_answer_is_read_as_by_the_table(topics: list[Any]) -> None:
    packed = FetchResponse_v11(9, 70, 77, topics).encode()
    answer = read_fetched(b"head" + packed, 4)
    assert (answer.error_code, answer.session_id, answer.API_VERSION) == (70, 77, 11)
    assert answer.topics == [
        (topic, [(*of[:5], of[5] or [], of[6], of[7] or b"") for of in partitions]) for topic, partitions in topics
    ]


def test_an_answer_that_ends_too_early_is_refused() -> None:
    packed = FetchResponse_v11(0, 0, 0, [("orders", [(0, 0, 9, 9, 0, [], -1, None)])]).encode()
    with pytest.raises(struct.error):
        read_fetched(packed[:-1], 0)
