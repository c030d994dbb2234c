"""The judge: adds up what all lanes have counted, says what that shows, and promotes or withdraws where it may.

Invariant: the worker that owns partition 0 runs it. Two that both think so do no harm: a decision is a control record,
based on the one in force, so of two the first one counts. Whatever fails here is told, counted and tried again, and
scoring goes on.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from stream_scorer.core.records.model_control import AcceptanceTest, ControlAct, ModelControl, encode_control
from stream_scorer.core.records.timestamps import rfc3339
from stream_scorer.core.rollout.control import InForce, in_roles, judged_at_once
from stream_scorer.core.rollout.judge import (
    AutomaticDecision,
    JudgedCandidate,
    decide,
    judged,
    reason_of,
    record_of,
)
from stream_scorer.runtime.kafka.errors import REFUSED, cause_of
from stream_scorer.runtime.rollout.control_topic import ControlTopic
from stream_scorer.runtime.rollout.evidence_follower import EvidenceFollower
from stream_scorer.runtime.rollout.lane_readiness import lanes_without
from stream_scorer.runtime.rollout.switch_topic import SwitchTopic

log = logging.getLogger(__name__)

JudgeEvent = Literal["promoted", "withdrawn", "overtaken", "missing_right", "fault"]

# Between two looks at whether partition 0 is ours and there is anything to judge
OWNER_CHECK_S: Final = 1.0
# After a fault, and after a decision that could not be written
RETRY_WAIT_S: Final = 5.0
# How long a decision's own record may take to come back
READ_BACK_S_MAX: Final = 30.0
READ_BACK_POLL_S: Final = 0.05

NOT_ALLOWED: Final = "worker.delivery is at-least-once: outcomes may count twice"
NO_RIGHT: Final = (
    "this worker's user may not write control records: grant it Write on {topic} (docs/rights.md, role judge), or "
    "decide yourself (`stream-scorer model promote`, `withdraw`)"
)


@dataclass(frozen=True, eq=False)
class JudgeView:
    """What the judge has found last. `control_offset`: of the record in force; `test`: what it asks of candidates;
    `judged_at_once`: how many share the errors; `candidates`: the canary, the shadows and the champion before;
    `held_up`: why what follows is not done, empty where nothing follows."""

    control_offset: int
    test: AcceptanceTest
    judged_at_once: int
    candidates: tuple[JudgedCandidate, ...]
    held_up: str = ""


class Judge:
    """One for each worker; it looks only while `run` is told that partition 0 is its own. `write` writes a control
    record and gives its offset; `may_decide`: an outcome counts once at most. `noted` is told what happened; `view` is
    None while there is nothing to judge here."""

    def __init__(
        self,
        control: ControlTopic,
        switches: SwitchTopic,
        evidence: EvidenceFollower,
        write: Callable[[ModelControl], Awaitable[int]],
        now_ms: Callable[[], int],
        *,
        partitions: int,
        may_decide: bool,
        control_topic: str,
        retry_wait_s: float = RETRY_WAIT_S,
    ) -> None:
        """`control_topic`: as it is called where a right to it is missing; `retry_wait_s`: after what failed."""
        self._control, self._switches, self._evidence = control, switches, evidence
        self._write, self._now_ms = write, now_ms
        self._partitions, self._may_decide, self._control_topic = partitions, may_decide, control_topic
        self._retry_wait_s = retry_wait_s
        self._judged_offset: int | None = None
        self._look_again_s = 0.0
        self.view: JudgeView | None = None
        self.noted: Callable[[JudgeEvent], None] = lambda event: None

    async def run(self, owns_first_lane: Callable[[], bool]) -> None:
        """Judge until cancelled."""
        while True:
            try:
                await self._turn(owns_first_lane)
            except Exception as error:  # a judge that fails must not keep a worker from scoring
                self._told("fault", error)
                await self._rest()
                await asyncio.sleep(self._retry_wait_s)

    async def stop(self) -> None:
        """Let go of the connection, once `run` has ended."""
        await self._rest()

    async def _turn(self, owns_first_lane: Callable[[], bool]) -> None:
        in_force = self._control.in_force
        if in_force is None or not owns_first_lane() or len(in_roles(in_force.control.models)) == 1:
            await self._rest()
            await asyncio.sleep(OWNER_CHECK_S)
            return
        news = await self._evidence.follow()
        in_force = self._control.in_force
        is_held_up = self.view is not None and self.view.held_up and time.monotonic() >= self._look_again_s
        if in_force is not None and (news or is_held_up or in_force.offset != self._judged_offset):
            await self._judge(in_force)

    async def _rest(self) -> None:
        self.view, self._judged_offset = None, None
        with contextlib.suppress(Exception):
            await self._evidence.close()

    async def _judge(self, in_force: InForce) -> None:
        candidates = judged(in_force.control, self._evidence.total)
        decision = decide(in_force.control, candidates)
        held_up = "" if decision is None else await self._act(in_force, decision)
        if held_up:
            self._look_again_s = time.monotonic() + self._retry_wait_s
        self._judged_offset = in_force.offset
        control = in_force.control
        self.view = JudgeView(in_force.offset, control.test, judged_at_once(control.models), candidates, held_up)

    async def _act(self, in_force: InForce, decision: AutomaticDecision) -> str:
        """Write a decision; why it is not written, where it is not."""
        held_up = NOT_ALLOWED if not self._may_decide else await self._unready(in_force, decision)
        if not held_up:
            evidence = self._evidence.positions(decision.candidate.pair)
            record = record_of(in_force, decision, evidence, rfc3339(self._now_ms()))
            try:
                offset = await self._write(record)
            except KafkaError as error:
                if not isinstance(cause_of(error), REFUSED):
                    raise
                held_up = NO_RIGHT.format(topic=self._control_topic)
                self.noted("missing_right")
            else:
                await self._read_back(offset, decision)
        if held_up and (self.view is None or self.view.held_up != held_up):
            log.error("the judge would %s %s, and can't: %s", decision.act.value, reason_of(decision), held_up)
        return held_up

    async def _unready(self, in_force: InForce, decision: AutomaticDecision) -> str:
        """Why a promotion has to wait: a lane that has not loaded the candidate would stand still."""
        if decision.act is not ControlAct.PROMOTE:
            return ""
        digest = decision.candidate.pair.candidate.digest
        missing = await lanes_without(self._switches, range(self._partitions), in_force.offset, digest)
        return f"it is not loaded on the lanes {', '.join(map(str, missing))}" if missing else ""

    async def _read_back(self, offset: int, decision: AutomaticDecision) -> None:
        """See whether a record counts: another act may have been quicker."""
        end_s = time.monotonic() + READ_BACK_S_MAX
        while self._control.position <= offset:
            if time.monotonic() > end_s:
                raise TimeoutError(f"the control record at offset {offset} was not read back")
            await asyncio.sleep(READ_BACK_POLL_S)
        if offset not in self._control.counted:
            log.warning("the judge would %s; another act was quicker", decision.act.value)
            self.noted("overtaken")
            return
        log.warning("the judge decided to %s %s", decision.act.value, reason_of(decision))
        self.noted("promoted" if decision.act is ControlAct.PROMOTE else "withdrawn")

    def _told(self, event: JudgeEvent, error: Exception) -> None:
        self.noted(event)
        known = isinstance(error, KafkaError | OSError)
        log.warning(
            "the judge failed and tries again (%s: %s); scoring goes on",
            type(error).__name__,
            error,
            exc_info=None if known else error,
        )


async def write_control(options: Mapping[str, Any], topic: str, control: ModelControl) -> int:
    """Write a control record; its offset. Raises KafkaError. One that a retry writes twice counts once: the second is
    based on a record that is not in force any more."""
    producer = AIOKafkaProducer(**options, acks="all")
    await producer.start()
    try:
        return int((await producer.send_and_wait(topic, encode_control(control), control.key, 0)).offset)
    finally:
        await asyncio.shield(producer.stop())
