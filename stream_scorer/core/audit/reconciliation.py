"""Where every input ended: each trace is held against the input that it names, and what left none is derived again.

Invariant: a trace counts only when it fits its input; an input ends in exactly one place, and whatever does not is
named.
"""

from enum import StrEnum
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.audit.inputs import BROKEN, InputTopic, Rows
from stream_scorer.core.audit.traces import OutputKind

Flags = NDArray[np.bool_]
Counts = NDArray[np.int64]

# a partition number and an offset as one number that sorts as the two do
_OFFSET_BITS: Final = 44


class Disposition(StrEnum):
    """Where an input can end. `awaiting` is still open: its observation may come, or its join window pass."""

    PREDICTION = "prediction"
    DEAD_LETTER = "dead_letter"
    REDELIVERY = "redelivery"
    MOVE = "move"
    JOINED = "joined"
    UNKNOWN = "unknown"
    REPEAT = "repeat"
    AWAITING = "awaiting"


class Reconciliation(NamedTuple):
    """One input topic settled. Flags of inputs and of traces stand in the order of the rows that were given."""

    ends: dict[Disposition, Flags]
    unaccounted: Flags
    duplicated: Flags
    strays: Flags  # traces that fit no input among the rows
    predicted_twice: Flags  # inputs with a prediction whose id had one already, within the join window


def reconcile(side: InputTopic, inputs: Rows, traces: Rows, *, window_ms: int, now_ms: int) -> Reconciliation:
    """Where each input ended. `inputs` are sorted by partition and offset; `traces` are those of this side, in any
    order. `window_ms` is the join window, `now_ms` the clock: no record is younger."""
    at, fits = match(inputs, traces)
    counts = {kind: np.bincount(at[fits & (traces["kind"] == kind)], minlength=len(inputs)) for kind in OutputKind}
    since = np.zeros(len(inputs), dtype=np.int64)
    np.maximum.at(since, at[fits], traces["since"][fits])
    # an outcome that nobody could join becomes a dead letter and an update in one transaction: both halves make one end
    halves = counts[OutputKind.UNKNOWN], counts[OutputKind.UNKNOWN_LETTER]
    unknown = np.minimum(*halves)
    torn = halves[0] != halves[1]
    ended = (
        counts[OutputKind.PREDICTION]
        + counts[OutputKind.DEAD_LETTER]
        + counts[OutputKind.MOVE]
        + counts[OutputKind.JOINED]
        + unknown
    )
    awaiting = counts[OutputKind.AWAITING]
    silent = (ended == 0) & (awaiting == 0) & ~torn
    predicted = counts[OutputKind.PREDICTION] > 0
    if side is InputTopic.OBSERVATIONS:
        derived = silent & redelivered(inputs, silent, predicted, since, window_ms, now_ms)
    else:
        answered = (counts[OutputKind.JOINED] > 0) | (unknown > 0) | (awaiting > 0)
        # what still waits is remembered, however old it is: it expires only once its observations are read to their end
        since[(awaiting > 0) & (ended == 0)] = now_ms
        derived = silent & repeated(inputs, silent, answered, since, window_ms, now_ms)
    ends = {
        Disposition.PREDICTION: predicted,
        Disposition.DEAD_LETTER: counts[OutputKind.DEAD_LETTER] > 0,
        Disposition.MOVE: counts[OutputKind.MOVE] > 0,
        Disposition.JOINED: counts[OutputKind.JOINED] > 0,
        Disposition.UNKNOWN: unknown > 0,
        Disposition.AWAITING: (awaiting > 0) & (ended == 0) & ~torn,
        (Disposition.REDELIVERY if side is InputTopic.OBSERVATIONS else Disposition.REPEAT): derived,
    }
    return Reconciliation(
        ends=ends,
        unaccounted=(silent & ~derived) | (torn & (unknown == 0)),
        duplicated=(ended > 1) | (awaiting > 1) | (torn & (unknown > 0)),
        strays=~fits,
        predicted_twice=predicted & predicted_again(inputs, predicted, since, window_ms),
    )


