"""The model that serves when nobody gave one.

Invariant: trained once from generated stops, kept in the cache folder, the same for the same code.
"""

import shutil
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import stream_scorer
from stream_scorer.cache import cache_folder
from stream_scorer.errors import ModelError
from stream_scorer.models.artifacts.files import read_files
from stream_scorer.models.artifacts.model_card import library_versions
from stream_scorer.models.registry.model_directory import load_model, save_model

if TYPE_CHECKING:
    from stream_scorer.models.training.dataset import LabelledRows
    from stream_scorer.models.training.fit import Trained

NAME = "default"
ROWS = 60_000
SEED = 0
# What decides what the default model says; a change of any of them makes another model.
SOURCES = (
    "synthetic/profile.json",
    "synthetic/population.py",
    "synthetic/generator.py",
    "training/pipelines.py",
    "training/fit.py",
    "training/thresholds.py",
)


def default_model_folder() -> Path:
    """Where the default model of this version, with these libraries, is kept."""
    sources = b"".join((Path(__file__).parents[1] / source).read_bytes() for source in SOURCES)
    made_of = sha256(sources + repr((ROWS, SEED, sorted(library_versions().items()))).encode()).hexdigest()
    return cache_folder() / "models" / f"{NAME}-{stream_scorer.__version__}-{made_of[:12]}"


def ensure_default_model(progress: Callable[[str], None] = lambda step: None) -> Path:
    """The default model's directory; trained now, in seconds, when it is not there or is damaged. Safe when several do
    it at once: each trains, the first one to finish counts."""
    folder = default_model_folder()
    with suppress(ModelError):
        read_files(folder)
        return folder
    # scikit-learn comes in here only: a worker with a model in the cache does without it
    trained = train_default(progress)
    if folder.exists():
        with suppress(ModelError):
            read_files(folder)
            return folder
        shutil.rmtree(folder, ignore_errors=True)
    try:
        save_model(folder, trained.pipeline, name=NAME, threshold=trained.threshold, card=trained.card)
    except ModelError:
        read_files(folder)  # another one finished first: its model is as good as ours
    load_model(folder)  # leaves the compiled form behind, so that the next start is quick
    return folder


def train_default(progress: Callable[[str], None]) -> "Trained":
    """The default model, fresh from the generator; what `stream-scorer train` without a file trains too."""
    progress(f"training the default model on {ROWS:,} generated stops, once")
    from stream_scorer.models.training.fit import train

    return train(generated_rows(ROWS, SEED), source=generated_source(ROWS, SEED), seed=SEED, progress=progress)


def generated_rows(n: int, seed: int) -> "LabelledRows":
    """Labelled stops from the generator, as if they had been read from a file."""
    from stream_scorer.models.synthetic.generator import Generator
    from stream_scorer.models.training.dataset import CleaningReport, LabelledRows

    generator = Generator(seed)
    codes = generator.codes(n)
    untouched = CleaningReport(
        read=n, duplicates=0, invalid=0, invalid_by_column={}, unlabelled=0, unsearched=0, kept=n
    )
    return LabelledRows(codes, generator.outcomes_of(codes), None, untouched)


def generated_source(n: int, seed: int) -> str:
    figures = "stream_scorer/models/synthetic/profile.json"
    return f"{n} generated stops, seed {seed}; their figures and sources: {figures}"
