"""Who speaks for which row: champion and canary in one batch, each with its own threshold, in the order of offsets."""

import json
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from stream_scorer.core.observations.limits import Limits
from stream_scorer.core.observations.score_batch import ScoredBatch, score_batch
from stream_scorer.core.observations.scoring import Scored
from stream_scorer.core.observations.shadow_records import Candidate, shadow_records, with_other_speaker
from stream_scorer.core.observations.speakers import CanaryShare
from stream_scorer.core.observations.validation import validate_batch
from stream_scorer.core.records.clock import WindowClock
from stream_scorer.core.records.prediction import ModelIdentity
from stream_scorer.core.records.schemas import schemas
from stream_scorer.core.records.shadow_prediction import decode_shadow_prediction
from stream_scorer.core.rollout.assignment import canary_ids
from stream_scorer.core.state.entry import unpack
from stream_scorer.core.state.model_ids import ModelIds
from tests.support.builders import an_event

CHAMPION = ModelIdentity("stops@aaaaaaaaaaaa", "champion", 0.5)
CANARY = CanaryShare(ModelIdentity("trees@bbbbbbbbbbbb", "canary", 0.2), bytes(16), 0.3)
LIMITS = Limits(1, 65_536, 65_536, False, False, False, 3_600_000)
NOW_MS = 1_763_800_000_000
COUNT = 200


class FakeRecord:
    """A record as the client's decoder makes it."""

    def __init__(self, offset: int, value: bytes) -> None:
        self.offset, self.value, self.key = offset, value, None
        self.timestamp, self.headers = NOW_MS, ()


def scored(canary_says: Scored | None, canary: CanaryShare | None = CANARY) -> tuple[ScoredBatch, ModelIds]:
    """A batch of which the champion says 0.4 of every row."""
    models: ModelIds = ModelIds()
    records: Any = [FakeRecord(10 + row, an_event(f'ev-{row}"', hour=row % 24)) for row in range(COUNT)]
    validated = validate_batch(records, partition=0, partitions=1, event_bytes_max=65_536)
    scoring = score_batch(
        validated,
        [None] * COUNT,
        topic="stops.observations",
        partition=0,
        speaker=CHAMPION,
        models=models,
        clock=WindowClock(NOW_MS, 3_600_000),
        limits=LIMITS,
        canary=canary,
    )
    question, roles = next(scoring), []
    try:
        while True:
            roles.append(question.role)
            is_champion = question.role == "champion"
            question = scoring.send(Scored(np.full(len(question.codes), 0.4), {}) if is_champion else canary_says)
    except StopIteration as done:
        assert roles == (["champion", "canary"] if canary is not None else ["champion"])
        result: ScoredBatch = done.value
        return result, models


def canary_rows() -> list[int]:
    ids = [f'ev-{row}"'.encode() for row in range(COUNT)]
    return np.flatnonzero(canary_ids(CANARY.salt, ids, CANARY.share)).tolist()


def test_the_canary_speaks_for_its_share_with_its_own_threshold_in_the_order_of_offsets() -> None:
    batch, models = scored(Scored(np.full(COUNT, 0.3), {}))
    predictions = [json.loads(value or b"") for _, value, _, _ in batch.predictions]
    assert [said["source"]["offset"] for said in predictions] == [10 + row for row in range(COUNT)]
    rows = [row for row, said in enumerate(predictions) if said["role"] == "canary"]
    assert rows == canary_rows()
    assert 0 < len(rows) < COUNT
    for row, said in enumerate(predictions):
        speaker, proba = (CANARY.speaker, 0.3) if row in rows else (CHAMPION, 0.4)
        assert (said["model"], said["threshold"], said["proba"]) == (speaker.model, speaker.threshold, proba)
        assert said["prediction"] is (proba >= speaker.threshold)
        predicted = unpack(batch.entries[said["id"].encode()] or b"").predicted
        assert predicted is not None
        assert models[predicted.model] == (speaker.model, speaker.role)
        assert (predicted.proba, predicted.prediction) == (proba, said["prediction"])
    assert {speaker.role: len(sample.codes) for speaker, sample in batch.samples} == {
        "canary": len(rows),
        "champion": COUNT - len(rows),
    }


@pytest.mark.parametrize("canary_says", [None, Scored(np.full(COUNT, 0.3), {3: "a reason"})], ids=["none", "a row"])  # type: ignore[dict-item]
def test_where_the_canary_fails_the_champion_speaks_for_all(canary_says: Scored | None) -> None:
    batch, _ = scored(canary_says)
    alone, _ = scored(None, canary=None)
    assert batch.predictions == alone.predictions
    assert batch.entries == alone.entries
    assert [speaker for speaker, _ in batch.samples] == [CHAMPION]


def test_pairs_stay_complete_and_a_shadow_record_keeps_to_its_schema() -> None:
    batch, _ = scored(Scored(np.full(COUNT, 0.3), {}))
    assert batch.published is not None
    shadow = Candidate("other@cccccccccccc", 0.9, np.linspace(0, 1, COUNT))
    candidates = with_other_speaker(batch.published, CHAMPION, CANARY.speaker, [shadow])
    records = shadow_records(
        batch.published,
        CHAMPION,
        CANARY.speaker,
        candidates,
        partition=0,
        scored_at="2026-01-02T03:04:05.678Z",
        only_disagreements=False,
    )
    assert len(records) == COUNT
    validator = Draft202012Validator(schemas()["shadow_predictions"])
    for row, ((key, value, timestamp_ms, _), prediction) in enumerate(zip(records, batch.predictions, strict=True)):
        validator.validate(json.loads(value or b""))
        said, published = decode_shadow_prediction(value or b""), json.loads(prediction[1] or b"")
        assert (key, timestamp_ms) == (prediction[0], NOW_MS)
        assert (said.id, said.source.offset) == (published["id"], published["source"]["offset"])
        assert (said.published.model, said.published.role) == (published["model"], published["role"])
        assert (said.published.prediction, said.published.proba) == (published["prediction"], published["proba"])
        other = CHAMPION if published["role"] == "canary" else CANARY.speaker
        assert [one.model for one in said.shadows] == [other.model, shadow.label]
        assert said.shadows[1].proba == pytest.approx(row / (COUNT - 1))
        assert [one.prediction for one in said.shadows] == [one.proba >= one.threshold for one in said.shadows]


def test_only_disagreements_are_written_where_that_is_wanted() -> None:
    batch, _ = scored(None, canary=None)
    assert batch.published is not None
    shadow = Candidate("other@cccccccccccc", 0.5, np.where(np.arange(COUNT) % 4 == 0, 0.7, 0.1))
    records = shadow_records(
        batch.published, CHAMPION, None, [shadow], partition=0, scored_at="now", only_disagreements=True
    )
    assert [decode_shadow_prediction(value or b"").source.offset for _, value, _, _ in records] == [
        10 + row for row in range(0, COUNT, 4)
    ]


def test_without_candidates_there_is_no_record() -> None:
    batch, _ = scored(None, canary=None)
    assert batch.published is not None
    assert (
        shadow_records(batch.published, CHAMPION, None, [], partition=0, scored_at="now", only_disagreements=False)
        == []
    )
