"""What a lane may do, and what makes that change: the whole life of a lane as one table.

Invariant: a lane takes records in `OPEN` only, and no state is ever entered again: a lane that has ended is replaced.
"""

from enum import Enum
from typing import Final


class LaneStatus(Enum):
    """What a lane is at."""

    OPENING = "opening"  # fences its predecessor and restores its state; has nothing to lose yet
    OPEN = "open"  # takes records and commits them
    DRAINING = "draining"  # takes nothing more, commits what is under way
    CLOSED = "closed"  # commits nothing more


class LaneEvent(Enum):
    """What happens to a lane."""

    POSITIONED = "positioned"  # it stands behind what was committed last
    STOP = "stop"  # its partition goes to another worker, or the worker ends
    ENDED = "ended"  # its task returned or failed


TRANSITIONS: Final = {
    LaneStatus.OPENING: {
        LaneEvent.POSITIONED: LaneStatus.OPEN,
        LaneEvent.STOP: LaneStatus.DRAINING,
        LaneEvent.ENDED: LaneStatus.CLOSED,
    },
    LaneStatus.OPEN: {
        LaneEvent.STOP: LaneStatus.DRAINING,
        LaneEvent.ENDED: LaneStatus.CLOSED,
    },
    LaneStatus.DRAINING: {
        LaneEvent.POSITIONED: LaneStatus.DRAINING,
        LaneEvent.STOP: LaneStatus.DRAINING,
        LaneEvent.ENDED: LaneStatus.CLOSED,
    },
    LaneStatus.CLOSED: {
        LaneEvent.STOP: LaneStatus.CLOSED,
        LaneEvent.ENDED: LaneStatus.CLOSED,
    },
}


def after(status: LaneStatus, event: LaneEvent) -> LaneStatus:
    """The status that an event leads to. A pair that the table lacks is a bug: KeyError."""
    return TRANSITIONS[status][event]
