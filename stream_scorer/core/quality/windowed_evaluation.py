"""The figure of record: predictions and joined outcomes of a window of time, taken from the topics' own records.

Invariant: a prediction counts once, whatever was corrected: with the last revision that the window holds.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.contract.columns import Observation
from stream_scorer.core.contract.observation_code import DIGITS
from stream_scorer.core.contract.smoke_test_ids import is_smoke_id
from stream_scorer.core.quality.counts import GROUP_COLUMNS, ConfusionCounts, QualityCounts
from stream_scorer.core.quality.figures import QualityMetrics, figures
from stream_scorer.core.records.decode import Name, TimeText, decode_each
from stream_scorer.core.records.outcome_update import Revision
from stream_scorer.core.records.prediction import ObservationCode, Probability
from stream_scorer.core.records.timestamps import milliseconds
from stream_scorer.core.state.model_ids import ModelIds
from stream_scorer.core.state.restore import Records

# 31 and 40 bytes: millions fit in memory. Ids stand in them as Python's hash of their bytes: 64 bits, with a key that
# is new in every process. When an id was scored tells one prediction of it from another.
PREDICTED: Final = np.dtype([("id", "i8"), ("scored_ms", "i8"), ("model", "u2"), ("code", "i4"), ("prediction", "?")])
JOINED: Final = np.dtype([*PREDICTED.descr, ("proba", "f8"), ("actual", "?"), ("in_window", "?")])

Rows = NDArray[np.void]


class Window(NamedTuple):
    """A span of record timestamps, in ms since 1970; None: as far as the topics go."""

    begins_ms: int | None = None
    ends_ms: int | None = None

    def holds(self, timestamps_ms: Sequence[int]) -> NDArray[np.bool_]:
        """Which of these lie in it."""
        times = np.asarray(timestamps_ms, dtype=np.int64)
        begun = times >= self.begins_ms if self.begins_ms is not None else np.full(len(times), True)
        return begun & (times < self.ends_ms) if self.ends_ms is not None else begun


class ModelFigures(NamedTuple):
    """What one model in one role achieved."""

    model: str
    role: str
    figures: QualityMetrics


class EvaluationResult(NamedTuple):
    """What the window holds. `corrections` are revisions after the first; `unreadable` records were not ours."""

    all: QualityMetrics
    models: tuple[ModelFigures, ...]
    corrections: int
    unreadable: int


class _Prediction(msgspec.Struct, gc=False):
    prediction: bool
    model: Name
    role: Name
    observation_code: ObservationCode
    scored_at: TimeText


class _Joined(msgspec.Struct, gc=False, tag_field="status", tag="joined"):
    revision: Revision
    true_class: bool
    prediction: bool
    proba: Probability
    model: Name
    role: Name
    observation: Observation
    scored_at: TimeText


class _Awaiting(msgspec.Struct, gc=False, tag_field="status", tag="awaiting_prediction"):
    pass


class _Unknown(msgspec.Struct, gc=False, tag_field="status", tag="unknown"):
    pass


_Said = _Prediction | _Joined
T = TypeVar("T")

_decode_prediction: Final = msgspec.json.Decoder(_Prediction).decode
_decode_update: Final = msgspec.json.Decoder(_Joined | _Awaiting | _Unknown).decode


def _prediction(value: bytes) -> _Prediction:
    prediction = _decode_prediction(value)
    milliseconds(prediction.scored_at)
    return prediction


def _update(value: bytes) -> _Joined | _Awaiting | _Unknown:
    update: _Joined | _Awaiting | _Unknown = _decode_update(value)
    if isinstance(update, _Joined):
        milliseconds(update.scored_at)
    return update


class WindowedEvaluation:
    """Collects records, each partition's in their order, and says what they amount to."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._models = ModelIds()
        self._predicted = [np.empty(0, dtype=PREDICTED)]
        self._joined = [np.empty(0, dtype=JOINED)]
        self._corrections = self._unreadable = 0

    def add_predictions(self, records: Records) -> None:
        """Count the predictions that lie in the window; those of smoke tests are none."""
        inside = self._window.holds(records.timestamps_ms)
        decoded = self._decode(records, _prediction)
        chosen = [each for each in decoded if inside[each[0]] and not is_smoke_id(each[1])]
        self._predicted.append(self._rows(PREDICTED, chosen, [each.observation_code for _, _, each in chosen]))

    def add_updates(self, records: Records) -> None:
        """Count the joined updates that lie in the window; the others tell which predictions have an outcome by now.
        Nobody should have sent one for a smoke test's prediction; who did moves no figure."""
        decoded = self._decode(records, _update)
        joined = [(at, id_, each) for at, id_, each in decoded if isinstance(each, _Joined) and not is_smoke_id(id_)]
        rows = self._rows(JOINED, joined, [_group_code(each.observation) for _, _, each in joined])
        rows["proba"] = [each.proba for _, _, each in joined]
        rows["actual"] = [each.true_class for _, _, each in joined]
        rows["in_window"] = self._window.holds(records.timestamps_ms)[[at for at, _, _ in joined]]
        revisions = np.array([each.revision for _, _, each in joined], dtype=np.int64)
        self._corrections += int(((revisions > 1) & rows["in_window"]).sum())
        self._joined.append(rows)

    def findings(self, *, group_positives_min: int = 1) -> EvaluationResult:
        """What the records collected so far amount to; a gap between groups looks at those with so many positives."""
        predicted, joined = np.concatenate(self._predicted), np.concatenate(self._joined)
        self._predicted, self._joined = [predicted], [joined]
        predicted, last = _last_of_each(predicted), _last_of_each(joined[joined["in_window"]])
        covered = predicted[np.isin(_identity(predicted), _identity(joined))]
        counted, cohort = QualityCounts(), QualityCounts()
        for number in range(len(self._models)):
            model = self._models[number]
            for quality, rows in ((counted, predicted), (cohort, covered)):
                mine = rows[rows["model"] == number]
                quality.count_predictions(model, mine["code"].astype(np.int64), mine["prediction"])
            mine = last[last["model"] == number]
            codes = mine["code"].astype(np.int64)
            counted.count_joined(model, codes, mine["proba"], mine["prediction"], mine["actual"])

        def said(cells: ConfusionCounts, with_outcome: ConfusionCounts) -> QualityMetrics:
            covered = with_outcome.predicted.sum(axis=-1)
            return figures(cells, group_positives_min=group_positives_min, covered=covered)

        models = [ModelFigures(*model, said(counted[model], cohort[model])) for model in sorted(counted.models)]
        total = said(counted.total(), cohort.total())
        return EvaluationResult(total, tuple(models), self._corrections, self._unreadable)

    def _decode(self, records: Records, decode: Callable[[bytes], T]) -> list[tuple[int, bytes, T]]:
        """Position, key and content of each record that is ours."""
        decoded = [
            (position, key, each)
            for position, (key, each) in enumerate(zip(records.keys, decode_each(decode, records.values), strict=True))
            if key is not None and each is not None and self._has_number(each)
        ]
        self._unreadable += len(records.keys) - len(decoded)
        return decoded

    def _has_number(self, each: object) -> bool:
        return not isinstance(each, _Prediction | _Joined) or self._models.has_room_for(each.model, each.role)

    def _rows(self, dtype: np.dtype[np.void], decoded: Sequence[tuple[int, bytes, _Said]], codes: list[int]) -> Rows:
        rows: Rows = np.empty(len(decoded), dtype=dtype)
        rows["id"] = [hash(id_) for _, id_, _ in decoded]
        rows["scored_ms"] = [milliseconds(each.scored_at) for _, _, each in decoded]
        rows["model"] = [self._models.number(each.model, each.role) for _, _, each in decoded]
        rows["code"] = codes
        rows["prediction"] = [each.prediction for _, _, each in decoded]
        return rows


def _group_code(observation: Observation) -> int:
    """The number of an observation of the same group."""
    return sum(digits[getattr(observation, name)] for name, digits in zip(GROUP_COLUMNS, DIGITS, strict=False))


def _identity(rows: Rows) -> NDArray[np.int64]:
    """One number for each prediction: an id may be predicted again once the join window is over."""
    identity: NDArray[np.int64] = rows["id"] ^ (rows["scored_ms"] * np.int64(0x9E3779B97F4A7C1))
    return identity


def _last_of_each(rows: Rows) -> Rows:
    """Of the rows about one and the same prediction, the last."""
    backwards = rows[::-1]
    _, first = np.unique(_identity(backwards), return_index=True)
    return backwards[first]
