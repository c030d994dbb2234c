"""Compiled additive models, kept in the cache folder.

Invariant: what is kept was checked against its pipeline, under the same digest and libraries.

Importing scikit-learn takes more than a second and 150 MiB. A worker whose model was compiled before needs neither.
"""

import os
from collections.abc import Collection
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from stream_scorer.cache import cache_folder
from stream_scorer.core.contract.observation_code import CODES
from stream_scorer.models.artifacts.model_card import library_versions
from stream_scorer.models.serving.lookup_tables import LOWER_CODES, Additive


def tables_path(digest: str, trusted_types: Collection[str]) -> Path:
    """Where the model's tables would be; other libraries, other contract, other types that are trusted: another
    file."""
    checked = repr((sorted(library_versions().items()), CODES, LOWER_CODES, sorted(trusted_types)))
    return cache_folder() / "compiled" / f"{digest[:32]}-{sha256(checked.encode()).hexdigest()[:12]}.npz"


def save_tables(path: Path, additive: Additive) -> None:
    """Write the tables; a cache folder that can't be written to costs time at the next start, nothing else."""
    partial = path.with_name(f"{path.stem}.{os.getpid()}.partial.npz")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(partial, upper=additive.upper, lower=additive.lower)
        partial.replace(path)


def load_tables(path: Path) -> Additive | None:
    """The tables, or None when there are none or the file is damaged."""
    try:
        # numpy leaves a file open that it can't read
        with path.open("rb") as file, np.load(file, allow_pickle=False) as tables:
            additive = Additive(tables["upper"], tables["lower"])
    except (OSError, ValueError, KeyError, BadZipFile, EOFError):
        return None
    whole = len(additive.lower) == LOWER_CODES and len(additive.upper) * LOWER_CODES == CODES
    return additive if whole else None
