"""A lane's life as a table: complete, and never backwards."""

import pytest

from stream_scorer.runtime.lanes.lifecycle import TRANSITIONS, LaneEvent, LaneStatus, after

ORDER = list(LaneStatus)


def test_no_lane_goes_back() -> None:
    for status, events in TRANSITIONS.items():
        for event, following in events.items():
            assert ORDER.index(following) >= ORDER.index(status), (status, event)


def test_every_lane_may_be_told_to_stop_and_may_end() -> None:
    for status in LaneStatus:
        assert after(status, LaneEvent.STOP) is not LaneStatus.OPEN
        assert after(status, LaneEvent.ENDED) is LaneStatus.CLOSED


def test_a_lane_that_is_told_to_stop_while_it_opens_takes_nothing() -> None:
    stopping = after(LaneStatus.OPENING, LaneEvent.STOP)
    assert after(stopping, LaneEvent.POSITIONED) is LaneStatus.DRAINING


@pytest.mark.parametrize("status", [LaneStatus.OPEN, LaneStatus.CLOSED])
def test_a_lane_is_positioned_once(status: LaneStatus) -> None:
    with pytest.raises(KeyError):
        after(status, LaneEvent.POSITIONED)
