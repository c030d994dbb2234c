"""A model whose exceptions quote what it was given, as many do."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin

from stream_scorer.models.registry.model_directory import save_model
from stream_scorer.models.synthetic.generator import Generator

QUOTING_TYPES = ("tests.observability.quoting_model.Quoting",)
BAD_HOUR = 24


class Quoting(ClassifierMixin, BaseEstimator):
    """Raises at hour 24, which no generated stop has, and at every row once the file `armed_by` exists."""

    def __init__(self, quoted: str, armed_by: str) -> None:
        self.quoted = quoted
        self.armed_by = armed_by
        self.classes_ = np.array([False, True])

    def predict_proba(self, frame: Any) -> NDArray[np.float64]:
        if (frame["hour"] == BAD_HOUR).any() or Path(self.armed_by).exists():
            raise ValueError(f"can't make sense of {self.quoted}")
        positive = frame["SubjectAge"].to_numpy() / 200
        return np.stack([1 - positive, positive], axis=1)


def save_quoting(folder: Path, quoted: str, armed_by: Path) -> None:
    """A model directory whose model quotes this text when it fails."""
    golden = Generator(0).codes(32)
    save_model(folder, Quoting(quoted, str(armed_by)), name="quoting", threshold=0.1, golden=golden)
