"""Whether today's contract would take letters, and today's state: decided from the letters, a fix, and the predictions.

Law: nothing is written. The worker has the last word; this says what it would say now.
"""

from collections import defaultdict
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec
import numpy as np
from aiokafka import TopicPartition
from numpy.typing import NDArray

from stream_scorer.core import reasons
from stream_scorer.core.admitting import differing_columns
from stream_scorer.core.decoding import examine_observation
from stream_scorer.core.letters import Letter, Place, Unreadable
from stream_scorer.core.looking import Accepted
from stream_scorer.core.mending import CannotMend, Fix, mend
from stream_scorer.core.outcomes import examine_outcome
from stream_scorer.core.partitioning import partition_of
from stream_scorer.core.reasons import Reason
from stream_scorer.core.updates import milliseconds
from stream_scorer.operations.dead_letters.access import Access, now_ms
from stream_scorer.operations.dead_letters.finding import Offsets, read_letters
from stream_scorer.operations.dead_letters.index import OnRead
from stream_scorer.operations.reading import Span
from stream_scorer.runtime.restoring import BEYOND_WINDOW_MS

EXAMPLES_MAX: Final = 1_000


class Verdict(StrEnum):
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


VERDICTS: Final = tuple(Verdict)


class Judged(NamedTuple):
    """One letter and what the contract says of it, mended. `said`: id and content where it passes."""

    letter: Letter | Unreadable
    verdict: Verdict
    reasons: tuple[Reason, ...] = ()
    value: bytes | None = None
    said: Accepted[int] | Accepted[bool] | None = None
    why: str = ""

    @property
    def changed(self) -> bool:
        """Whether the fix changed its bytes."""
        return self.value is not None and self.value != self.letter.value


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """One letter and what would become of it."""

    place: Place
    verdict: Verdict
    changed: bool
    reasons: tuple[Reason, ...] = ()
    why: str = ""


class CheckReport(msgspec.Struct, frozen=True, kw_only=True):
    """What would become of letters, counted; the first thousand of them one by one."""

    count: int
    verdicts: dict[Verdict, int]
    changed: int
    letters: list[Checked]


class Known(NamedTuple):
    """An id that was scored within the join window."""

    offset: int
    code: int


class Answers(NamedTuple):
    """The verdict on each letter, in the order of the offsets that were asked about; and a report."""

    verdicts: Mapping[int, NDArray[np.int8]]
    report: CheckReport


def judge(access: Access, letter: Letter | Unreadable, fix: Fix) -> Judged:
    """What the contract says of one letter, mended; its id is not looked up."""
    if isinstance(letter, Unreadable):
        return Judged(letter, Verdict.UNREADABLE, why=letter.why)
    if letter.origin.topic not in access.inputs:
        why = f"it came from {letter.origin.topic}, which is no input of this environment"
        return Judged(letter, Verdict.OTHER_TOPIC, why=why)
    if letter.truncation is not None:
        why = f"only its first bytes were kept: the record had {letter.truncation.bytes:,} bytes, ask its producer"
        return Judged(letter, Verdict.TRUNCATED, why=why)
    value = mend(letter.value, fix)
    if isinstance(value, CannotMend):
        return Judged(letter, Verdict.CANNOT_MEND, why=value.why)
    found: Accepted[int] | Accepted[bool] | tuple[Reason, ...]
    if letter.origin.topic == access.names.observations:
        found = examine_observation(value, access.settings.worker.event_bytes_max)
    else:
        found = examine_outcome(value)
    if isinstance(found, Accepted):
        return Judged(letter, Verdict.PASSES, value=value, said=found)
    return Judged(letter, Verdict.STILL_FAILS, found, value)


