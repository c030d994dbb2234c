"""How well the predictions did, counted from predictions and joined outcomes, with intervals that say how sure we are.

Invariant: counts only ever grow; a correction is counted in the new class and *retracted* in the old one, so that
counters of many workers add up.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.contract.columns import COLUMN_NAMES
from stream_scorer.core.contract.observation_code import SIZES, STRIDES

# Fairness is looked at by these columns. They are the most significant digits of an observation's number, so that
# number // stride is the group.
GROUP_COLUMNS: Final = COLUMN_NAMES[:3]
GROUP_SIZES: Final = SIZES[:3]
GROUPS: Final = int(np.prod(GROUP_SIZES))
_GROUP_STRIDE: Final = STRIDES[2]

Model = tuple[str, str]  # name and role
Codes = NDArray[np.int64]
Decisions = NDArray[np.bool_]


class ConfusionCounts:
    """The counts of one model in one role. Shapes: `joined` (race, sex, ethnicity, predicted, actual), `squared_error`
    (race, sex, ethnicity), `predicted` (race, sex, ethnicity, predicted); the last axes are false, true."""

    __slots__ = ("joined", "predicted", "squared_error")

    def __init__(self) -> None:
        self.joined = np.zeros((*GROUP_SIZES, 2, 2), dtype=np.int64)
        self.squared_error = np.zeros(GROUP_SIZES)
        self.predicted = np.zeros((*GROUP_SIZES, 2), dtype=np.int64)

    def count_one(self, code: int, proba: float, prediction: bool, actual: bool) -> None:
        """Count one joined outcome."""
        group = code // _GROUP_STRIDE
        self.joined.reshape(-1)[group * 4 + prediction * 2 + actual] += 1
        self.squared_error.reshape(-1)[group] += (proba - actual) ** 2

    def add(self, other: "ConfusionCounts", sign: int = 1) -> None:
        """Add the other's counts, or subtract them with a `sign` of -1."""
        self.joined += sign * other.joined
        self.squared_error += sign * other.squared_error
        self.predicted += sign * other.predicted


class QualityCounts:
    """Counts by model and role."""

    def __init__(self) -> None:
        self.models: dict[Model, ConfusionCounts] = {}

    def __getitem__(self, model: Model) -> ConfusionCounts:
        cells = self.models.get(model)
        if cells is None:
            cells = self.models[model] = ConfusionCounts()
        return cells

    def __bool__(self) -> bool:
        return bool(self.models)

    def count_predictions(self, model: Model, codes: Codes, predictions: Decisions) -> None:
        """Count predictions of one model; all arrays of shape (n,)."""
        cell = codes // _GROUP_STRIDE * 2 + predictions
        self[model].predicted += np.bincount(cell, minlength=GROUPS * 2).reshape(*GROUP_SIZES, 2)

    def count_joined(
        self, model: Model, codes: Codes, probas: NDArray[np.float64], predictions: Decisions, actual: Decisions
    ) -> None:
        """Count joined outcomes of one model; all arrays of shape (n,)."""
        cells, group = self[model], codes // _GROUP_STRIDE
        cell = group * 4 + predictions * 2 + actual
        cells.joined += np.bincount(cell, minlength=GROUPS * 4).reshape(*GROUP_SIZES, 2, 2)
        errors = np.bincount(group, weights=(probas - actual) ** 2, minlength=GROUPS)
        cells.squared_error += errors.reshape(GROUP_SIZES)

    def add(self, other: "QualityCounts", sign: int = 1) -> None:
        """Add the other's counts, or subtract them (retracted ones) with a `sign` of -1."""
        for model, cells in other.models.items():
            self[model].add(cells, sign)

    def total(self) -> ConfusionCounts:
        """All models and roles together."""
        total = ConfusionCounts()
        for cells in self.models.values():
            total.add(cells)
        return total
