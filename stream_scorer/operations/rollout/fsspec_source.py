"""Model directories on a file system that fsspec knows: `s3://…`, `gs://…`, `memory://…`, `file://…`."""

from pathlib import Path
from typing import Any

from stream_scorer.errors import ModelError, system_words
from stream_scorer.models.artifacts.files import DIGEST, FILES, write_together
from stream_scorer.operations.rollout.model_sources import (
    missing_extra,
    no_model_directory,
    refuse_pickles,
    refuse_too_large,
)


def fetch_from_file_system(source: str, folder: Path, bytes_max: int) -> None:
    """Copy the model directory at this address to a new folder. Raises ModelError."""
    try:
        import fsspec
    except ImportError as error:
        raise missing_extra(source, "fsspec", "fsspec") from error
    try:
        file_system, path = fsspec.core.url_to_fs(source)
    except ImportError as error:  # fsspec knows the scheme, and which package it takes
        raise ModelError(f"{source} needs another package beside fsspec: {error}") from error
    except ValueError as error:
        raise ModelError(f"{source} can't be read ({error}): name a folder, or an address such as s3://…") from error
    try:
        contents = _contents(file_system, path, source, bytes_max)
    # every file system raises its own exceptions
    except Exception as error:
        if isinstance(error, ModelError):
            raise
        said = "there is no such place" if isinstance(error, FileNotFoundError) else system_words(error)
        raise ModelError(f"{source} can't be read ({said}): check the address, and that you may read it") from error
    write_together(folder, contents)


def _contents(file_system: Any, path: str, source: str, bytes_max: int) -> dict[str, bytes]:
    entries = {str(entry["name"]).rstrip("/").rpartition("/")[2]: entry for entry in file_system.ls(path, detail=True)}
    refuse_pickles(source, entries)
    wanted = (DIGEST, *FILES)
    if not set(wanted) <= set(entries):
        raise no_model_directory(source, entries)
    refuse_too_large(source, sum(int(entries[name].get("size") or 0) for name in wanted), bytes_max)
    return {name: file_system.cat_file(entries[name]["name"]) for name in wanted}
