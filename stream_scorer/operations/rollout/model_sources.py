"""Where a model comes from: a folder, what was uploaded before, a file system that fsspec knows, or MLflow; each as a
folder on this machine.

Invariant: a pickle is never loaded, wherever it comes from; workers never see a source, only what was uploaded from it.
"""

import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from stream_scorer.errors import ModelError
from stream_scorer.models.artifacts.files import DIGEST, write_files
from stream_scorer.operations.rollout.service import open_rollout
from stream_scorer.runtime.settings.settings import Settings

PICKLES: Final = (".pkl", ".pickle", ".joblib", ".dill", ".cloudpickle")
UPLOADED: Final = "uploaded:/"
MLFLOW: Final = ("models:/", "runs:/", "mlflow-artifacts:/")


def kind_of(source: str) -> str:
    """`folder`, `uploaded`, `mlflow` or `fsspec`."""
    if source.startswith(UPLOADED):
        return "uploaded"
    if source.startswith(MLFLOW):
        return "mlflow"
    return "fsspec" if "://" in source else "folder"


@asynccontextmanager
async def opened_source(source: str, settings: Settings) -> AsyncIterator[Path]:
    """The source's model directory on this machine, for as long as the block lasts. Raises ModelError."""
    kind = kind_of(source)
    if kind == "folder":
        yield checked_folder(source)
        return
    with tempfile.TemporaryDirectory(prefix="stream-scorer-model-") as made:
        folder = Path(made) / "model"
        if kind == "uploaded":
            async with open_rollout(settings) as rollout:
                upload = await rollout.find_upload(source.removeprefix(UPLOADED).strip("/"))
                write_files(folder, await rollout.download(upload.manifest.digest))
        elif kind == "mlflow":
            from stream_scorer.operations.rollout.mlflow_source import fetch_from_mlflow

            folder = fetch_from_mlflow(source, folder, settings.models.bytes_max)
        else:
            from stream_scorer.operations.rollout.fsspec_source import fetch_from_file_system

            fetch_from_file_system(source, folder, settings.models.bytes_max)
        yield folder


def checked_folder(source: str) -> Path:
    """The folder itself. Raises ModelError where it is, or holds, a pickle."""
    folder = Path(source)
    refuse_pickles(source, [folder.name, *(file.name for file in folder.iterdir())] if folder.is_dir() else [source])
    return folder


def refuse_pickles(source: str, names: Iterable[str]) -> None:
    """Raises ModelError where one of the files is a pickle, with the reason and the way out."""
    found = next((name for name in names if name.lower().endswith(PICKLES)), None)
    if found is not None:
        raise ModelError(
            f"{source} holds a pickle ({found}), and loading one runs whatever code stands in it: load it where you "
            "trust it, and write it again with `stream_scorer.models.registry.model_directory.save_model`"
        )


def refuse_too_large(source: str, size: int, bytes_max: int) -> None:
    """Raises ModelError for what no worker would load."""
    if size > bytes_max:
        raise ModelError(
            f"{source} holds {size:,} bytes, more than {bytes_max:,}: name the model directory itself, make it "
            "smaller, or raise models.bytes_max"
        )


def missing_extra(source: str, package: str, extra: str) -> ModelError:
    """What is said where a package for this kind of source is not installed."""
    return ModelError(
        f"{source} needs the package {package}, which is not installed: install stream-scorer with its extra {extra} "
        f"(`pip install 'stream-scorer[{extra}]'`), or copy the model to a folder and name that"
    )


def no_model_directory(source: str, files: Iterable[str]) -> ModelError:
    """What is said of a place without the files of a model directory."""
    there = ", ".join(sorted(files)[:10]) or "nothing"
    return ModelError(
        f"{source} is no model directory, it holds {there}: put there what `stream-scorer train` or `save_model` "
        f"writes, {DIGEST} and all"
    )
