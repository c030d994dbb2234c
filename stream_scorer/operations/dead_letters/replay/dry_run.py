"""Whether today's contract would take letters, and today's state: decided from the letters, a fix, and the predictions.

Invariant: no dead letter and no input is written. The worker has the last word; this says what it would say now. A
verdict answers a question about masked bytes, so the service notes who asks before it calls this.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.contract.batch_decoding import ValidEvent
from stream_scorer.core.contract.observation_events import validate_observation
from stream_scorer.core.contract.outcome_events import validate_outcome
from stream_scorer.core.contract.reasons import Reason
from stream_scorer.core.contract.schema_frame import without_frame
from stream_scorer.core.dead_letters.redaction import masked_reason, shown_id
from stream_scorer.core.dead_letters.repair import Fix, FixError, apply_fix
from stream_scorer.core.records.dead_letter_reader import DeadLetter, Position, UnreadableDeadLetter
from stream_scorer.operations.dead_letters.context import Context
from stream_scorer.operations.dead_letters.query.search import Offsets, read_letters
from stream_scorer.operations.dead_letters.replay.dedup_lookup import ValidLetter, stumbling
from stream_scorer.operations.reading.topic_reader import OnRead
from stream_scorer.runtime.worker.clock import wall_clock_ms

EXAMPLES_MAX: Final = 1_000
JUDGED_TOGETHER: Final = 50


class CheckResult(StrEnum):
    """What would become of a letter's record now."""

    PASSES = "passes"
    STILL_FAILS = "still_fails"
    WOULD_CONFLICT = "would_conflict"
    ALREADY_SCORED = "already_scored"
    CANNOT_MEND = "cannot_mend"
    TRUNCATED = "truncated"
    OTHER_TOPIC = "other_topic"
    UNREADABLE = "unreadable"
    GONE = "gone"


VERDICTS: Final = tuple(CheckResult)


class Assessment(NamedTuple):
    """One letter and what the contract says of it, mended. `said`: id and content where it passes."""

    letter: DeadLetter | UnreadableDeadLetter
    verdict: CheckResult
    reasons: tuple[Reason, ...] = ()
    value: bytes | None = None
    said: ValidEvent[int] | ValidEvent[bool] | None = None
    why: str = ""

    @property
    def changed(self) -> bool:
        """Whether the fix changed its bytes."""
        return self.value is not None and self.value != self.letter.value

    @property
    def keeps_id(self) -> bool:
        """Whether its id is the one that it came with, and not what a fix made of something else that it says."""
        return shown_id(self.value) == shown_id(self.letter.value)

    @property
    def masked_reasons(self) -> tuple[Reason, ...]:
        """The reasons without what they quote of the event."""
        keeps_id = self.keeps_id
        return tuple(masked_reason(reason, with_id=keeps_id) for reason in self.reasons)


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """One letter and what would become of it; its reasons are masked."""

    place: Position
    verdict: CheckResult
    changed: bool
    reasons: tuple[Reason, ...] = ()
    why: str = ""


class CheckReport(msgspec.Struct, frozen=True, kw_only=True):
    """What would become of letters, counted; the first thousand of them one by one."""

    count: int
    verdicts: dict[CheckResult, int]
    changed: int
    letters: list[Checked]


class DryRunVerdicts(NamedTuple):
    """The verdict on each letter, in the order of the offsets that were asked about; and a report."""

    verdicts: Mapping[int, NDArray[np.int8]]
    report: CheckReport


