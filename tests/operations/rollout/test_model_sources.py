"""Where models come from: folders, file systems of fsspec, a real MLflow on this machine; pickles nowhere."""

import builtins
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import mlflow
import pytest

from stream_scorer.errors import ModelError
from stream_scorer.models.artifacts.files import DIGEST, FILES
from stream_scorer.operations.rollout.model_sources import kind_of, opened_source
from stream_scorer.runtime.settings.settings import Settings, load_settings
from tests.support.rollout import a_new_model

SETTINGS = load_settings(None, {}, {"models.bytes_max": 2 * 1024 * 1024})
MODEL = a_new_model(size=10_000)
CONTENTS = {DIGEST: MODEL.digest.encode(), **MODEL.contents}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files of a model directory."""
    made = tmp_path / "stops"
    made.mkdir()
    for name, content in CONTENTS.items():
        (made / name).write_bytes(content)
    return made


@pytest.fixture
def pickled(tmp_path: Path) -> Path:
    """What scikit-learn users often have."""
    made = tmp_path / "pickled"
    made.mkdir()
    (made / "MLmodel").write_text("flavors: {}\n")
    (made / "model.pkl").write_bytes(b"\x80\x04N.")
    return made


@pytest.fixture
def tracking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[mlflow.MlflowClient]:
    """MLflow with a folder of its own: mlflow-skinny has no other store on this machine."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = (tmp_path / "mlruns").as_uri()
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    client = mlflow.MlflowClient()
    client.create_experiment("stops", artifact_location=(tmp_path / "artifacts").as_uri())
    mlflow.set_experiment("stops")
    yield client
    mlflow.set_tracking_uri("")
    mlflow.set_registry_uri("")


async def contents_of(source: str, settings: Settings = SETTINGS) -> dict[str, bytes]:
    async with opened_source(source, settings) as folder:
        return {name: (folder / name).read_bytes() for name in (DIGEST, *FILES)}


def logged(folder: Path, path: str | None = None) -> str:
    """Log a folder as a run's artifacts; gives the run's id."""
    with mlflow.start_run() as run:
        mlflow.log_artifacts(str(folder), artifact_path=path)
    return str(run.info.run_id)


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("models/stops", "folder"),
        ("/models/stops", "folder"),
        ("uploaded:/stops", "uploaded"),
        ("s3://bucket/stops", "fsspec"),
        ("models:/stops@champion", "mlflow"),
        ("models:/stops/3", "mlflow"),
        ("runs:/0123/stops", "mlflow"),
    ],
)
def test_a_source_tells_its_kind(source: str, kind: str) -> None:
    assert kind_of(source) == kind


async def test_a_folder_and_its_address_give_the_same_files(folder: Path) -> None:
    assert await contents_of(str(folder)) == CONTENTS
    assert await contents_of(folder.as_uri()) == CONTENTS


async def test_a_model_in_memory_is_fetched() -> None:
    memory = fsspec.filesystem("memory")
    for name, content in CONTENTS.items():
        memory.pipe_file(f"/bucket/stops/{name}", content)
    memory.pipe_file("/bucket/stops/notes.txt", b"not fetched")
    assert await contents_of("memory://bucket/stops") == CONTENTS
    assert await contents_of("memory://bucket/stops/") == CONTENTS


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("memory://nowhere/at-all", "there is no such place"),
        ("no-such-scheme://x", "can't be read"),
    ],
)
async def test_what_cannot_be_fetched_is_told_with_a_way_out(source: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        await contents_of(source)


async def test_a_folder_without_a_model_is_told_with_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("no model")
    with pytest.raises(ModelError, match=r"is no model directory, it holds readme\.txt"):
        await contents_of(tmp_path.as_uri())


async def test_a_model_that_is_too_large_is_not_fetched(folder: Path) -> None:
    (folder / "pipeline.skops").write_bytes(bytes(3 * 1024 * 1024))
    with pytest.raises(ModelError, match="more than 2,097,152"):
        await contents_of(folder.as_uri())


async def test_mlflow_gives_a_runs_model(tracking: mlflow.MlflowClient, folder: Path) -> None:
    run = logged(folder, "model")
    assert await contents_of(f"runs:/{run}/model") == CONTENTS


async def test_mlflow_gives_the_model_of_an_alias_and_of_a_version(tracking: mlflow.MlflowClient, folder: Path) -> None:
    run = logged(folder, "model")
    tracking.create_registered_model("stops")
    version = tracking.create_model_version("stops", f"runs:/{run}/model", run).version
    tracking.set_registered_model_alias("stops", "challenger", version)
    assert await contents_of("models:/stops@challenger") == CONTENTS
    assert await contents_of(f"models:/stops/{version}") == CONTENTS


async def test_what_mlflow_does_not_know_is_told(tracking: mlflow.MlflowClient) -> None:
    with pytest.raises(ModelError, match="can't be had from MLflow"):
        await contents_of("models:/stops@nobody")


@pytest.mark.parametrize("scheme", ["folder", "file", "mlflow"])
async def test_a_pickle_is_refused_from_everywhere(tracking: mlflow.MlflowClient, pickled: Path, scheme: str) -> None:
    source = {
        "folder": str(pickled),
        "file": pickled.as_uri(),
        "mlflow": f"runs:/{logged(pickled, 'model')}/model" if scheme == "mlflow" else "",
    }[scheme]
    with pytest.raises(ModelError, match=r"holds a pickle \(model\.pkl\).*runs whatever code.*save_model"):
        await contents_of(source)


@pytest.mark.parametrize(
    ("source", "package", "extra"),
    [("s3://bucket/stops", "fsspec", "fsspec"), ("models:/stops@champion", "mlflow", "mlflow")],
)
async def test_a_missing_extra_is_named(source: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name.partition(".")[0] == package:
            raise ImportError(name)
        return imported(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModelError, match=rf"stream-scorer\[{extra}\]"):
        await contents_of(source)


async def test_a_file_system_without_its_package_is_named() -> None:
    with pytest.raises(ModelError, match="needs another package beside fsspec"):
        await contents_of("s3://bucket/stops")
