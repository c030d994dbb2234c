"""A pipeline that is saved twice, by whichever process, is the same model, and still says the same."""

from copy import deepcopy
from io import BytesIO
from zipfile import ZipFile

import numpy as np
import pytest
import skops.io
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer, StandardScaler

from stream_scorer.models.artifacts.reproducible_archive import make_reproducible
from stream_scorer.models.artifacts.serialization import dump_pipeline, load_pipeline

ROWS = np.random.default_rng(0).normal(size=(60, 3))
CLASSES = ROWS[:, 0] > 0
PIPELINES = {
    "additive": make_pipeline(SplineTransformer(n_knots=4), LogisticRegression()),
    "forest": make_pipeline(StandardScaler(), RandomForestClassifier(5, random_state=0)),
}


def test_a_copy_elsewhere_in_memory_gives_the_same_bytes() -> None:
    # not so a forest: the gaps between the fields of its trees' nodes hold whatever was in memory
    pipeline = PIPELINES["additive"].fit(ROWS, CLASSES)
    copy = deepcopy(pipeline)
    assert skops.io.dumps(copy) != skops.io.dumps(pipeline)
    assert dump_pipeline(copy) == dump_pipeline(pipeline)


@pytest.mark.parametrize("name", sorted(PIPELINES))
def test_what_is_loaded_says_the_same_to_the_last_bit(name: str) -> None:
    pipeline = PIPELINES[name].fit(ROWS, CLASSES)
    loaded = load_pipeline(dump_pipeline(pipeline), "here")
    assert np.array_equal(loaded.predict_proba(ROWS), pipeline.predict_proba(ROWS))


def test_no_file_is_lost_and_none_overwritten() -> None:
    archive = skops.io.dumps(PIPELINES["forest"].fit(ROWS, CLASSES))
    settled = make_reproducible(archive)
    with ZipFile(BytesIO(archive)) as before, ZipFile(BytesIO(settled)) as after:
        assert len(after.namelist()) == len(before.namelist())
        contents = [
            sorted(each.read(name) for name in each.namelist() if name != "schema.json") for each in (before, after)
        ]
    assert contents[0] == contents[1]
    assert make_reproducible(settled) == settled
