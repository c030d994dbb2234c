"""Trusted types: what pipelines are made of, in the oldest and the newest libraries that are supported."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from stream_scorer.models.artifacts.serialization import ALLOWED_TYPES

ROOT = Path(__file__).parents[3]
LIBRARIES = ("msgspec", "numpy", "pandas", "scikit-learn", "skops", "threadpoolctl")
# of those that were built for numpy 2, which is the oldest that we take
OLDEST_SCIPY = "scipy==1.13.*"
SCIPY_SINCE_1_18 = ("scipy._external.array_api_compat.numpy._aliases.asarray", "scipy.interpolate._bsplines._BSpline")

SAVE_AND_LOAD = """
import sys
from pathlib import Path

from sklearn.calibration import CalibratedClassifierCV
from sklearn.pipeline import Pipeline

from stream_scorer.models.dataframes import frame_of
from stream_scorer.models.registry.model_directory import load_model, save_model
from stream_scorer.models.synthetic.generator import Generator
from stream_scorer.models.training.pipelines import ALGORITHMS

def calibrated(pipeline, method):
    classifier = CalibratedClassifierCV(pipeline[-1], method=method, cv=2, ensemble=False)
    return Pipeline([*pipeline.steps[:-1], ("classifier", classifier)])


generator = Generator(1)
frame = frame_of(generator.codes(4_000))
outcomes = generator.outcomes(frame)
for algorithm, pipeline in ALGORITHMS.items():
    for method in (None, "sigmoid", "isotonic"):
        unfitted = pipeline(0) if method is None else calibrated(pipeline(0), method)
        folder = Path(sys.argv[1]) / f"{algorithm}-{method}"
        save_model(folder, unfitted.fit(frame, outcomes), name="tried", threshold=0.4)
        print(folder.name, load_model(folder).form, sep=":")
"""


@pytest.mark.parametrize("name", SCIPY_SINCE_1_18)
def test_what_newer_scipy_makes_splines_of_is_trusted(name: str) -> None:
    assert name in ALLOWED_TYPES


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("resolution", "further"),
    [("lowest-direct", ()), ("lowest-direct", (OLDEST_SCIPY,)), ("highest", ())],
    ids=["oldest", "oldest, scipy too", "newest"],
)
def test_all_that_train_can_fit_loads_with_the_oldest_and_the_newest_libraries(
    resolution: str, further: tuple[str, ...], tmp_path: Path
) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [needed for needed in project["dependencies"] if needed.startswith(LIBRARIES)]
    assert len(wanted) == len(LIBRARIES)
    uv = str(Path(sys.executable).parent / "uv")
    python = str(tmp_path / "venv" / "bin" / "python")
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(tmp_path / "venv")], check=True)
    install = [uv, "pip", "install", "--quiet", "--only-binary", ":all:", "--python", python]
    subprocess.run([*install, "--resolution", resolution, *wanted, *further], check=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "STREAM_SCORER_CACHE": str(tmp_path / "cache")}
    ran = subprocess.run(
        [python, "-c", SAVE_AND_LOAD, str(tmp_path)], check=False, capture_output=True, text=True, env=environment
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == [
        "logistic-None:additive",
        "logistic-sigmoid:matrix",
        "logistic-isotonic:matrix",
        "gradient-boosting-None:trees",
        "gradient-boosting-sigmoid:trees",
        "gradient-boosting-isotonic:trees",
    ]
