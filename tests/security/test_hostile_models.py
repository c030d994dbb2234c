"""What a model file that somebody else made can't do: run its code when it is loaded."""

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import skops.io
from sklearn.preprocessing import FunctionTransformer

from stream_scorer.errors import ModelError
from stream_scorer.models.artifacts.serialization import load_pipeline


class Leaves:
    """Brought to life, it leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_a_pickle_is_not_brought_to_life(tmp_path: Path) -> None:
    left = tmp_path / "left"
    content = pickle.dumps(Leaves(left))
    with pytest.raises(ModelError, match="not in skops format"):
        load_pipeline(content, "the model")
    assert not left.exists()
    pickle.loads(content)
    assert left.exists(), "the bait is none"


def test_a_function_of_the_system_is_refused_by_name() -> None:
    content = skops.io.dumps(FunctionTransformer(os.system))
    with pytest.raises(ModelError, match=r"not trusted: .*(posix|nt)\.system"):
        load_pipeline(content, "the model")


def test_a_file_of_the_archive_that_leads_out_of_it_is_never_written(tmp_path: Path) -> None:
    honest = skops.io.dumps(FunctionTransformer())
    hostile = io.BytesIO(honest)
    with zipfile.ZipFile(hostile, "a") as archive:
        archive.writestr(f"../../{tmp_path.name}-left", b"left")
        archive.writestr(str(tmp_path / "left"), b"left")
    load_pipeline(hostile.getvalue(), "the model")
    assert list(tmp_path.iterdir()) == []
    assert not (tmp_path.parent / f"{tmp_path.name}-left").exists()
