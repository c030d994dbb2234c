"""What a card says of the training, in the buckets that traffic is counted in."""

from typing import Any

import numpy as np
import pytest

from stream_scorer.core.quality.drift_buckets import FEATURE_BUCKETS, FeatureCounts, ProbabilityCounts
from stream_scorer.models.registry.reference_distributions import trained_on
from stream_scorer.models.synthetic.generator import Generator
from stream_scorer.models.training.fit import distributions


def a_card(count: int = 2_000) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    codes = Generator(seed=4).codes(count)
    probabilities = np.random.default_rng(4).random(count)
    return codes, probabilities, {"distributions": distributions(codes, probabilities)}


def test_training_rows_count_as_the_same_rows_would_as_traffic() -> None:
    codes, probabilities, card = a_card()
    found = trained_on(card)
    features, by_group = FeatureCounts(), ProbabilityCounts()
    features.add(codes)
    by_group.add(codes, probabilities)
    assert found is not None
    assert found.features.tolist() == features.counts().tolist()
    assert found.probabilities.tolist() == by_group.counts().tolist()
    assert len(found.features) == len(FEATURE_BUCKETS)


@pytest.mark.parametrize(
    "card",
    [
        {},
        {"distributions": None},
        {"distributions": {"features": {}, "probabilities_by_group": {}}},
        {"distributions": {"features": "many", "probabilities_by_group": {}}},
        {
            "distributions": a_card(50)[2]["distributions"]
            | {"probabilities_by_group": {"SubjectRaceCode": {"W": [1, 2, 3]}}}
        },
    ],
    ids=["nothing", "null", "empty", "text", "three buckets"],
)
def test_a_card_that_says_nothing_of_it_is_no_fault(card: dict[str, Any]) -> None:
    assert trained_on(card) is None
