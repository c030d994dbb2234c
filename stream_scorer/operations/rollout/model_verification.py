"""Whether a model may be deployed: it loads, and on labelled stops its positive predictions are right often enough.

Invariant: no positive prediction at all is not a success.
"""

from collections.abc import Collection
from pathlib import Path

import msgspec

from stream_scorer.errors import ModelError
from stream_scorer.models.registry.model_directory import LoadedModel, load_model
from stream_scorer.models.training.dataset import read_rows

PICKLES = (".pkl", ".pickle", ".joblib")


class Verification(msgspec.Struct, frozen=True):
    """What was found. `success_rate`: None without a labelled file or without a positive prediction; `faults`: why it
    may not be deployed, none where it may."""

    model: str
    digest: str
    form: str
    threshold: float
    rows: int
    positives: int
    success_rate: float | None
    faults: tuple[str, ...]


def open_model(source: Path, trusted_types: Collection[str] = ()) -> LoadedModel:
    """The model of a folder, checked. Raises ModelError; for a pickle with the reason and the way out."""
    if source.suffix in PICKLES or (source.is_dir() and any(file.suffix in PICKLES for file in source.iterdir())):
        raise ModelError(
            f"{source} holds a pickle, and loading one runs whatever code stands in it: load it where you trust it, "
            "and write it again with `stream_scorer.models.registry.model_directory.save_model`"
        )
    return load_model(source, trusted_types)


def verify_model(
    source: Path,
    labelled: Path | None = None,
    min_success_rate: float = 0.5,
    trusted_types: Collection[str] = (),
) -> Verification:
    """Load a model, and hold its decisions against a file of labelled stops, where one is given. Raises ModelError when
    it can't be loaded or the file can't be read."""
    model = open_model(source, trusted_types)
    rows = positives = 0
    success_rate = None
    faults = []
    if labelled is not None:
        stops = read_rows(labelled)
        if not len(stops.codes):
            raise ModelError(f"{labelled} has no valid labelled row: give a file with outcomes")
        positive = model.score(stops.codes) >= model.threshold
        rows, positives = len(stops.codes), int(positive.sum())
        success_rate = float(stops.classes[positive].mean()) if positives else None
        if success_rate is None:
            faults.append(f"none of {rows:,} rows is predicted positive: lower its threshold, or train it again")
        elif success_rate < min_success_rate:
            faults.append(f"its success rate is {success_rate:.3f}, below {min_success_rate:.3f}: raise its threshold")
    return Verification(
        model.name, model.digest, model.form, model.threshold, rows, positives, success_rate, tuple(faults)
    )
