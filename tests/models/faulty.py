"""Models that break their promises, saved as real model directories, for tests of everything that must survive them.

A worker that runs as a process of its own needs `TRUSTED_TYPES` in its settings and the repository's root on its
PYTHONPATH. Saved and loaded, such a model behaves: no generated stop has hour 24, and its golden rows are generated
ones. `a_bad_observation()` sets it off; so does, on every row, the file that `armed_by` names, from the moment that it
exists."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin

from stream_scorer.models.registry.model_directory import save_model
from stream_scorer.models.synthetic.generator import Generator
from tests.support.builders import an_observation

Fault = Literal["raises", "nan", "above one", "wrong length"]

TRUSTED_TYPES = ("tests.models.faulty.Faulty",)
BAD_HOUR = 24


class Faulty(ClassifierMixin, BaseEstimator):
    """A classifier whose answer depends on the age alone, but for the rows that set off its fault."""

    def __init__(self, fault: Fault, armed_by: str = "") -> None:
        self.fault = fault
        self.armed_by = armed_by
        self.classes_ = np.array([False, True])

    def predict_proba(self, frame: Any) -> NDArray[np.float64]:
        """Probabilities of shape (n, 2), unless the fault says otherwise."""
        positive = frame["SubjectAge"].to_numpy() / 200
        bad = frame["hour"].to_numpy() == BAD_HOUR
        if self.armed_by and Path(self.armed_by).exists():
            bad[:] = True
        if self.fault == "raises" and bad.any():
            raise ValueError("no such hour")
        if self.fault in ("nan", "above one"):
            positive = np.where(bad, np.nan if self.fault == "nan" else 1.5, positive)
        if self.fault == "wrong length":
            positive = positive[~bad]
        return np.stack([1 - positive, positive], axis=1)


def save_faulty(folder: Path, fault: Fault, armed_by: Path | None = None) -> None:
    """A model directory that loads well and then breaks the given promise."""
    model = Faulty(fault, str(armed_by or ""))
    save_model(folder, model, name="faulty", threshold=0.1, golden=Generator(0).codes(32))


def a_bad_observation(**changes: object) -> dict[str, Any]:
    """A valid observation that sets off the fault; `SubjectAge` may be changed, `hour` may not."""
    return an_observation(**changes, hour=BAD_HOUR)
