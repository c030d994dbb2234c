"""Records that an operator sent again are told by their last header."""

from typing import NamedTuple

import pytest

from stream_scorer.core.records.dead_letter_reader import replay_headers
from stream_scorer.core.records.record import Headers
from stream_scorer.runtime.lanes.score_step import count_replayed
from tests.core.dead_letters.builders import a_letter
from tests.support.builders import an_event


class Incoming(NamedTuple):
    """A record as it was read."""

    headers: Headers
    offset: int = 0
    timestamp: int = 0
    key: bytes | None = None
    value: bytes | None = None


@pytest.mark.parametrize(
    ("headers", "replayed"),
    [
        ([], 0),
        ([("traceparent", b"00-1"), ("x", b"")], 0),
        (replay_headers(a_letter(an_event(hour=25)), 1), 1),
        ([*replay_headers(a_letter(an_event(hour=25)), 1), ("scorer.moved-from", b"{}")], 0),
    ],
    ids=["no headers", "a producer's", "a replay", "a replay that was counted where it was moved from"],
)
def test_a_replayed_record_is_counted_once(headers: Headers, replayed: int) -> None:
    assert count_replayed([Incoming(headers), Incoming([])]) == replayed