async def check(access: Access, offsets: Offsets, fix: Fix, on_read: OnRead | None = None) -> Answers:
    """What would become of the letters at these places."""
    verdicts = {key: np.full(len(wanted), VERDICTS.index(Verdict.GONE), np.int8) for key, wanted in offsets.items()}
    checked: list[Checked] = []
    changed = 0
    passing: dict[bytes, list[Judged]] = defaultdict(list)
    async for partition, letters in read_letters(access, offsets, on_read):
        for letter in letters:
            judged = judge(access, letter, fix)
            changed += judged.changed
            row = np.searchsorted(offsets[partition], letter.place.offset)
            verdicts[partition][row] = VERDICTS.index(judged.verdict)
            if judged.said is not None:
                # what was judged is read again when it is replayed: only its verdict is kept
                passing[judged.said.id].append(judged._replace(letter=_slim(letter), value=None))
            elif len(checked) < EXAMPLES_MAX:
                checked.append(_checked(judged, judged.changed))
            if judged.said is not None and len(checked) < EXAMPLES_MAX:
                checked.append(_checked(judged, judged.changed))
    again = await _look_up(access, passing, on_read)
    for place, judged in again.items():
        row = np.searchsorted(offsets[place.partition], place.offset)
        verdicts[place.partition][row] = VERDICTS.index(judged.verdict)
    checked = [
        _checked(again[one.place], one.changed) if one.place in again else one
        for one in sorted(checked, key=lambda one: one.place)
    ]
    counts = sum(
        (np.bincount(each, minlength=len(VERDICTS)) for each in verdicts.values()), np.zeros(len(VERDICTS), int)
    )
    return Answers(
        verdicts,
        CheckReport(
            count=int(counts.sum()),
            verdicts={verdict: int(count) for verdict, count in zip(VERDICTS, counts, strict=True) if count},
            changed=changed,
            letters=checked,
        ),
    )


def _slim(letter: Letter | Unreadable) -> Letter | Unreadable:
    return msgspec.structs.replace(letter, value=None, key=None, headers=())


def _checked(judged: Judged, changed: bool) -> Checked:
    return Checked(
        place=judged.letter.place,
        verdict=judged.verdict,
        changed=changed,
        reasons=judged.reasons,
        why=judged.why,
    )


async def _look_up(
    access: Access, passing: Mapping[bytes, list[Judged]], on_read: OnRead | None
) -> dict[Place, Judged]:
    """Those that pass the contract and meet something that is known of their id."""
    known = await known_ids(access, passing, on_read) if passing else {}
    worker, clock_ms = access.settings.worker, now_ms()
    found: dict[Place, Judged] = {}
    for id_, all_judged in passing.items():
        seen = known.get(id_)
        for judged in all_judged:
            letter, said = judged.letter, judged.said
            assert isinstance(letter, Letter)
            assert said is not None
            if letter.origin.topic == access.names.outcomes:
                # one that has waited its window through is given up at once, unless its observation is there now
                if seen is None and access.time_of_replay(letter, clock_ms) < clock_ms - worker.join_window_s * 1000:
                    why = (reasons.unknown_id(id_.decode()),)
                    found[letter.place] = judged._replace(verdict=Verdict.STILL_FAILS, reasons=why)
                continue
            code = int(said.content)
            if seen is None:
                seen = Known(-1, code)  # the first of several letters is scored, and those behind it meet that
            elif code != seen.code or worker.repeats_are_conflicts:
                why = (reasons.conflict(id_.decode(), seen.offset, differing_columns(seen.code, code)),)
                found[letter.place] = judged._replace(verdict=Verdict.WOULD_CONFLICT, reasons=why)
            else:
                found[letter.place] = judged._replace(verdict=Verdict.ALREADY_SCORED)
    return found


class _Prediction(msgspec.Struct, gc=False):
    observation_code: int
    source: "_Source"
    scored_at: str


class _Source(msgspec.Struct, gc=False):
    offset: int


_decode: Final = msgspec.json.Decoder(_Prediction).decode


async def known_ids(access: Access, ids: Mapping[bytes, object], on_read: OnRead | None = None) -> dict[bytes, Known]:
    """Those of the ids that were scored within the join window, from the predictions themselves."""
    starts_ms = now_ms() - int(access.settings.worker.join_window_s * 1000)
    spans = await access.reader.spans([access.names.predictions], stable=True)
    homes = {partition_of(id_, len(spans)) for id_ in ids} if len(ids) < len(spans) else None
    spans = {key: span for key, span in spans.items() if homes is None or key.partition in homes}
    begins = await access.reader.offsets_at(spans, max(0, starts_ms - BEYOND_WINDOW_MS))
    wanted: dict[TopicPartition, Span] = {key: Span(begins[key], span.end) for key, span in spans.items()}
    total, before = sum(span.end - span.begin for span in wanted.values()), access.reader.records_read
    known: dict[bytes, Known] = {}
    async for _, records in access.reader.read(wanted, whole_batches=True):
        for record in records:
            if record.key in ids:
                try:
                    prediction = _decode(record.value or b"")
                    scored_ms = milliseconds(prediction.scored_at)
                except (msgspec.DecodeError, ValueError):
                    continue
                if scored_ms >= starts_ms:
                    known[record.key] = Known(prediction.source.offset, prediction.observation_code)
        if on_read is not None:
            on_read(access.reader.records_read - before, total)
    return known