def places(partitions: NDArray[np.int32], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Partition and offset as one number, in the order of both."""
    return (partitions.astype(np.int64) << _OFFSET_BITS) | offsets


def match(inputs: Rows, traces: Rows) -> tuple[NDArray[np.int64], Flags]:
    """For each trace the row of the input that it names, and whether that is there and is what the trace says it is."""
    if not len(inputs):
        return np.zeros(len(traces), dtype=np.int64), np.zeros(len(traces), dtype=bool)
    places_in = places(inputs["partition"], inputs["offset"])
    named = places(traces["source_partition"], traces["source_offset"])
    at = np.minimum(np.searchsorted(places_in, named), len(inputs) - 1)
    # column by column, because a copy of whole rows would double what an audit holds
    partition, code, home = inputs["partition"][at], inputs["code"][at], inputs["home"][at]
    # held against the row itself: an offset beyond 44 bits, which only a forger writes, runs over into the partition
    found = (partition == traces["source_partition"]) & (inputs["offset"][at] == traces["source_offset"])
    same_id = (inputs["id"][at] == traces["id"]) & (code != BROKEN)
    same_value = inputs["value"][at] == traces["value"]
    same_partition = partition == traces["partition"]
    kind = traces["kind"]
    says_code = np.isin(kind, (OutputKind.PREDICTION, OutputKind.JOINED, OutputKind.AWAITING))
    fits = same_id & same_partition & ((code == traces["code"]) | ~says_code)
    letter = np.isin(kind, (OutputKind.DEAD_LETTER, OutputKind.UNKNOWN_LETTER))
    fits = np.where(letter, same_partition & (same_value | ~traces["whole"]), fits)
    # a move is one only from a partition that is not the id's to the one that is
    moved = same_id & same_value & (home != partition) & (home == traces["partition"])
    fits = np.where(kind == OutputKind.MOVE, moved, fits)
    return at.astype(np.int64), found & fits


def redelivered(inputs: Rows, silent: Flags, predicted: Flags, since: Counts, window_ms: int, now_ms: int) -> Flags:
    """Which silent observations repeat an earlier one of the same id that was predicted and still remembered."""
    wanted = silent & (inputs["code"] != BROKEN) & (inputs["home"] == inputs["partition"])
    # the code is part of what must agree: a 28-bit number, spread over 64 bits
    keys = inputs["id"] ^ (inputs["code"].astype(np.int64) * np.int64(0x1E3779B97F4A7C15))
    before = last_before(_key_with_partition(inputs, keys), predicted, wanted)
    return _remembered(inputs, wanted, before, since, window_ms, now_ms)


def repeated(inputs: Rows, silent: Flags, answered: Flags, since: Counts, window_ms: int, now_ms: int) -> Flags:
    """Which silent outcomes repeat the last one of the same id that was answered and still remembered."""
    wanted = silent & (inputs["code"] != BROKEN) & (inputs["home"] == inputs["partition"])
    before = last_before(_key_with_partition(inputs, inputs["id"]), answered, wanted)
    same_class = np.zeros(len(inputs), dtype=bool)
    known = before >= 0
    same_class[known] = inputs["code"][known] == inputs["code"][before[known]]
    return same_class & _remembered(inputs, wanted, before, since, window_ms, now_ms)


def predicted_again(inputs: Rows, predicted: Flags, since: Counts, window_ms: int) -> Flags:
    """Which predicted inputs have an id that was predicted before, within the join window."""
    before = last_before(_key_with_partition(inputs, inputs["id"]), predicted, predicted)
    repeated = before >= 0
    repeated[repeated] = since[repeated] - since[before[repeated]] <= window_ms
    return repeated


def last_before(keys: NDArray[np.int64], among: Flags, wanted: Flags) -> NDArray[np.int64]:
    """For each wanted row the last earlier row of the same key among those flagged; -1 where there is none."""
    found = np.full(len(keys), -1, dtype=np.int64)
    candidates, seekers = np.flatnonzero(among), np.flatnonzero(wanted)
    if not len(candidates) or not len(seekers):
        return found
    known, ranks = np.unique(keys[candidates], return_inverse=True)
    width = np.int64(len(keys))
    ordered = np.sort(ranks.astype(np.int64) * width + candidates)
    rank = np.searchsorted(known, keys[seekers])
    present = (rank < len(known)) & (known[np.minimum(rank, len(known) - 1)] == keys[seekers])
    seekers, rank = seekers[present], rank[present].astype(np.int64)
    previous = ordered[np.searchsorted(ordered, rank * width + seekers) - 1]
    earlier = (previous // width == rank) & (previous % width < seekers)
    found[seekers[earlier]] = (previous % width)[earlier]
    return found


def _key_with_partition(inputs: Rows, keys: NDArray[np.int64]) -> NDArray[np.int64]:
    return keys ^ (inputs["partition"].astype(np.int64) * np.int64(0x2545F4914F6CDD1D))


def _remembered(
    inputs: Rows, wanted: Flags, before: NDArray[np.int64], since: Counts, window_ms: int, now_ms: int
) -> Flags:
    known = wanted & (before >= 0)
    times = np.minimum(inputs["timestamp"], now_ms)
    known[known] = times[known] - since[before[known]] <= window_ms
    return known
