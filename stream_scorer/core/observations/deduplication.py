"""Which observations of a batch are new, which were seen before, and which contradict what was seen before.

Invariant: an id has one observation within the join window; only one that was scored counts as seen.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from stream_scorer.core.contract.observation_code import observation_columns
from stream_scorer.core.contract.reasons import Reason, conflict
from stream_scorer.core.state.entry import code_within_window, unpack, waiting_since_ms


class Arrivals(NamedTuple):
    """The observations of one lane that passed the contract, in the order of their offsets: id, code, offset."""

    ids: Sequence[bytes]
    codes: Sequence[int]
    offsets: Sequence[int]


class DeduplicationResult(NamedTuple):
    """What becomes of the observations of a batch, by position; together, every position once.

    `new`: to be scored, ascending. `waiting`: those of `new` whose outcome came first. `redelivered`: seen before,
    nothing to do. `conflicts`: seen before and to be refused. `repeats`: first position of an id in `new` -> its later
    ones, undecided until the first is scored (see `deduplicate_repeats`).
    """

    new: Sequence[int]
    waiting: list[int]
    redelivered: list[int]
    conflicts: list[tuple[int, Reason]]
    repeats: dict[int, list[int]]


def deduplicate_observations(
    batch: Arrivals, found: Sequence[bytes | None], *, window_starts_ms: int, repeats_are_conflicts: bool = False
) -> DeduplicationResult:
    """Decide each observation of the batch, given the packed entry found for each id (None: none). What was scored
    before `window_starts_ms` (the clock less the join window) is the same as never seen."""
    ids, count = batch.ids, len(batch.ids)
    if found.count(None) == count and len(set(ids)) == count:
        return DeduplicationResult(
            range(count), [], [], [], {}
        )  # nearly every batch; what follows costs far more a position
    admission = DeduplicationResult([], [], [], [], {})
    new: list[int] = []
    first_of: dict[bytes, int] = {}
    for position, (id_, entry) in enumerate(zip(ids, found, strict=True)):
        first = first_of.get(id_)
        if first is not None:
            admission.repeats.setdefault(first, []).append(position)
            continue
        seen = code_within_window(entry, window_starts_ms) if entry is not None else None
        if seen is not None and entry is not None:
            predicted = unpack(entry).predicted
            first_offset = predicted.offset if predicted is not None else 0
            _refuse_or_pass_over(admission, batch, position, seen, first_offset, repeats_are_conflicts)
            continue
        first_of[id_] = position
        new.append(position)
        if entry is not None and waiting_since_ms(entry) is not None:
            admission.waiting.append(position)
    return admission._replace(new=new)


def deduplicate_repeats(
    batch: Arrivals, admission: DeduplicationResult, failed: Collection[int], *, repeats_are_conflicts: bool = False
) -> DeduplicationResult:
    """Decide the batch's repeats once their firsts were scored. A repeat of one in `failed` (positions that became dead
    letters) is the first of its id in turn and comes back as `new`: call again after scoring it, until nothing is new.
    Outputs go out in the order of positions."""
    decided = DeduplicationResult([], [], [], [], {})
    new: list[int] = []
    for first, later in admission.repeats.items():
        if first not in failed:
            for position in later:
                _refuse_or_pass_over(
                    decided, batch, position, batch.codes[first], batch.offsets[first], repeats_are_conflicts
                )
            continue
        new.append(later[0])
        if later[1:]:
            decided.repeats[later[0]] = later[1:]
        if first in admission.waiting:
            decided.waiting.append(later[0])
    return decided._replace(new=sorted(new))


def _refuse_or_pass_over(
    admission: DeduplicationResult,
    batch: Arrivals,
    position: int,
    seen: int,
    first_offset: int,
    repeats_are_conflicts: bool,
) -> None:
    code = batch.codes[position]
    if code == seen and not repeats_are_conflicts:
        admission.redelivered.append(position)
        return
    reason = conflict(batch.ids[position].decode(), first_offset, differing_columns(seen, code))
    admission.conflicts.append((position, reason))


def differing_columns(one: int, other: int) -> list[str]:
    """Names of the columns in which two observations, given as numbers, differ; in the table's order."""
    columns = observation_columns(other)
    return [name for name, value in observation_columns(one).items() if columns[name] != value]
