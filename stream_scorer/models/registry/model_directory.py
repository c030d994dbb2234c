"""A model on disk: a pipeline, its card, golden rows and a digest over them.

Invariant: nothing is served that is not, bit for bit, what was saved, and that does not say here what it said there.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stream_scorer.core.contract.columns import COLUMN_NAMES
from stream_scorer.core.contract.observation_code import encode_columns, observation_columns
from stream_scorer.core.records.decode import UNREADABLE
from stream_scorer.errors import ModelError
from stream_scorer.models.artifacts.files import (
    CARD,
    GOLDEN,
    PIPELINE,
    as_json,
    json_object,
    read_files,
    refuse_existing,
    write_files,
)
from stream_scorer.models.artifacts.model_card import FORMAT, ServingCard, library_versions, serving_card
from stream_scorer.models.artifacts.servability import cannot_score, refuse_unservable
from stream_scorer.models.dataframes import Codes
from stream_scorer.models.serving.lookup_table_cache import checksum_of, encode_tables, load_tables, save_tables
from stream_scorer.models.serving.lookup_tables import (
    TOLERANCE,
    Additive,
    Compiled,
    Form,
    all_close,
    compile_pipeline,
    random_codes,
)
from stream_scorer.models.serving.predict import Floats, Predict, on_one_thread, predict_with_dataframe
from stream_scorer.models.serving.prediction_cache import PredictionCache

GOLDEN_ROWS = 64
# One row that comes out right may do so by chance
GOLDEN_ROWS_MIN = 32


class LoadedModel(NamedTuple):
    """A model that may serve. `name`: "<name>@<first 12 digits of the digest>". `score`: the positive class's
    probability for each of the observation codes, shape (n,) in and out, as the model gives it. `expensive`: better
    called outside of the event loop."""

    name: str
    threshold: float
    score: Predict
    expensive: bool
    card: dict[str, Any]
    digest: str
    form: Form
    folder: Path


def save_model(
    folder: Path,
    pipeline: Any,
    *,
    name: str,
    threshold: float,
    positive_class: bool | int | str = True,
    card: dict[str, Any] | None = None,
    golden: Codes | None = None,
) -> str:
    """Write any fitted scikit-learn classifier over a frame of the ten columns as a model directory; gives its digest.
    `card`: what else its card should say. `golden`: the observations to remember, by default generated and random ones.
    Raises ModelError when the folder is not empty, or the pipeline can't be served and why not."""
    from stream_scorer.models.artifacts.serialization import dump_pipeline

    refuse_existing(folder)
    refuse_unservable(pipeline, name)
    if golden is None:
        golden = golden_codes()
    said = {
        **(card or {}),
        "format": FORMAT,
        "name": name,
        "columns": list(getattr(pipeline, "feature_names_in_", COLUMN_NAMES)),
        "classes": np.asarray(pipeline.classes_).tolist(),
        "positive_class": positive_class,
        "threshold": threshold,
        "versions": library_versions(),
    }
    head = serving_card(said, f"the card of {name}")
    try:
        compiled = compile_pipeline(pipeline, head).predict
        probabilities = predict_with_dataframe(pipeline, head)(golden).tolist()
    except Exception as error:
        raise cannot_score(name, error) from error
    if isinstance(compiled, Additive):
        said["tables_sha256"] = checksum_of(encode_tables(compiled))
    rows = [
        {"observation": observation_columns(code), "probability": probability}
        for code, probability in zip(golden.tolist(), probabilities, strict=True)
    ]
    if (few := too_few_golden(golden)) is not None:
        raise ModelError(f"the golden rows of {name} {few}: leave `golden` out, or give more")
    return write_files(
        folder, {PIPELINE: dump_pipeline(pipeline), CARD: as_json(said), GOLDEN: as_json({"rows": rows})}
    )


