"""A champion and its candidates as model directories, and their upload to an environment."""

from pathlib import Path
from typing import NamedTuple

import pytest

from stream_scorer.core.records.model_control import ServedModel
from tests.support.models import Deployer, save_additive, save_trees
from tests.support.workers import Environment


class Models(NamedTuple):
    """Model directories, and how control records name what is in them."""

    folder: Path
    champion: ServedModel
    other: ServedModel
    trees: ServedModel


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    folder = tmp_path_factory.mktemp("models")
    return Models(
        folder,
        save_additive(folder / "champion", "champion", seed=1),
        save_additive(folder / "other", "other", seed=2, threshold=0.25),
        save_trees(folder / "trees", "trees"),
    )


async def uploaded(environment: Environment, models: Models) -> Deployer:
    deployer = Deployer(environment)
    for name, model in (("champion", models.champion), ("other", models.other), ("trees", models.trees)):
        await deployer.upload(models.folder / name, model)
    return deployer
