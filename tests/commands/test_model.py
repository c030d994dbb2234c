"""`stream-scorer model`: what it shows of a model, and which ones it does not let through."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from stream_scorer.commands.main import app
from stream_scorer.core.contract.observation_code import observation_columns
from stream_scorer.errors import ModelError
from stream_scorer.models.dataframes import frame_of
from stream_scorer.models.registry.model_directory import save_model
from stream_scorer.models.synthetic.generator import Generator
from stream_scorer.models.training.dataset import LABEL
from stream_scorer.models.training.pipelines import logistic

ROWS = 3_000


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAM_SCORER_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def pipeline() -> Any:
    """A fitted additive pipeline."""
    generator = Generator(1)
    codes = generator.codes(ROWS)
    return logistic(0).fit(frame_of(codes), generator.outcomes_of(codes))


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Other stops with what their searches found."""
    generator = Generator(2)
    codes = generator.codes(ROWS)
    with (tmp_path / "stops.csv").open("w", newline="") as file:
        rows = [
            {**observation_columns(code), LABEL: found}
            for code, found in zip(codes.tolist(), generator.outcomes_of(codes).tolist(), strict=True)
        ]
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return tmp_path / "stops.csv"


def model_at(threshold: float, pipeline: Any, folder: Path) -> Path:
    save_model(folder, pipeline, name="stops", threshold=threshold)
    return folder


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["model", *map(str, arguments)])


def test_show_tells_what_a_model_is(pipeline: Any, tmp_path: Path) -> None:
    shown = json.loads(invoke("show", model_at(0.5, pipeline, tmp_path / "m"), "--json").stdout)
    assert shown["model"] == f"stops@{shown['digest'][:12]}"
    assert (shown["form"], shown["threshold"], shown["card"]["name"]) == ("additive", 0.5, "stops")


@pytest.mark.parametrize(
    ("threshold", "exit_status", "fault"),
    [
        pytest.param(0.5, 0, None, id="right-often-enough"),
        pytest.param(0.1, 1, "below 0.500", id="wrong-too-often"),
        pytest.param(1.0, 1, "predicted positive", id="no-positive-prediction"),
    ],
)
def test_verify_lets_through_who_is_right_often_enough(
    threshold: float, exit_status: int, fault: str | None, pipeline: Any, labelled: Path, tmp_path: Path
) -> None:
    ran = invoke("verify", model_at(threshold, pipeline, tmp_path / "m"), "--labelled", labelled, "--json")
    found = json.loads(ran.stdout)
    assert ran.exit_code == exit_status
    assert found["passed"] == (fault is None)
    assert [fault in each for each in found["faults"]] == ([True] if fault else [])


def test_the_bar_is_what_was_asked_for(pipeline: Any, labelled: Path, tmp_path: Path) -> None:
    folder = model_at(0.5, pipeline, tmp_path / "m")
    assert invoke("verify", folder, "--labelled", labelled, "--min-success-rate", "0.99").exit_code == 1


def test_without_labelled_stops_a_model_that_loads_is_let_through(pipeline: Any, tmp_path: Path) -> None:
    ran = invoke("verify", model_at(0.5, pipeline, tmp_path / "m"))
    assert ran.exit_code == 0
    assert "loads" in ran.stdout


@pytest.mark.parametrize("name", ["m.pkl", "m.pickle", "m.joblib", "inside/model.pkl"])
@pytest.mark.parametrize("command", ["show", "verify"])
def test_a_pickle_is_refused_with_the_reason_and_the_way_out(command: str, name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"\x80\x04N.")
    ran = invoke(command, file if file.parent == tmp_path else file.parent)
    assert isinstance(ran.exception, ModelError)
    assert "runs whatever code" in str(ran.exception)
    assert "save_model" in str(ran.exception)


def test_a_changed_model_is_refused(pipeline: Any, tmp_path: Path) -> None:
    folder = model_at(0.5, pipeline, tmp_path / "m")
    card = folder / "card.json"
    card.write_bytes(card.read_bytes().replace(b"0.5", b"0.4", 1))
    assert "was changed after it was saved" in str(invoke("verify", folder).exception)


def test_a_file_without_labels_is_refused(pipeline: Any, tmp_path: Path) -> None:
    (tmp_path / "stops.csv").write_text("SubjectAge\n30\n")
    folder = model_at(0.5, pipeline, tmp_path / "m")
    assert "lacks the columns" in str(invoke("verify", folder, "--labelled", tmp_path / "stops.csv").exception)


def test_the_success_rate_is_that_of_the_published_decision(pipeline: Any, labelled: Path, tmp_path: Path) -> None:
    found = json.loads(
        invoke("verify", model_at(0.4, pipeline, tmp_path / "m"), "--labelled", labelled, "--json").stdout
    )
    generator = Generator(2)
    codes = generator.codes(ROWS)
    outcomes = generator.outcomes_of(codes)
    _, distinct = np.unique(np.stack([codes, outcomes]), axis=1, return_index=True)
    # a stop that nobody searched has no label
    distinct = distinct[(frame_of(codes[distinct])["SearchAuthorizationCode"] != "N").to_numpy()]
    positive = pipeline.predict_proba(frame_of(codes[distinct]))[:, 1] >= 0.4
    assert (found["rows"], found["positives"]) == (len(distinct), int(positive.sum()))
    assert found["success_rate"] == pytest.approx(float(outcomes[distinct][positive].mean()))