def assess(access: Context, letter: DeadLetter | UnreadableDeadLetter, fix: Fix) -> Assessment:
    """What the contract says of one letter, mended; its id is not looked up."""
    if isinstance(letter, UnreadableDeadLetter):
        return Assessment(letter, CheckResult.UNREADABLE, why=letter.why)
    if letter.origin.topic not in access.inputs:
        why = f"it came from {letter.origin.topic}, which is not an input of this environment"
        return Assessment(letter, CheckResult.OTHER_TOPIC, why=why)
    if letter.why_incomplete is not None:
        return Assessment(letter, CheckResult.TRUNCATED, why=letter.why_incomplete)
    value = apply_fix(letter.value, fix)
    if isinstance(value, FixError):
        return Assessment(letter, CheckResult.CANNOT_MEND, why=value.why)
    found: ValidEvent[int] | ValidEvent[bool] | tuple[Reason, ...]
    event = without_frame(value) if access.settings.worker.schema_registry_frames else value
    if letter.origin.topic == access.names.observations:
        found = validate_observation(event, access.settings.worker.event_bytes_max)
    else:
        found = validate_outcome(event)
    if isinstance(found, ValidEvent):
        return Assessment(letter, CheckResult.PASSES, value=value, said=found)
    return Assessment(letter, CheckResult.STILL_FAILS, found, value)


async def _judge_all(
    access: Context, letters: Sequence[DeadLetter | UnreadableDeadLetter], fix: Fix
) -> AsyncIterator[Assessment]:
    """What the contract says of each of them, in threads, because a fix may take its time; a few together, so that one
    that is given up meanwhile soon costs nothing more."""

    def some_from(begin: int) -> list[Assessment]:
        return [assess(access, letter, fix) for letter in letters[begin : begin + JUDGED_TOGETHER]]

    for begin in range(0, len(letters), JUDGED_TOGETHER):
        for judged in await asyncio.to_thread(some_from, begin):
            yield judged


async def check(access: Context, offsets: Offsets, fix: Fix, on_read: OnRead | None = None) -> DryRunVerdicts:
    """What would become of the letters at these places."""
    verdicts = {key: np.full(len(wanted), VERDICTS.index(CheckResult.GONE), np.int8) for key, wanted in offsets.items()}
    checked: dict[Position, Checked] = {}
    keeping_id: set[Position] = set()
    changed = 0
    passing: defaultdict[bytes, list[ValidLetter]] = defaultdict(list)
    clock_ms = wall_clock_ms()

    def settle(place: Position, verdict: CheckResult) -> None:
        verdicts[place.partition][np.searchsorted(offsets[place.partition], place.offset)] = VERDICTS.index(verdict)

    async for _, letters in read_letters(access, offsets, on_read):
        async for judged in _judge_all(access, letters, fix):
            letter = judged.letter
            changed += judged.changed
            settle(letter.place, judged.verdict)
            if judged.said is not None and isinstance(letter, DeadLetter):
                is_outcome = letter.origin.topic == access.names.outcomes
                time_ms = access.time_of_replay(letter, clock_ms) if is_outcome else None
                passing[judged.said.id].append(ValidLetter(letter.place, int(judged.said.content), time_ms))
            if len(checked) < EXAMPLES_MAX:
                checked[letter.place] = Checked(
                    place=letter.place,
                    verdict=judged.verdict,
                    changed=judged.changed,
                    reasons=judged.masked_reasons,
                    why=judged.why,
                )
                if judged.keeps_id:
                    keeping_id.add(letter.place)
    for place, verdict, why in await stumbling(access, passing, clock_ms, on_read):
        settle(place, CheckResult(verdict))
        if place in checked:
            masked = tuple(masked_reason(reason, with_id=place in keeping_id) for reason in why)
            checked[place] = msgspec.structs.replace(checked[place], verdict=CheckResult(verdict), reasons=masked)
    counts = sum(
        (np.bincount(each, minlength=len(VERDICTS)) for each in verdicts.values()), np.zeros(len(VERDICTS), int)
    )
    return DryRunVerdicts(
        verdicts,
        CheckReport(
            count=int(counts.sum()),
            verdicts={verdict: int(count) for verdict, count in zip(VERDICTS, counts, strict=True) if count},
            changed=changed,
            letters=[checked[place] for place in sorted(checked)],
        ),
    )
