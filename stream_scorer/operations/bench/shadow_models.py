"""Shadows for a benchmark: the champion's pipeline under other names and with other thresholds, deployed as operators
deploy.
"""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from stream_scorer.models.artifacts.files import CARD, FILES, PIPELINE, json_object, read_files
from stream_scorer.models.artifacts.model_card import serving_card
from stream_scorer.models.artifacts.serialization import load_pipeline
from stream_scorer.models.registry.model_directory import LoadedModel, load_model, save_model
from stream_scorer.operations.bench.environment import BenchEnvironment
from stream_scorer.operations.rollout.model_store import NewModel
from stream_scorer.operations.rollout.service import open_rollout, served

# By how much a shadow's threshold is above the one before: a few of a hundred decisions differ
THRESHOLD_STEP: Final = 0.02


async def deploy_shadows(on: BenchEnvironment, count: int) -> None:
    """Deploy the environment's model as champion, and so many shadows beside it."""
    with tempfile.TemporaryDirectory(prefix="stream-scorer-shadows-") as made:
        models = [await asyncio.to_thread(load_model, on.model)]
        models += await asyncio.to_thread(lambda: list(_variants(models[0], Path(made), count)))
        async with open_rollout(on.settings, who="bench") as rollout:
            for number, model in enumerate(models):
                name, _, _ = model.name.rpartition("@")
                files, digest = read_files(model.folder)
                planned = await rollout.plan_deploy(
                    served(name, digest, model.threshold), "shadow" if number else "champion"
                )
                contents = {file: files[file] for file in FILES}
                await rollout.upload(NewModel(name, digest, model.threshold, model.form, contents))
                await rollout.commit(planned)


def _variants(champion: LoadedModel, made: Path, count: int) -> Iterator[LoadedModel]:
    contents, _ = read_files(champion.folder)
    head = serving_card(champion.card, str(champion.folder / CARD))
    pipeline = load_pipeline(contents[PIPELINE], str(champion.folder / PIPELINE), ())
    card = json_object(contents[CARD], champion.folder / CARD)
    said = {field: value for field, value in card.items() if field != "tables_sha256"}
    for number in range(1, count + 1):
        folder = made / str(number)
        threshold = min(champion.threshold + number * THRESHOLD_STEP, 1.0)
        save_model(
            folder,
            pipeline,
            name=f"shadow-{number}",
            threshold=threshold,
            positive_class=head.positive_class,
            card=said,
        )
        yield load_model(folder)
