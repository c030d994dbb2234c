"""Training: honest splits, a threshold with a margin, a card that says it all; the command around it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from stream_scorer.commands import train as train_module
from stream_scorer.core.contract.columns import COLUMN_NAMES
from stream_scorer.errors import ModelError
from stream_scorer.models.dataframes import frame_of
from stream_scorer.models.registry.default_model import default_model_folder, ensure_default_model, generated_rows
from stream_scorer.models.registry.model_directory import load_model
from stream_scorer.models.training.dataset import LABEL, LabelledRows
from stream_scorer.models.training.fit import Trained, split, train
from stream_scorer.models.training.plots import plots_of
from stream_scorer.models.training.thresholds import choose_threshold


@pytest.fixture(scope="module")
def trained() -> Trained:
    """The default algorithm on generated stops."""
    return train(generated_rows(6_000, seed=3), source="generated", tests={"more": generated_rows(3_000, seed=4)})


def test_the_card_says_what_the_model_is_worth(trained: Trained) -> None:
    for name, rows in (("held-out", 1_200), ("more", 3_000)):
        figures = trained.card["evaluations"][name]
        assert figures["rows"] == rows
        for figure in ("auc", "average_precision", "brier", "success_rate", "recall", "calibration_slope"):
            interval = figures[figure]
            assert interval["low"] <= interval["value"] <= interval["high"]
        assert figures["auc"]["low"] > 0.6
        assert {gap["column"] for gap in figures["gaps"]} <= set(COLUMN_NAMES[:3])


def test_the_threshold_keeps_its_margin_on_stops_that_had_no_part_in_it(trained: Trained) -> None:
    success_rate = trained.evaluations["more"].success_rate
    assert success_rate is not None
    assert success_rate.value > 0.5
    assert 0.3 < trained.threshold < 0.45


def test_training_distributions_count_every_row_once(trained: Trained) -> None:
    found = trained.card["distributions"]
    assert found["rows"] == trained.card["training"]["rows"] == 4_800
    assert list(found["features"]) == list(COLUMN_NAMES)
    assert {name: sum(counts.values()) for name, counts in found["features"].items()} == dict.fromkeys(
        COLUMN_NAMES, 4_800
    )
    assert sum(found["probabilities"]) == 4_800
    by_race = found["probabilities_by_group"]["SubjectRaceCode"]
    assert np.array_equal(np.sum(list(by_race.values()), axis=0), found["probabilities"])
    assert {value: sum(bins) for value, bins in by_race.items()} == found["features"]["SubjectRaceCode"]


def test_the_same_seed_trains_the_same_model() -> None:
    one, other = (train(generated_rows(1_000, seed=1), source="", margin=0.0, seed=5) for _ in range(2))
    frame = frame_of(generated_rows(50, seed=2).codes)
    assert one.card == other.card
    assert np.array_equal(one.pipeline.predict_proba(frame), other.pipeline.predict_proba(frame))


def test_gradient_boosting_is_trained_too() -> None:
    boosted = train(generated_rows(2_000, seed=1), source="", algorithm="gradient-boosting", margin=0.0)
    auc = boosted.evaluations["held-out"].auc
    assert auc is not None
    assert auc.value > 0.6


def test_every_step_is_announced() -> None:
    steps: list[str] = []
    train(generated_rows(1_000, seed=1), source="", margin=0.0, progress=steps.append)
    assert [step.split(",")[0].split(" ")[0] for step in steps] == ["cross-validating"] * 5 + ["fitting", "evaluating"]


def test_with_times_the_latest_fifth_is_held_out() -> None:
    rows = generated_rows(1_000, seed=1)
    times = np.random.default_rng(0).permutation(1_000)
    fitted, held_out = split(rows._replace(times=times), seed=0)
    assert times[fitted].max() < times[held_out].min()
    assert len(held_out) == 200


def test_a_split_at_random_is_a_split() -> None:
    fitted, held_out = split(generated_rows(1_001, seed=1), seed=0)
    assert sorted([*fitted, *held_out]) == list(range(1_001))


def test_the_lowest_threshold_that_reaches_the_margin_is_taken() -> None:
    probabilities = np.repeat([0.2, 0.3, 0.4], 1_000)
    classes = np.concatenate([np.arange(1_000) < positives for positives in (100, 540, 700)])
    assert choose_threshold(probabilities, classes, margin=0.05).value == 0.21
    assert choose_threshold(probabilities, classes, margin=0.15).value == 0.31


def test_no_threshold_is_an_error_that_names_the_best() -> None:
    with pytest.raises(ModelError, match=r"success rate of 0\.55 on at least 50 predictions \(the best: 0\.4"):
        choose_threshold(np.full(1_000, 0.5), np.arange(1_000) < 400, margin=0.05)


@pytest.mark.parametrize(
    ("positives", "negatives", "complaint"),
    [
        (0, 0, "no valid row with a label"),
        (300, 0, "only one class"),
        (0, 300, "only one class"),
        (30, 400, "at least"),
    ],
)
def test_too_little_to_learn_from_is_an_error(positives: int, negatives: int, complaint: str) -> None:
    rows = generated_rows(positives + negatives, seed=1)._replace(classes=np.arange(positives + negatives) < positives)
    with pytest.raises(ModelError, match=complaint):
        train(rows, source="stops.csv")


# The command

app = typer.Typer()
app.callback()(lambda: None)
train_module.register(app)


def a_csv(path: Path, rows: LabelledRows) -> Path:
    frame = frame_of(rows.codes)
    frame.loc[frame["SearchAuthorizationCode"] == "N", "SearchAuthorizationCode"] = "O"  # labels are of searches
    frame[LABEL] = rows.classes.astype(str)
    frame.loc[frame.index[:10], LABEL] = ""
    frame.to_csv(path, index=False)
    return path


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["train", *map(str, arguments)])


def test_a_csv_becomes_a_model_directory_and_a_report(tmp_path: Path) -> None:
    csv = a_csv(tmp_path / "stops.csv", generated_rows(3_000, seed=1))
    test = a_csv(tmp_path / "test.csv", generated_rows(500, seed=2))
    result = run(csv, "--out", tmp_path / "model", "--test", test)
    assert result.exception is None, result.output
    assert "10 without a label" in " ".join(result.stdout.split())
    for words in (
        "success rate",
        "test.csv (490",
        "Discovery rates, held-out",
        "Calibration, test.csv",
        "saved model@",
    ):
        assert words in result.stdout
    model = load_model(tmp_path / "model")
    assert model.card["training"]["source"] == "stops.csv"
    assert model.card["training"]["cleaning"]["unlabelled"] == 10


def test_json_is_one_object_and_nothing_else(tmp_path: Path) -> None:
    result = run("--rows", 2_000, "--out", tmp_path / "model", "--name", "mine", "--threshold-margin", 0.02, "--json")
    assert result.exception is None, result.output
    summary = json.loads(result.stdout)
    assert summary["model"] == load_model(tmp_path / "model").name
    assert summary["model"].startswith("mine@")
    assert summary["evaluations"]["held-out"]["rows"] == 400


def test_a_folder_that_exists_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("")
    result = run(tmp_path / "no.csv", "--out", tmp_path / "full")
    assert isinstance(result.exception, ModelError)
    assert "exists already" in str(result.exception)


# The default model


def test_the_default_model_is_trained_once_by_however_many_ask(tmp_path: Path) -> None:
    program = (
        "from stream_scorer.models.registry.default_model import ensure_default_model\n"
        "from stream_scorer.models.registry.model_directory import load_model\n"
        "steps = []\n"
        "model = load_model(ensure_default_model(steps.append))\n"
        "print(model.name, len(steps) > 0)"
    )
    both = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate()[0].split() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert said[0][0] == said[1][0]
    steps: list[str] = []
    folder = ensure_default_model(steps.append)
    assert steps == []
    assert load_model(folder).name == said[0][0]

    (folder / "card.json").write_text("{}")
    assert ensure_default_model(steps.append) == folder == default_model_folder()
    assert steps != []
    assert load_model(folder).threshold < 0.5
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_calibrated_probabilities_are_in_the_order_of_the_rows_and_on_the_card() -> None:
    boosted = train(
        generated_rows(2_000, seed=1), source="", algorithm="gradient-boosting", calibration="isotonic", margin=0.0
    )
    assert boosted.card["calibration"] == "isotonic"
    slope = boosted.evaluations["held-out"].calibration_slope
    assert slope is not None
    assert slope.low < 1.3
    assert boosted.errors.shape == (1_600,)


def test_both_policies_stand_on_the_card(trained: Trained) -> None:
    policies = trained.card["threshold_choice"]["policies"]
    assert policies["success-rate"]["value"] == trained.threshold
    assert policies["gap"] is None or policies["gap"]["recall"] <= policies["success-rate"]["recall"]


def test_the_drawing_has_a_line_for_each_set_of_rows_and_each_group(trained: Trained) -> None:
    drawing = plots_of("m@0123", trained).decode()
    for said in ("held-out", "more", "SubjectRaceCode", "Discovery rates, more"):
        assert said in drawing
