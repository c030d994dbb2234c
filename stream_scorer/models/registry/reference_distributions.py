"""What a model was trained on, as its card tells it, in the buckets that traffic is counted in.

Invariant: a card that says nothing of it, or something else, is no fault: there is nothing then that traffic could be
held against.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np

from stream_scorer.core.contract.columns import COLUMN_NAMES, COLUMNS
from stream_scorer.core.quality.counts import GROUP_COLUMNS
from stream_scorer.core.quality.drift_buckets import BUCKETS, PROBABILITY_BUCKETS, Counts, into_buckets
from stream_scorer.core.records.decode import UNREADABLE


class ReferenceDistributions(NamedTuple):
    """Rows by the bucket of each column, in the order of `FEATURE_BUCKETS`, and by group and tenth of the probability,
    in that of `GROUP_BUCKETS`."""

    features: Counts
    probabilities: Counts


class CardDistributions(msgspec.Struct):
    """The part of a card that says so."""

    features: dict[str, dict[str, int]]
    probabilities_by_group: dict[str, dict[str, list[int]]]


def trained_on(card: Mapping[str, Any]) -> ReferenceDistributions | None:
    """The distributions of a card; None where it has none that fit the contract."""
    try:
        said = msgspec.convert(card.get("distributions"), CardDistributions)
        features = [
            into_buckets(np.array([said.features[column.name][str(value)] for value in column.domain]), buckets)
            for column, buckets in zip(COLUMNS, BUCKETS, strict=True)
        ]
        probabilities = [
            np.array(said.probabilities_by_group[name][str(group)], dtype=np.int64)
            .reshape(PROBABILITY_BUCKETS, -1)
            .sum(axis=1)
            for name in GROUP_COLUMNS
            for group in COLUMNS[COLUMN_NAMES.index(name)].domain
        ]
    except (KeyError, *UNREADABLE):
        return None
    return ReferenceDistributions(np.concatenate(features), np.concatenate(probabilities))
