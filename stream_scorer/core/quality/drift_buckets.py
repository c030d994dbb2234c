"""How often each value of each column, and each tenth of the probabilities, comes up: what drift is measured on.

Invariant: a few closed buckets a column, the same for what is scored and for what the model was trained on; nothing
here looks at one event at a time.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.contract.columns import COLUMN_NAMES, COLUMNS, Column
from stream_scorer.core.contract.observation_code import SIZES, STRIDES
from stream_scorer.core.quality.counts import GROUP_COLUMNS, GROUP_SIZES, GROUPS

AGES: Final = "SubjectAge"
# Where a band of ages begins. A bucket a year would be 91, most of them empty.
AGE_BANDS: Final = (10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65)
PROBABILITY_BUCKETS: Final = 10
# The first columns and the rest: 9,792 and 15,925 numbers. One count for each of these says all about single columns.
_SPLIT: Final = 7
_LOWER: Final = STRIDES[_SPLIT - 1]
_GROUP_STRIDE: Final = STRIDES[len(GROUP_COLUMNS) - 1]
# Small batches wait for each other, because adding up 25,717 numbers for a handful of events would cost more than they
WAITING_MAX: Final = 4_096

Codes = NDArray[np.int64]
Counts = NDArray[np.int64]


class Buckets(NamedTuple):
    """A column's buckets: their names, and for each index into the column's domain the bucket it falls into."""

    column: str
    names: tuple[str, ...]
    places: NDArray[np.intp]


def buckets_of(column: Column) -> Buckets:
    """A bucket a value, but for ages."""
    if column.name != AGES:
        return Buckets(column.name, tuple(map(str, column.domain)), np.arange(len(column.domain)))
    lasts = [*(first - 1 for first in AGE_BANDS[1:]), int(column.domain[-1])]
    names = tuple(f"{first}-{last}" for first, last in zip(AGE_BANDS, lasts, strict=True))
    return Buckets(column.name, names, np.searchsorted(AGE_BANDS, np.array(column.domain, dtype=int), "right") - 1)


BUCKETS: Final = tuple(map(buckets_of, COLUMNS))
PROBABILITY_BUCKET_NAMES: Final = tuple(
    f"{place / PROBABILITY_BUCKETS:.1f}-{(place + 1) / PROBABILITY_BUCKETS:.1f}" for place in range(PROBABILITY_BUCKETS)
)
# What the figures below are about, in their order
FEATURE_BUCKETS: Final = tuple((buckets.column, name) for buckets in BUCKETS for name in buckets.names)
GROUP_BUCKETS: Final = tuple(
    (column, str(group), name)
    for column in GROUP_COLUMNS
    for group in COLUMNS[COLUMN_NAMES.index(column)].domain
    for name in PROBABILITY_BUCKET_NAMES
)


class FeatureCounts:
    """Observations by the bucket of each of their columns."""

    def __init__(self) -> None:
        self._upper = np.zeros(int(np.prod(SIZES[:_SPLIT])), dtype=np.int64)
        self._lower = np.zeros(_LOWER, dtype=np.int64)
        self._waiting: list[Codes] = []
        self._waiting_rows = 0

    def add(self, codes: Codes) -> None:
        """Count observations, shape (n,)."""
        self._waiting.append(codes)
        self._waiting_rows += len(codes)
        if self._waiting_rows >= WAITING_MAX:
            self._count()

    def _count(self) -> None:
        codes = np.concatenate(self._waiting)
        self._waiting, self._waiting_rows = [], 0
        upper = codes // _LOWER
        self._upper += np.bincount(upper, minlength=len(self._upper))
        self._lower += np.bincount(codes - upper * _LOWER, minlength=_LOWER)

    def counts(self) -> Counts:
        """The counts so far, in the order of `FEATURE_BUCKETS`."""
        if self._waiting:
            self._count()
        found = []
        for counted, buckets in ((self._upper, BUCKETS[:_SPLIT]), (self._lower, BUCKETS[_SPLIT:])):
            cube = counted.reshape([len(one.places) for one in buckets])
            for axis, one in enumerate(buckets):
                values = cube.sum(axis=tuple(other for other in range(cube.ndim) if other != axis))
                found.append(into_buckets(values, one))
        return np.concatenate(found)


class ProbabilityCounts:
    """Predictions by group and tenth of the probability."""

    def __init__(self) -> None:
        self._cells = np.zeros(GROUPS * PROBABILITY_BUCKETS, dtype=np.int64)
        self._waiting: list[tuple[Codes, NDArray[np.float64]]] = []
        self._waiting_rows = 0

    def add(self, codes: Codes, probabilities: NDArray[np.float64]) -> None:
        """Count predictions; both of shape (n,)."""
        self._waiting.append((codes, probabilities))
        self._waiting_rows += len(codes)
        if self._waiting_rows >= WAITING_MAX:
            self._count()

    def _count(self) -> None:
        codes, probabilities = map(np.concatenate, zip(*self._waiting, strict=True))
        self._waiting, self._waiting_rows = [], 0
        cells = codes // _GROUP_STRIDE * PROBABILITY_BUCKETS + probability_buckets(probabilities)
        self._cells += np.bincount(cells, minlength=len(self._cells))

    def counts(self) -> Counts:
        """The counts so far, in the order of `GROUP_BUCKETS`."""
        if self._waiting:
            self._count()
        cube = self._cells.reshape(*GROUP_SIZES, PROBABILITY_BUCKETS)
        axes = range(len(GROUP_SIZES))
        return np.concatenate([cube.sum(axis=tuple(set(axes) - {axis})).ravel() for axis in axes])


def into_buckets(values: NDArray[np.integer], buckets: Buckets) -> Counts:
    """Counts of a column's values as counts of its buckets."""
    counts: Counts = np.zeros(len(buckets.names), dtype=np.int64)
    np.add.at(counts, buckets.places, values)
    return counts


def probability_buckets(probabilities: NDArray[np.float64]) -> NDArray[np.intp]:
    """The tenth that each probability lies in; 1 belongs to the last."""
    return np.minimum((probabilities * PROBABILITY_BUCKETS).astype(np.intp), PROBABILITY_BUCKETS - 1)
