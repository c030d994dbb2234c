"""Models that several tests look at, trained once, and a cache folder of their own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stream_scorer.models.dataframes import frame_of
from stream_scorer.models.synthetic.generator import Generator
from stream_scorer.models.training.pipelines import gradient_boosting, logistic


@pytest.fixture(scope="session")
def codes() -> NDArray[np.int64]:
    """Generated observations."""
    return Generator(7).codes(3_000)


@pytest.fixture(scope="session")
def classes(codes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """What their searches found."""
    return Generator(7).outcomes_of(codes)


@pytest.fixture(scope="session")
def logistic_pipeline(codes: NDArray[np.int64], classes: NDArray[np.bool_]) -> Any:
    """A fitted additive pipeline."""
    return logistic(0).fit(frame_of(codes), classes)


@pytest.fixture(scope="session")
def trees_pipeline(codes: NDArray[np.int64], classes: NDArray[np.bool_]) -> Any:
    """A fitted pipeline that no sum can stand for."""
    return gradient_boosting(0).set_params(classifier__max_iter=20).fit(frame_of(codes), classes)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder for each test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("STREAM_SCORER_CACHE", str(folder))
    return folder
