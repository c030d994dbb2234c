"""Models in processes of their own: right answers, faults under their names, and an end to what hangs."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from stream_scorer.errors import ModelError
from stream_scorer.models.registry.model_directory import load_model
from stream_scorer.models.registry.model_process import ROWS_AT_ONCE, HostedModel, ModelTimeoutError, host_model
from stream_scorer.models.serving.lookup_tables import random_codes
from stream_scorer.models.synthetic.generator import Generator
from tests.models.faulty import TRUSTED_TYPES, save_faulty
from tests.support.models import save_additive, save_trees

TIMEOUT_S = 30.0


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models of the tests are imported by their full names."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))


def hosted(folder: Path, timeout_s: float = TIMEOUT_S) -> HostedModel:
    return host_model(folder, TRUSTED_TYPES, timeout_s=timeout_s)


def test_an_additive_model_comes_back_as_tables_and_its_process_ends(tmp_path: Path) -> None:
    wanted = save_additive(tmp_path / "model", "one", seed=1)
    model = hosted(tmp_path / "model")
    codes = random_codes(1_000)
    assert model.process is None
    assert (model.digest, model.name) == (wanted.digest, wanted.label)
    np.testing.assert_array_equal(model.predict(codes), load_model(tmp_path / "model").score(codes))


def test_another_model_answers_from_its_process_more_rows_than_go_at_once(tmp_path: Path) -> None:
    save_trees(tmp_path / "model", "trees")
    model = hosted(tmp_path / "model")
    assert model.process is not None
    try:
        codes = random_codes(2 * ROWS_AT_ONCE + 7)
        np.testing.assert_allclose(model.predict(codes), load_model(tmp_path / "model").score(codes), atol=1e-12)
        assert model.predict(codes[:0]).shape == (0,)
    finally:
        model.process.close()


def test_what_a_model_raises_is_raised_here_under_its_name_and_it_goes_on(tmp_path: Path) -> None:
    armed = tmp_path / "armed"
    save_faulty(tmp_path / "model", "raises", armed)
    model = hosted(tmp_path / "model")
    assert model.process is not None
    try:
        codes = Generator(3).codes(10)
        armed.touch()
        with pytest.raises(Exception, match="no such hour") as raised:
            model.predict(codes)
        assert type(raised.value).__name__ == "ValueError"
        armed.unlink()
        assert model.predict(codes).shape == (10,)
    finally:
        model.process.close()


def test_a_model_that_does_not_answer_is_killed_in_time(tmp_path: Path) -> None:
    save_trees(tmp_path / "model", "trees")
    model = hosted(tmp_path / "model", timeout_s=0.2)
    assert model.process is not None
    os.kill(model.process.pid, signal.SIGSTOP)
    with pytest.raises(ModelTimeoutError):
        model.predict(random_codes(3 * ROWS_AT_ONCE))
    assert not model.process.is_alive
    with pytest.raises((EOFError, OSError)):
        model.predict(random_codes(10))


def test_a_model_that_can_not_be_loaded_says_why_and_leaves_no_process(tmp_path: Path) -> None:
    save_additive(tmp_path / "model", "one", seed=1)
    (tmp_path / "model" / "card.json").write_bytes(b"{}")
    with pytest.raises(ModelError, match="does not match its digest"):
        hosted(tmp_path / "model")
