"""Model directories: what was saved is what is served, or a clear error."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from stream_scorer.core.contract.observation_code import encode_columns
from stream_scorer.errors import ModelError
from stream_scorer.models.artifacts.files import CARD, DIGEST, FILES, GOLDEN, PIPELINE, as_json, digest_of, write_files
from stream_scorer.models.dataframes import frame_of
from stream_scorer.models.registry.model_directory import golden_rows, load_model, save_model
from stream_scorer.models.serving.lookup_table_cache import UPPER_CODES
from stream_scorer.models.serving.lookup_tables import LOWER_CODES
from tests.models.faulty import TRUSTED_TYPES, Fault, a_bad_observation, save_faulty
from tests.support.builders import an_observation

Codes = NDArray[np.int64]


@pytest.fixture
def folder(tmp_path: Path, logistic_pipeline: Any) -> Path:
    """A saved additive model."""
    save_model(tmp_path / "stops", logistic_pipeline, name="stops", threshold=0.4, card={"note": "kept"})
    return tmp_path / "stops"


def rewrite(folder: Path, file: str, change: Callable[[Any], Any]) -> Path:
    """The same directory with one JSON file changed, and an honest digest over it."""
    contents = {name: (folder / name).read_bytes() for name in FILES}
    contents[file] = as_json(change(json.loads(contents[file])))
    write_files(folder.with_name("rewritten"), contents)
    return folder.with_name("rewritten")


@pytest.mark.parametrize(("which", "form"), [("logistic_pipeline", "additive"), ("trees_pipeline", "trees")])
def test_a_loaded_model_says_what_the_saved_one_said(
    which: str, form: str, tmp_path: Path, codes: Codes, request: pytest.FixtureRequest
) -> None:
    pipeline = request.getfixturevalue(which)
    digest = save_model(tmp_path / "m", pipeline, name="stops", threshold=0.37)
    model = load_model(tmp_path / "m")
    assert (model.name, model.threshold, model.form) == (f"stops@{digest[:12]}", 0.37, form)
    assert model.expensive == (form != "additive")
    expected = pipeline.predict_proba(frame_of(codes))[:, 1]
    for _ in range(2):  # the second time from what the first one left behind
        np.testing.assert_allclose(load_model(tmp_path / "m").score(codes), expected, rtol=0, atol=1e-9)


def test_a_card_keeps_what_it_was_given_beside_its_own(folder: Path) -> None:
    card = load_model(folder).card
    assert card["note"] == "kept"
    assert (card["classes"], card["positive_class"]) == ([False, True], True)
    assert "scikit-learn" in card["versions"]


def test_the_second_load_needs_no_scikit_learn(folder: Path) -> None:
    load_model(folder)
    program = (
        "import sys; from pathlib import Path; from stream_scorer.models.registry.model_directory import load_model; "
        f"load_model(Path({str(folder)!r})); sys.exit(bool({{'sklearn', 'pandas', 'scipy'}} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("damage", [lambda kept: kept[:100], lambda kept: b"", lambda kept: b"x" * len(kept)])
def test_damaged_tables_in_the_cache_are_made_again(
    damage: Callable[[bytes], bytes], folder: Path, cache: Path, codes: Codes
) -> None:
    expected = load_model(folder).score(codes)
    (kept,) = (cache / "compiled").iterdir()
    kept.write_bytes(damage(kept.read_bytes()))
    assert np.array_equal(load_model(folder).score(codes), expected)
    assert load_model(folder).form == "additive"


def test_whoever_may_write_to_the_cache_changes_no_probability(folder: Path, cache: Path, codes: Codes) -> None:
    expected = load_model(folder).score(codes)
    (kept,) = (cache / "compiled").iterdir()
    whole = kept.read_bytes()
    tables = np.frombuffer(whole, dtype="<f8").copy()
    # the probabilities of golden rows stay as they are: only numbers that none of them needs are changed
    golden, _ = golden_rows((folder / GOLDEN).read_bytes(), folder / GOLDEN)
    spared = {int(code) // LOWER_CODES for code in golden} | {UPPER_CODES + int(code) % LOWER_CODES for code in golden}
    forged = tables.copy()
    forged[[place for place in range(len(tables)) if place not in spared]] *= 1.1
    for content in (forged.tobytes(), (tables * 1.1).tobytes(), whole[:-8], whole + b"\0", b"", b"PK\x03\x04"):
        kept.write_bytes(content)
        assert np.array_equal(load_model(folder).score(codes), expected)
        assert kept.read_bytes() == whole  # made anew


def test_the_cache_is_its_owners_only(folder: Path, cache: Path) -> None:
    load_model(folder)
    (kept,) = (cache / "compiled").iterdir()
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_card_without_a_checksum_costs_time_and_nothing_else(folder: Path, cache: Path, codes: Codes) -> None:
    expected = load_model(folder).score(codes)
    (kept,) = (cache / "compiled").iterdir()
    kept.unlink()
    load = rewrite(folder, CARD, lambda card: {key: value for key, value in card.items() if key != "tables_sha256"})
    assert np.array_equal(load_model(load).score(codes), expected)
    assert list((cache / "compiled").iterdir()) == []


@pytest.mark.parametrize("name", ["default\n", "", "a/b", "a b", "-a", "a" * 65])
def test_a_name_that_would_break_a_line_or_a_path_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(ModelError, match="is not a model card"):
        load_model(rewrite(folder, CARD, lambda card: card | {"name": name}))


@pytest.mark.parametrize("rows", [0, 1, 31])
def test_golden_rows_that_are_too_few_or_one_row_again_and_again_are_refused(folder: Path, rows: int) -> None:
    def fewer(golden: Any) -> Any:
        return {"rows": (golden["rows"][:rows] * 128)[:128]}

    with pytest.raises(ModelError, match=rf"hold {rows} distinct rows, fewer than 32"):
        load_model(rewrite(folder, GOLDEN, fewer))


def test_a_cache_folder_that_cannot_be_written_costs_nothing_but_time(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.write_text("a file where the folder should be")
    assert load_model(folder).form == "additive"


@pytest.mark.parametrize("file", [*FILES, DIGEST])
def test_a_changed_byte_is_noticed(file: str, folder: Path) -> None:
    content = bytearray((folder / file).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / file).write_bytes(content)
    with pytest.raises(ModelError, match=r"was changed after it was saved|is not a JSON object"):
        load_model(folder)


@pytest.mark.parametrize("file", [*FILES, DIGEST])
def test_a_missing_file_is_named(file: str, folder: Path) -> None:
    (folder / file).unlink()
    with pytest.raises(ModelError, match=rf"{file} is missing: give a model directory"):
        load_model(folder)


def test_a_folder_that_is_not_there_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="give a model directory as `stream-scorer train` writes it"):
        load_model(tmp_path / "nothing")


def test_golden_rows_that_come_out_otherwise_are_an_error(folder: Path) -> None:
    def nudge(golden: Any) -> Any:
        golden["rows"][3]["probability"] += 1e-8
        return golden

    with pytest.raises(ModelError, match=r"probabilities for its golden rows that differ .*1e-08\): train it again"):
        load_model(rewrite(folder, GOLDEN, nudge))


def test_golden_rows_blame_other_libraries_when_there_are_any(folder: Path) -> None:
    def older(card: Any) -> Any:
        return {**card, "versions": {**card["versions"], "scikit-learn": "0.24.2"}}

    aged = rewrite(folder, CARD, older)
    assert load_model(aged).form == "additive"  # other libraries alone are no fault
    shutil.rmtree(folder)
    aged.rename(folder)

    def nudge(golden: Any) -> Any:
        golden["rows"][0]["probability"] += 0.1
        return golden

    with pytest.raises(ModelError, match=r"it was saved with scikit-learn 0\.24\.2 \(here "):
        load_model(rewrite(folder, GOLDEN, nudge))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"classes": [True, False]}, "has the classes"),
        ({"classes": [0, 1], "positive_class": 2}, "is the positive class, but the classes are"),
        ({"columns": ["SubjectAge", "height"]}, "columns that are not the contract's"),
        ({"columns": []}, "columns that are not the contract's"),
        ({"threshold": 1.5}, "is not a model card"),
        ({"threshold": None}, "is not a model card"),
        ({"name": "../up"}, "is not a model card"),
        ({"format": 99}, "has format 99"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_a_card_that_does_not_fit_is_an_error(change: dict[str, Any], complaint: str, folder: Path) -> None:
    with pytest.raises(ModelError, match=complaint):
        load_model(rewrite(folder, CARD, lambda card: {**card, **change}))


def test_golden_rows_must_be_rows(folder: Path) -> None:
    with pytest.raises(ModelError, match="does not hold golden rows"):
        load_model(rewrite(folder, GOLDEN, lambda golden: {"rows": [{"observation": {"hour": 99}}]}))


def test_a_pipeline_that_is_not_in_skops_format_is_refused(folder: Path) -> None:
    contents = {name: (folder / name).read_bytes() for name in FILES} | {PIPELINE: b"\x80\x04N."}
    write_files(folder.with_name("pickled"), contents)
    with pytest.raises(ModelError, match="is not in skops format"):
        load_model(folder.with_name("pickled"))


def test_a_type_on_no_list_is_refused_by_name_until_it_is_trusted(tmp_path: Path) -> None:
    save_faulty(tmp_path / "m", "raises")
    with pytest.raises(ModelError, match=r"not trusted: tests\.models\.faulty\.Faulty: .*model\.trusted_types"):
        load_model(tmp_path / "m")
    assert load_model(tmp_path / "m", trusted_types=TRUSTED_TYPES).form == "pipeline"


class OurOwn(LogisticRegression):
    """A type on no list whose tables can be kept."""


def test_a_type_that_is_trusted_no_more_is_refused_though_its_tables_were_kept(
    tmp_path: Path, logistic_pipeline: Any
) -> None:
    pipeline = deepcopy(logistic_pipeline)
    pipeline.steps[-1][1].__class__ = OurOwn
    save_model(tmp_path / "m", pipeline, name="m", threshold=0.5)
    trusted = (f"{__name__}.OurOwn",)
    assert load_model(tmp_path / "m", trusted_types=trusted).form == "additive"
    with pytest.raises(ModelError, match="not trusted"):
        load_model(tmp_path / "m")


def test_saving_does_not_overwrite(folder: Path, logistic_pipeline: Any) -> None:
    before = digest_of({name: (folder / name).read_bytes() for name in FILES})
    with pytest.raises(ModelError, match="exists already"):
        save_model(folder, logistic_pipeline, name="other", threshold=0.1)
    assert digest_of({name: (folder / name).read_bytes() for name in FILES}) == before


def test_nothing_is_left_behind_where_a_model_cannot_be_written(tmp_path: Path, logistic_pipeline: Any) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match=r"can't be written|exists already"):
        save_model(tmp_path / "file" / "model", logistic_pipeline, name="m", threshold=0.5)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_model_of_some_columns_and_words_for_classes_is_served(
    tmp_path: Path, codes: Codes, classes: NDArray[np.bool_]
) -> None:
    columns = ["hour", "SearchAuthorizationCode"]
    encoder = ColumnTransformer([("one", OneHotEncoder(), ["SearchAuthorizationCode"])], remainder="passthrough")
    fitted = make_pipeline(encoder, LogisticRegression(max_iter=1_000))
    fitted.fit(frame_of(codes)[columns], np.where(classes, "found", "nothing"))
    save_model(tmp_path / "m", fitted, name="m", threshold=0.5, positive_class="found")
    model = load_model(tmp_path / "m")
    assert model.card["columns"] == columns
    expected = fitted.predict_proba(frame_of(codes)[columns])[:, 0]
    np.testing.assert_allclose(model.score(codes), expected, rtol=0, atol=1e-9)


class TestAModelThatBreaksItsPromise:
    """What it returns is handed on, so that whoever publishes can see it."""

    good = encode_columns(an_observation(hour=1, SubjectAge=50))
    bad = encode_columns(a_bad_observation(SubjectAge=60))

    def score(self, tmp_path: Path, fault: Fault, *codes: int, armed_by: Path | None = None) -> Any:
        save_faulty(tmp_path / "m", fault, armed_by)
        return load_model(tmp_path / "m", TRUSTED_TYPES).score(np.array(codes))

    def test_not_a_number(self, tmp_path: Path) -> None:
        assert np.array_equal(self.score(tmp_path, "nan", self.good, self.bad), [0.25, np.nan], equal_nan=True)

    def test_more_than_one(self, tmp_path: Path) -> None:
        assert self.score(tmp_path, "above one", self.bad, self.good).tolist() == [1.5, 0.25]

    def test_a_wrong_length(self, tmp_path: Path) -> None:
        assert self.score(tmp_path, "wrong length", self.good, self.bad, self.bad).shape != (3,)

    def test_an_exception(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="no such hour"):
            self.score(tmp_path, "raises", self.good, self.bad)

    def test_good_rows_are_scored(self, tmp_path: Path) -> None:
        assert self.score(tmp_path, "raises", self.good, self.good).tolist() == [0.25, 0.25]

    def test_every_row_once_it_is_armed(self, tmp_path: Path) -> None:
        armed_by = tmp_path / "now"
        save_faulty(tmp_path / "m", "raises", armed_by)
        model = load_model(tmp_path / "m", TRUSTED_TYPES)
        armed_by.touch()
        with pytest.raises(ValueError, match="no such hour"):
            model.score(np.array([self.good]))

    def test_golden_rows_that_it_cannot_score_stop_it_from_loading(self, tmp_path: Path) -> None:
        save_faulty(tmp_path / "m", "raises", tmp_path / "now")
        (tmp_path / "now").touch()
        with pytest.raises(ModelError, match="can't score its golden rows"):
            load_model(tmp_path / "m", TRUSTED_TYPES)
