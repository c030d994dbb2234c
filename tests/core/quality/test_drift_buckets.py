"""Distributions in buckets: the same counts as one look at each event would give."""

from collections import Counter

import numpy as np
import pytest

from stream_scorer.core.contract.columns import COLUMN_NAMES, COLUMNS
from stream_scorer.core.contract.observation_code import CODES, observation_columns
from stream_scorer.core.quality.counts import GROUP_COLUMNS
from stream_scorer.core.quality.drift_buckets import (
    AGE_BANDS,
    FEATURE_BUCKETS,
    GROUP_BUCKETS,
    PROBABILITY_BUCKET_NAMES,
    WAITING_MAX,
    FeatureCounts,
    ProbabilityCounts,
)


def some_codes(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, CODES, count)


def bucket_of(column: str, value: object) -> str:
    if column != "SubjectAge":
        return str(value)
    assert isinstance(value, int)
    lows = [low for low in AGE_BANDS if low <= value]
    highs = [low - 1 for low in AGE_BANDS if low > value]
    return f"{lows[-1]}-{highs[0] if highs else 100}"


@pytest.mark.parametrize("batches", [[1], [3, 0, 5], [WAITING_MAX], [WAITING_MAX - 1, 1, 1], [7_000, 7_000]], ids=str)
def test_every_observation_counts_once_in_each_column(batches: list[int]) -> None:
    counted, expected = FeatureCounts(), Counter[tuple[str, str]]()
    for seed, size in enumerate(batches):
        codes = some_codes(size, seed)
        counted.add(codes)
        for code in codes.tolist():
            expected.update((name, bucket_of(name, value)) for name, value in observation_columns(code).items())
    found = dict(zip(FEATURE_BUCKETS, counted.counts().tolist(), strict=True))
    assert {bucket: count for bucket, count in found.items() if count} == expected


def test_counts_go_on_after_a_look() -> None:
    counted = FeatureCounts()
    counted.add(some_codes(5))
    counted.counts()
    counted.add(some_codes(6))
    assert counted.counts().sum() == 11 * len(COLUMN_NAMES)


def test_every_value_of_every_column_has_its_bucket() -> None:
    for column in COLUMNS:
        for value in column.domain:
            assert (column.name, bucket_of(column.name, value)) in FEATURE_BUCKETS


def test_every_prediction_counts_once_in_each_group_column() -> None:
    codes, counted = some_codes(3_000), ProbabilityCounts()
    probabilities = np.random.default_rng(2).random(3_000)
    counted.add(codes[:1_000], probabilities[:1_000])
    counted.add(codes[1_000:], probabilities[1_000:])
    expected = Counter[tuple[str, str, str]]()
    for code, probability in zip(codes.tolist(), probabilities.tolist(), strict=True):
        columns = observation_columns(code)
        expected.update(
            (column, str(columns[column]), PROBABILITY_BUCKET_NAMES[int(probability * 10)]) for column in GROUP_COLUMNS
        )
    found = dict(zip(GROUP_BUCKETS, counted.counts().tolist(), strict=True))
    assert {bucket: count for bucket, count in found.items() if count} == expected


@pytest.mark.parametrize(
    ("probability", "bucket"),
    [(0.0, "0.0-0.1"), (0.0999, "0.0-0.1"), (0.1, "0.1-0.2"), (0.95, "0.9-1.0"), (1.0, "0.9-1.0")],
)
def test_a_probability_falls_into_its_tenth(probability: float, bucket: str) -> None:
    counted = ProbabilityCounts()
    counted.add(np.array([0]), np.array([probability]))
    found = dict(zip(GROUP_BUCKETS, counted.counts().tolist(), strict=True))
    assert found["SubjectRaceCode", "W", bucket] == 1
