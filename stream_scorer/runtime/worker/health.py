"""What the probes answer.

Invariant: readiness is looked up and never waits; liveness fails only where Kafka answers.
"""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from stream_scorer.runtime.kafka.client import is_reachable
from stream_scorer.runtime.lanes.consumer import ConsumerLoop
from stream_scorer.runtime.lanes.group_members import named
from stream_scorer.runtime.worker.clock import CheckedClock
from stream_scorer.runtime.worker.gauges import commit_age_s

PROBE_WAIT_S = 2.0


class Health(NamedTuple):
    """One probe's answer, and why, in words."""

    ok: bool
    why: str


Probe = Callable[[], Awaitable[Health]]


def readiness(consumer_loop: ConsumerLoop | None, clock: CheckedClock, *, warm: bool) -> Health:
    """Joined, the assigned lanes open, the model warm; with no partition too."""
    if consumer_loop is None or not consumer_loop.connected:
        return Health(False, "waiting for Kafka")
    if not warm:
        return Health(False, "the model is still loading")
    if not consumer_loop.joined:
        return Health(False, "joining the group")
    if consumer_loop.group_watch.strangers:
        return Health(
            False, f"a consumer that is not a worker takes records: {named(consumer_loop.group_watch.strangers)}"
        )
    closed = sorted(lane.partition for lane in consumer_loop.lanes.values() if not lane.open)
    if closed:
        return Health(False, f"lanes {closed} are still opening")
    if clock.is_contradicted:
        skew_s = clock.skew_ms / 1000
        return Health(True, f"ready, {len(consumer_loop.lanes)} lanes; its clock is {skew_s:.0f} s ahead of Kafka's")
    return Health(True, f"ready, {len(consumer_loop.lanes)} lanes")


async def liveness(consumer_loop: ConsumerLoop | None, commit_stall_s: float) -> Health:
    """False only when records are held, the broker answers, and nothing was committed for so long."""
    age_s = commit_age_s(consumer_loop.lanes.values()) if consumer_loop is not None else 0.0
    if consumer_loop is None or age_s < commit_stall_s:
        return Health(True, "alive")
    if not await is_reachable(consumer_loop.consumer, PROBE_WAIT_S):
        return Health(True, "alive; Kafka does not answer")
    return Health(False, f"records are waiting but nothing was committed for {age_s:.0f} s although Kafka answers")
