"""Observations, predictions and joined outcomes as rows of numbers, so that millions of them can be compared.

Invariant: on any bytes a row or none, and never an exception; ids stand in a row as Python's hash of their bytes.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Final, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.contract.observation_events import decode_observations
from stream_scorer.core.contract.schema_frame import without_frames
from stream_scorer.core.contract.smoke_test_ids import smoke_test_indices
from stream_scorer.core.records.decode import Name, TimeText, decode_each
from stream_scorer.core.records.outcome_update import Revision
from stream_scorer.core.records.prediction import ObservationCode, Probability
from stream_scorer.core.records.record import ConsumedRecord, Source
from stream_scorer.core.records.timestamps import milliseconds
from stream_scorer.core.rollout.serving_history import ServingHistory, expected_at
from stream_scorer.core.state.model_ids import ModelIds

Rows = NDArray[np.void]
Key = TypeVar("Key", bound=Hashable)

OBSERVED: Final = np.dtype([("offset", "i8"), ("id", "i8"), ("code", "i8")])
PUBLISHED: Final = np.dtype(
    [
        ("source", "i8"),
        ("id", "i8"),
        ("scored_ms", "i8"),
        ("code", "i8"),
        ("proba", "f8"),
        ("threshold", "f8"),
        ("model", "i4"),
        ("prediction", "?"),
        # who should have said so, as `model`, and from which probability on; -1 where no switch says it
        ("expected", "i4"),
        ("expected_threshold", "f8"),
    ]
)
NOBODY: Final = -1
NO_TIME: Final = -(1 << 62)
NO_HISTORY: Final = ServingHistory(())
ACTUAL: Final = np.dtype([("id", "i8"), ("scored_ms", "i8"), ("revision", "i4"), ("actual", "?")])


class _Prediction(msgspec.Struct, gc=False):
    prediction: bool
    proba: Probability
    threshold: Probability
    model: Name
    role: Name
    observation_code: ObservationCode
    source: Source
    scored_at: TimeText


class _Joined(msgspec.Struct, gc=False, tag_field="status", tag="joined"):
    revision: Revision
    true_class: bool
    scored_at: TimeText


class _Awaiting(msgspec.Struct, gc=False, tag_field="status", tag="awaiting_prediction"):
    pass


class _Unknown(msgspec.Struct, gc=False, tag_field="status", tag="unknown"):
    pass


_decode_prediction: Final = msgspec.json.Decoder(_Prediction).decode
_decode_update: Final = msgspec.json.Decoder(_Joined | _Awaiting | _Unknown).decode


class Instants:
    """Times of predictions as milliseconds since 1970. All of a batch have the same one, so each is read once."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def __getitem__(self, text: str) -> int:
        """The time; `NO_TIME` for a text that is none."""
        if text not in self._known:
            if len(self._known) > 100_000:
                self._known.clear()
            try:
                self._known[text] = milliseconds(text)
            except ValueError:
                self._known[text] = NO_TIME
        return self._known[text]


def observed_rows(records: Sequence[ConsumedRecord], event_bytes_max: int, framed: bool = False) -> Rows:
    """The observations that pass the contract, in the order of their offsets; those of smoke tests are left out."""
    values = [record.value for record in records]
    decoded = decode_observations(without_frames(values) if framed else values, event_bytes_max)
    rows: Rows = np.empty(len(decoded.ids), dtype=OBSERVED)
    offsets = [record.offset for record in records]
    rows["offset"] = offsets if len(decoded.ids) == len(records) else [offsets[at] for at in decoded.positions]
    rows["id"] = list(map(hash, decoded.ids))
    rows["code"] = decoded.codes
    return rows


def published_rows(
    records: Sequence[ConsumedRecord],
    partition: int,
    models: ModelIds,
    instants: Instants,
    history: ServingHistory = NO_HISTORY,
) -> Rows:
    """The predictions that name an observation of their own partition. `models` gives each model and role a number;
    `history` says who should have published them."""
    # Passes over the whole batch, as where it was decoded: what all of a batch share is looked up once.
    decoded = decode_each(_decode_prediction, [record.value for record in records])
    keys = [record.key or b"" for record in records]
    said = [each for each in decoded if each is not None]
    if len(said) < len(decoded):
        keys = [key for key, each in zip(keys, decoded, strict=True) if each is not None]
    rows: Rows = np.empty(len(said), dtype=PUBLISHED)
    rows["source"] = [each.source.offset for each in said]
    rows["id"] = list(map(hash, keys))
    rows["scored_ms"] = looked_up([each.scored_at for each in said], instants.__getitem__)
    rows["code"] = [each.observation_code for each in said]
    rows["proba"] = [each.proba for each in said]
    rows["threshold"] = [each.threshold for each in said]
    rows["model"] = looked_up(
        [(each.model, each.role) for each in said],
        lambda who: models.number(*who) if models.has_room_for(*who) else NOBODY,
    )
    rows["prediction"] = [each.prediction for each in said]
    rows["expected"], rows["expected_threshold"] = NOBODY, np.nan
    if history:
        for row, (key, each) in enumerate(zip(keys, said, strict=True)):
            expected = expected_at(history, partition, each.source.offset, key)
            if expected is not None and models.has_room_for(expected.model, expected.role):
                rows["expected"][row] = models.number(expected.model, expected.role)
                rows["expected_threshold"][row] = expected.threshold
    ours = np.array([each.source.partition for each in said], dtype=np.int64) == partition
    ours &= (rows["scored_ms"] != NO_TIME) & (rows["model"] != NOBODY)
    ours[smoke_test_indices(keys)] = False
    return rows if ours.all() else rows[ours]


def looked_up(keys: Sequence[Key], look_up: Callable[[Key], int]) -> int | list[int]:
    """What each key stands for; one number where all are the same key, as nearly always those of a batch are."""
    if keys and keys.count(keys[0]) == len(keys):
        return look_up(keys[0])
    found = {key: look_up(key) for key in set(keys)}
    return [found[key] for key in keys]


def actual_rows(records: Sequence[ConsumedRecord], instants: Instants) -> Rows:
    """The outcomes that were joined to a prediction, each revision of its own."""
    decoded = decode_each(_decode_update, [record.value for record in records])
    kept = [
        (record.key, each, at)
        for record, each in zip(records, decoded, strict=True)
        if isinstance(each, _Joined) and record.key is not None and (at := instants[each.scored_at]) != NO_TIME
    ]
    rows: Rows = np.empty(len(kept), dtype=ACTUAL)
    rows["id"] = [hash(key) for key, _, _ in kept]
    rows["scored_ms"] = [at for _, _, at in kept]
    rows["revision"] = [each.revision for _, each, _ in kept]
    rows["actual"] = [each.true_class for _, each, _ in kept]
    return rows


def identity(rows: Rows) -> NDArray[np.int64]:
    """One number for each prediction: an id may be predicted again once the join window is over."""
    found: NDArray[np.int64] = rows["id"] ^ (rows["scored_ms"] * np.int64(0x9E3779B97F4A7C1))
    return found


def with_outcomes(published: Rows, actual: Rows) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Which predictions have an outcome, ascending, and what it is: that of the last revision."""
    backwards = actual[np.argsort(actual["revision"], kind="stable")][::-1]
    numbers, first = np.unique(identity(backwards), return_index=True)
    if not len(numbers):
        return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.bool_)
    mine = identity(published)
    place = np.minimum(np.searchsorted(numbers, mine), len(numbers) - 1)
    known = np.flatnonzero(numbers[place] == mine)
    return known, backwards["actual"][first[place[known]]]
