"""A model that becomes slow while it serves."""

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin

from stream_scorer.models.registry.model_directory import save_model
from stream_scorer.models.synthetic.generator import Generator

SLOW_TYPES = ("tests.observability.slow_model.Slow",)


class Slow(ClassifierMixin, BaseEstimator):
    """Its answer depends on the age alone. It takes its time from the moment that the file `slowed_by` exists."""

    def __init__(self, slowed_by: str, seconds: float) -> None:
        self.slowed_by = slowed_by
        self.seconds = seconds
        self.classes_ = np.array([False, True])

    def predict_proba(self, frame: Any) -> NDArray[np.float64]:
        if Path(self.slowed_by).exists():
            time.sleep(self.seconds)
        positive = frame["SubjectAge"].to_numpy() / 200
        return np.stack([1 - positive, positive], axis=1)


def save_slow(folder: Path, slowed_by: Path, seconds: float) -> None:
    """A model directory whose model takes so long for a batch once the file is there, and never says yes."""
    save_model(folder, Slow(str(slowed_by), seconds), name="slow", threshold=0.9, golden=Generator(0).codes(32))
