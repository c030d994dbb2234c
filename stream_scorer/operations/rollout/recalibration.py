"""A model recalibrated on the outcomes that the topics retain, as a new model directory."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from stream_scorer.core.rollout.published_rows import with_outcomes
from stream_scorer.errors import ModelError
from stream_scorer.models.artifacts.files import CARD, PIPELINE, json_object, read_files, refuse_existing
from stream_scorer.models.artifacts.model_card import serving_card
from stream_scorer.models.artifacts.serialization import load_pipeline
from stream_scorer.models.registry.model_directory import golden_codes, load_model, save_model
from stream_scorer.models.serving.lookup_tables import TOLERANCE, all_close
from stream_scorer.models.training.fit import plain
from stream_scorer.models.training.recalibration import (
    Recalibration,
    corrected_threshold,
    fit_recalibration,
    recalibrate,
)
from stream_scorer.operations.backtest.retained_rows import OnRead, Range, RetainedReader, scored_observations
from stream_scorer.operations.reading.topic_reader import Reader
from stream_scorer.operations.rollout.model_sources import checked_folder
from stream_scorer.runtime.cluster.topic_admin import TopicNames


class RecalibrationReport(msgspec.Struct, frozen=True):
    """The new model, and the line that was fitted."""

    model: str
    folder: str
    form: str
    threshold: float
    before: str
    fitted: Recalibration


async def recalibrate_on_topics(
    options: Mapping[str, Any],
    names: TopicNames,
    source: Path,
    out: Path,
    asked: Range,
    *,
    name: str | None = None,
    trusted_types: Collection[str] = (),
    event_bytes_max: int,
    framed: bool = False,
    on_read: OnRead = lambda read, offsets: None,
) -> RecalibrationReport:
    """Fit to the range's known outcomes and write `out`; its threshold moves along, so that every decision stays.
    Raises ModelError where the model can't be loaded or recalibrated, or too few outcomes are known."""
    refuse_existing(out)
    model = load_model(checked_folder(str(source)), trusted_types)
    async with Reader(options) as reader:
        retained = await RetainedReader(
            reader, names, event_bytes_max=event_bytes_max, framed=framed, on_read=on_read
        ).read(asked, model.score)
    probas, classes = [np.empty(0)], [np.empty(0, dtype=np.bool_)]
    for rows in retained.partitions:
        mine, theirs = scored_observations(rows)
        known, actual = with_outcomes(rows.published[theirs], retained.actual)
        probas.append(rows.probas[mine[known]])
        classes.append(actual)
    fitted = fit_recalibration(np.concatenate(probas), np.concatenate(classes))
    return write_recalibrated(source, out, fitted, name=name, trusted_types=trusted_types)


def write_recalibrated(
    source: Path, out: Path, fitted: Recalibration, *, name: str | None = None, trusted_types: Collection[str] = ()
) -> RecalibrationReport:
    """The model of `source` with its log-odds corrected, as a new directory. Raises ModelError where it can't be."""
    before = load_model(source, trusted_types)
    contents, _ = read_files(source)
    card = json_object(contents[CARD], source / CARD)
    head = serving_card(card, str(source / CARD))
    pipeline = load_pipeline(contents[PIPELINE], str(source / PIPELINE), trusted_types)
    recalibrate(pipeline, fitted, head.positive)
    said = {field: value for field, value in card.items() if field != "tables_sha256"}
    said["recalibration"] = {"of": before.name, "digest": before.digest, **plain(fitted)}
    threshold = corrected_threshold(before.threshold, fitted)
    save_model(
        out,
        pipeline,
        name=name or head.name,
        threshold=threshold,
        positive_class=head.positive_class,
        card=said,
    )
    after, codes = load_model(out, trusted_types), golden_codes()
    if not all_close(after.score(codes), fitted(before.score(codes)), TOLERANCE):
        raise ModelError(f"{out} does not say what {source} says, put right: train it again instead of recalibrating")
    return RecalibrationReport(after.name, str(out), after.form, threshold, before.name, fitted)
