"""Model directories that MLflow keeps: `models:/NAME@ALIAS`, `models:/NAME/VERSION`, `runs:/RUN/PATH`.

Invariant: MLflow only fetches files here; none of its flavours ever loads one.
"""

from pathlib import Path
from typing import Any

from stream_scorer.errors import ModelError
from stream_scorer.models.artifacts.files import DIGEST
from stream_scorer.operations.rollout.model_sources import (
    missing_extra,
    no_model_directory,
    refuse_pickles,
    refuse_too_large,
)

DEPTH_MAX = 3
FILES_MAX = 200


def fetch_from_mlflow(source: str, folder: Path, bytes_max: int) -> Path:
    """Download the artifacts to a new folder; gives the model directory among them. Raises ModelError."""
    try:
        from mlflow import artifacts
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise missing_extra(source, "mlflow-skinny", "mlflow") from error
    folder.mkdir()
    try:
        names, size = _listed(artifacts, source)
        refuse_pickles(source, names)
        refuse_too_large(source, size, bytes_max)
        artifacts.download_artifacts(artifact_uri=source, dst_path=str(folder))
    except MlflowException as error:
        reason = str(error).splitlines()[0][:300]
        raise ModelError(f"{source} can't be had from MLflow ({reason}): check it, and MLFLOW_TRACKING_URI") from error
    except OSError as error:
        raise ModelError(f"{source} can't be had from MLflow ({error.strerror or type(error).__name__})") from error
    found = sorted(file.parent for file in folder.rglob(DIGEST))
    if len(found) != 1:
        raise no_model_directory(source, names)
    return found[0]


def _listed(artifacts: Any, source: str) -> tuple[list[str], int]:
    """The names of all files below a source, and their bytes together."""
    names, size, folders = [], 0, [(source, 0)]
    while folders:
        where, depth = folders.pop()
        for each in artifacts.list_artifacts(artifact_uri=where):
            name = str(each.path).rpartition("/")[2]
            if each.is_dir and depth < DEPTH_MAX:
                folders.append((f"{where.rstrip('/')}/{name}", depth + 1))
            elif not each.is_dir:
                names.append(name)
                size += int(each.file_size or 0)
        if len(names) > FILES_MAX:
            raise ModelError(f"{source} holds more than {FILES_MAX} files: name the model directory itself")
    return names, size
