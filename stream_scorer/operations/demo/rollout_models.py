"""The three models of the demo's roll-out, trained when it starts: a plain champion, a better challenger, and one that
was trained on too little.

Invariant: all are real model directories, trained on generated stops that the demo does not play.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from stream_scorer.core.records.model_control import ServedModel
from stream_scorer.errors import ModelError

ROWS = 8_000
ROWS_TOO_FEW = 150
# No stop of the demo's is among those that these seeds give
SEED_CHAMPION, SEED_CHALLENGER, SEED_TOO_FEW = 9_007, 9_008, 3
CHAMPION_COLUMN = "SearchAuthorizationCode"
# How far above 0.5 the success rate must be on the rows that a model was trained on
MARGIN, MARGIN_CHALLENGER = 0.02, 0.03


class StoryModel(NamedTuple):
    """A model directory, how control records name it, and its form."""

    folder: Path
    served: ServedModel
    form: str

    @property
    def name(self) -> str:
        return self.served.name


class StoryModels(NamedTuple):
    """Who plays in the story."""

    champion: StoryModel
    challenger: StoryModel
    too_few: StoryModel


def train_story_models(folder: Path, say: Callable[[str], None] = lambda text: None) -> StoryModels:
    """Train the three and save each under its name in `folder`; some seconds."""
    from threadpoolctl import threadpool_limits

    from stream_scorer.models.training.pipelines import logistic

    say("Training three models: one-column, all-columns and small-sample")
    with threadpool_limits(limits=1):
        return StoryModels(
            _trained(folder, "one-column", _of_one_column(CHAMPION_COLUMN), ROWS, SEED_CHAMPION, MARGIN),
            _trained(folder, "all-columns", logistic(0), ROWS, SEED_CHALLENGER, MARGIN_CHALLENGER),
            _trained(folder, "small-sample", logistic(0), ROWS_TOO_FEW, SEED_TOO_FEW, MARGIN),
        )


def _of_one_column(name: str) -> Any:
    """A model that looks at one column of the ten."""
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    from stream_scorer.core.contract.columns import COLUMNS

    domain = next(sorted(column.domain, key=str) for column in COLUMNS if column.name == name)
    column = ColumnTransformer([("column", OneHotEncoder(categories=[domain], sparse_output=False), [name])])
    return Pipeline([("columns", column), ("classifier", LogisticRegression())])


def _trained(folder: Path, name: str, pipeline: Any, rows: int, seed: int, margin: float) -> StoryModel:
    """A model whose threshold was chosen on the rows that it was trained on, as people in a hurry do: of 150 rows that
    says little."""
    from stream_scorer.models.dataframes import frame_of
    from stream_scorer.models.registry.default_model import generated_rows, generated_source
    from stream_scorer.models.registry.model_directory import load_model, save_model
    from stream_scorer.models.training.thresholds import choose_threshold

    labelled = generated_rows(rows, seed)
    frame = frame_of(labelled.codes)
    pipeline.fit(frame, labelled.classes)
    threshold = choose_threshold(pipeline.predict_proba(frame)[:, 1], labelled.classes, margin).value
    card = {"training": {"source": generated_source(rows, seed), "rows": rows, "seed": seed}}
    digest = save_model(folder / name, pipeline, name=name, threshold=threshold, card=card)
    loaded = load_model(folder / name)
    if loaded.digest != digest:
        raise ModelError(f"{folder / name} is not what was saved there")
    return StoryModel(folder / name, ServedModel(name=name, digest=digest, threshold=threshold), loaded.form)