def load_model(folder: Path, trusted_types: Collection[str] = ()) -> LoadedModel:
    """The model of a directory, checked and warm. `trusted_types`: full names of types that the pipeline may hold
    beyond our own list; their code will run. Raises ModelError, saying what is wrong and what to do."""
    contents, digest = read_files(folder)
    card = json_object(contents[CARD], folder / CARD)
    head = serving_card(card, str(folder / CARD))
    golden, expected = golden_rows(contents[GOLDEN], folder / GOLDEN)
    is_same_here = head.versions == library_versions()
    tables = load_tables(head.tables_sha256, trusted_types) if is_same_here else None
    if tables is not None and all_close(tables(golden), expected, TOLERANCE):
        compiled = Compiled("additive", tables)
    else:
        compiled = compile_checked(contents[PIPELINE], head, folder, trusted_types, golden, expected)
        if isinstance(compiled.predict, Additive):
            save_tables(head.tables_sha256, trusted_types, compiled.predict)
    return LoadedModel(
        name=f"{head.name}@{digest[:12]}",
        threshold=head.threshold,
        score=compiled.predict if is_look_ups(compiled.form) else PredictionCache(on_one_thread(compiled.predict)),
        expensive=compiled.form != "additive",
        card=card,
        digest=digest,
        form=compiled.form,
        folder=folder,
    )


def is_look_ups(form: Form) -> bool:
    """Whether a model asks no scikit-learn, so that neither threads nor repeated observations cost anything."""
    return form in ("additive", "trees")


def compile_checked(
    content: bytes, head: ServingCard, folder: Path, trusted_types: Collection[str], golden: Codes, expected: Floats
) -> Compiled:
    """The pipeline in its fastest form, after its types, its classes and its golden rows were found right."""
    from stream_scorer.models.artifacts.serialization import load_pipeline

    pipeline = load_pipeline(content, str(folder / PIPELINE), trusted_types)
    refuse_unservable(pipeline, str(folder / PIPELINE))
    classes = np.asarray(pipeline.classes_).tolist()
    if classes != head.classes:
        raise ModelError(
            f"{folder / PIPELINE} has the classes {classes}, its card says {head.classes}: save the model again"
        )
    compiled = compile_pipeline(pipeline, head)
    for predict in (predict_with_dataframe(pipeline, head), compiled.predict):
        try:
            found = predict(golden)
        except Exception as error:
            raise ModelError(
                f"{folder} can't score its golden rows ({type(error).__name__}: {error}): {remedy(head)}"
            ) from error
        if not all_close(found, expected, TOLERANCE):
            off = (
                f"by up to {np.nanmax(np.abs(found - expected)):.2g}"
                if found.shape == expected.shape
                else f"{found.shape} numbers"
            )
            raise ModelError(
                f"{folder} gives probabilities for its golden rows that differ from the saved ones ({off}): "
                f"{remedy(head)}"
            )
    return compiled


def remedy(head: ServingCard) -> str:
    """What to do about a pipeline that behaves otherwise here than where it was saved."""
    here = library_versions()
    other = [
        f"{name} {there} (here {here.get(name)})" for name, there in head.versions.items() if here.get(name) != there
    ]
    return f"it was saved with {', '.join(other)}: install those or train it again" if other else "train it again"


def golden_codes() -> Codes:
    """Rows to recognise a model by: half of them likely, half of them from all over the contract. Made up, so that no
    row of the training leaves with the model."""
    from stream_scorer.models.synthetic.generator import Generator

    return np.concatenate([Generator(seed=0).codes(GOLDEN_ROWS), random_codes(GOLDEN_ROWS)])


def golden_rows(content: bytes, path: Path) -> tuple[Codes, Floats]:
    try:
        rows = json_object(content, path)["rows"]
        codes = np.array([encode_columns(row["observation"]) for row in rows], dtype=np.int64)
        # null, for NaN, becomes NaN again
        probabilities = np.array([row["probability"] for row in rows], dtype=np.float64)
    except (KeyError, TypeError, *UNREADABLE) as error:
        raise ModelError(
            f"{path} does not hold golden rows ({type(error).__name__}: {error}): save the model again"
        ) from error
    if (few := too_few_golden(codes)) is not None:
        raise ModelError(f"the golden rows in {path} {few}: save the model again")
    return codes, probabilities


def too_few_golden(codes: Codes) -> str | None:
    """Why these rows don't tell one model from another; None where they do."""
    distinct = len(np.unique(codes))
    return None if distinct >= GOLDEN_ROWS_MIN else f"hold {distinct} distinct rows, fewer than {GOLDEN_ROWS_MIN}"
