"""Letters replayed: their records published again to where they were read, as they are or mended.

Invariant: each letter once, however often it is asked for, by however many, and whatever dies in between. Records go
only to an input of this environment, the one that the letter was read from.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.contract.batch_decoding import ValidEvent
from stream_scorer.core.dead_letters.repair import Fix
from stream_scorer.core.records.audit_log import Action
from stream_scorer.core.records.dead_letter_reader import DeadLetter, UnreadableDeadLetter, replay_headers
from stream_scorer.core.records.partitioner import partition_of
from stream_scorer.core.records.record import ProducerRecord
from stream_scorer.operations.dead_letters.context import Context
from stream_scorer.operations.dead_letters.query.aggregation import count_states
from stream_scorer.operations.dead_letters.query.filters import EVERY_STATE, Filter, State
from stream_scorer.operations.dead_letters.query.search import Offsets, matching_chunks, matching_offsets
from stream_scorer.operations.dead_letters.replay.action_transaction import (
    TOGETHER_MAX,
    ActionTransaction,
    PlannedAction,
    Republication,
)
from stream_scorer.operations.dead_letters.replay.dry_run import (
    VERDICTS,
    Assessment,
    CheckReport,
    CheckResult,
    assess,
    check,
)
from stream_scorer.operations.dead_letters.replay.retry_when_fenced import OnProgress, apply_in_chunks
from stream_scorer.operations.reading.topic_reader import OnRead
from stream_scorer.runtime.worker.clock import wall_clock_ms

# With a rate, a transaction holds what is due in this time
PACE_S: Final = 0.2


class Skip(StrEnum):
    """Why a letter that a filter means is left alone."""

    ALREADY_REPLAYED = "already_replayed"
    DISCARDED = "discarded"
    PARKED = "parked"
    STILL_FAILS = "still_fails"
    WOULD_CONFLICT = "would_conflict"
    ALREADY_SCORED = "already_scored"
    CANNOT_MEND = "cannot_mend"
    TRUNCATED = "truncated"
    OTHER_TOPIC = "other_topic"
    UNREADABLE = "unreadable"
    GONE = "gone"


SKIP_OF_STATE: Final = {
    State.REPLAYED: Skip.ALREADY_REPLAYED,
    State.DISCARDED: Skip.DISCARDED,
    State.PARKED: Skip.PARKED,
    State.OPEN: None,
}
FAILING: Final = (CheckResult.STILL_FAILS, CheckResult.WOULD_CONFLICT)


class ReplayReport(msgspec.Struct, frozen=True, kw_only=True):
    """The dead letters that were replayed or, in a dry run, would be; `check` has the result of the check of each."""

    dry_run: bool
    replayed: int
    changed: int
    skipped: dict[Skip, int]
    check: CheckReport
    seconds: float


async def replay(
    access: Context,
    filter_: Filter,
    fix: Fix,
    *,
    yes: bool = False,
    rate: float | None = None,
    parked: bool = False,
    failing_too: bool = False,
    why: str = "",
    on_read: OnRead | None = None,
    on_progress: OnProgress | None = None,
) -> ReplayReport:
    """Replay the letters that a filter means, those that would pass, or, with `failing_too`, also those that would not.
    Parked ones only with `parked`, and then no others. Without `yes` nothing is written. `rate`: letters a second.

    Raises FencedError where other operators keep taking over, OutageError where Kafka does not answer; what was done
    until then is done, and a next call goes on behind it."""
    started = time.monotonic()
    touched = State.PARKED if parked else State.OPEN
    states = count_states(
        [
            chunk
            async for chunk in matching_chunks(access, msgspec.structs.replace(filter_, states=EVERY_STATE), on_read)
        ]
    )
    offsets = await matching_offsets(access, msgspec.structs.replace(filter_, states=frozenset((touched,))), on_read)
    answers = await check(access, offsets, fix, on_read)
    wanted = {CheckResult.PASSES, *(FAILING if failing_too else ())}
    places = _of_verdicts(offsets, answers.verdicts, wanted)
    skipped = Counter({skip: states[state] for state, skip in SKIP_OF_STATE.items() if skip and state is not touched})
    skipped.update(
        {Skip(verdict.value): count for verdict, count in answers.report.verdicts.items() if verdict not in wanted}
    )
    done = Counter[str]()
    if yes:
        done = await _Run(access, fix, rate, why, failing_too, on_progress).all(places)
        skipped.update({Skip(name): count for name, count in done.items() if name not in ("replayed", "changed")})
    return ReplayReport(
        dry_run=not yes,
        replayed=done["replayed"] if yes else sum(map(len, places.values())),
        changed=done["changed"] if yes else answers.report.changed,
        skipped={skip: skipped[skip] for skip in Skip if skipped[skip]},
        check=answers.report,
        seconds=round(time.monotonic() - started, 3),
    )


def _of_verdicts(offsets: Offsets, verdicts: Mapping[int, NDArray[np.int8]], wanted: set[CheckResult]) -> Offsets:
    numbers = [VERDICTS.index(verdict) for verdict in wanted]
    return {partition: each[np.isin(verdicts[partition], numbers)] for partition, each in offsets.items()}


class _Run:
    """One replay of letters that were found and checked."""

    def __init__(
        self,
        access: Context,
        fix: Fix,
        rate: float | None,
        why: str,
        failing_too: bool,
        on_progress: OnProgress | None,
    ) -> None:
        self._access, self._fix, self._why, self._failing_too = access, fix, why, failing_too
        self._said = fix.said() if fix else ""
        self._on_progress = on_progress
        self._together = TOGETHER_MAX if rate is None else max(1, min(TOGETHER_MAX, int(rate * PACE_S)))
        self._pace = ReplayRate(rate)
        self._partitions = len(access.index.partitions)
        self.counts = Counter[str]()

    async def all(self, places: Offsets) -> Counter[str]:
        """Every letter at these places."""
        await apply_in_chunks(self._access, places, self._some, together=self._together, on_progress=self._on_progress)
        return self.counts

    async def _some(self, actor: ActionTransaction, letters: Sequence[DeadLetter | UnreadableDeadLetter]) -> None:
        intents: list[PlannedAction] = []
        counts = Counter[str]()
        for letter, standing in zip(letters, actor.standings(letters), strict=True):
            if standing.decided is not None:
                counts[Skip.DISCARDED if standing.decided is Action.DISCARD else Skip.ALREADY_REPLAYED] += 1
                continue
            judged = assess(self._access, letter, self._fix)
            if judged.verdict is CheckResult.PASSES or (
                self._failing_too and judged.verdict is CheckResult.STILL_FAILS
            ):
                replays = standing.replays + 1
                said = self._said if judged.changed else ""
                intents.append(
                    PlannedAction(letter, Action.REPLAY, replays, self._again(judged, replays), self._why, said)
                )
                counts["changed"] += judged.changed
        if intents:
            await self._pace.wait(len(intents))
            await actor.commit(intents)
            counts["replayed"] += len(intents)
        # where another operator took over, these letters are looked at again: they count once they are settled
        self.counts.update(counts)

    def _again(self, judged: Assessment, replays: int) -> Republication:
        letter = judged.letter
        assert isinstance(letter, DeadLetter)
        key, partition = letter.key, letter.origin.partition
        if isinstance(judged.said, ValidEvent):
            # where its id belongs, so that nobody has to move it and it can be followed by its offset
            key, partition = judged.said.id, partition_of(judged.said.id, self._partitions)
        time_ms = self._access.time_of_replay(letter, wall_clock_ms())
        record = ProducerRecord(key, judged.value, time_ms, replay_headers(letter, replays))
        return Republication(letter.origin.topic, partition, record)


class ReplayRate:
    """So many a second and no more, counted from the first."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._due_s = 0.0

    async def wait(self, count: int) -> None:
        """Wait until so many more are due."""
        if self._rate is None:
            return
        now_s = time.monotonic()
        self._due_s = max(self._due_s, now_s)
        await asyncio.sleep(self._due_s - now_s)
        self._due_s += count / self._rate
