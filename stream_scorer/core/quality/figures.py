"""Quality metrics with their intervals, computed from counts."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.contract.columns import COLUMNS
from stream_scorer.core.quality.confidence_intervals import Interval, newcombe, wilson
from stream_scorer.core.quality.counts import GROUP_COLUMNS, ConfusionCounts


class GroupFigures(NamedTuple):
    """One value of one of the group columns. `discovery_rate`: the share of searches predicted to find something that
    did, None without any; `coverage`: the share of predictions that have an outcome, None without predictions."""

    column: str
    value: str
    predictions: int
    joined: int
    predicted_positive: int
    discovery_rate: Interval | None
    coverage: Interval | None


class GroupGap(NamedTuple):
    """The largest difference of discovery rates between two values of a column; the interval is Newcombe's."""

    column: str
    highest: str
    lowest: str
    gap: Interval


class QualityMetrics(NamedTuple):
    """What the counts say. A figure that can't be known yet is None."""

    predictions: int
    joined: int
    predicted_positive: int
    true_positive: int
    actual_positive: int
    success_rate: Interval | None
    recall: Interval | None
    brier: float | None
    coverage: Interval | None
    groups: tuple[GroupFigures, ...]
    gaps: tuple[GroupGap, ...]


def figures(
    cells: ConfusionCounts, *, group_positives_min: int = 1, covered: NDArray[np.int64] | None = None
) -> QualityMetrics:
    """Success rate, recall, Brier score and coverage with their 95 % intervals, discovery rates by group and their
    largest gap by column; a gap looks at values with at least `group_positives_min` positive predictions. `covered`
    says how many of the predictions, by (race, sex, ethnicity), have an outcome; else all that were joined count."""
    if covered is None:
        covered = cells.joined.sum(axis=(3, 4))
    counts: NDArray[np.int64] = cells.joined.sum(axis=(0, 1, 2))
    joined, hits = int(counts.sum()), int(counts[1, 1])
    positive, actual = int(counts[1].sum()), int(counts[:, 1].sum())
    predictions = int(cells.predicted.sum())
    by_column = {column: _group_figures(cells, covered, axis) for axis, column in enumerate(GROUP_COLUMNS)}
    gaps = [_gap(column, groups, group_positives_min) for column, groups in by_column.items()]
    return QualityMetrics(
        predictions=predictions,
        joined=joined,
        predicted_positive=positive,
        true_positive=hits,
        actual_positive=actual,
        success_rate=wilson(hits, positive),
        recall=wilson(hits, actual),
        brier=float(cells.squared_error.sum()) / joined if joined else None,
        coverage=_coverage(int(covered.sum()), predictions),
        groups=tuple(group for groups in by_column.values() for group in groups),
        gaps=tuple(gap for gap in gaps if gap is not None),
    )


def _group_figures(cells: ConfusionCounts, covered: NDArray[np.int64], axis: int) -> list[GroupFigures]:
    others = tuple(other for other in range(len(GROUP_COLUMNS)) if other != axis)
    counts, predicted = cells.joined.sum(axis=others), cells.predicted.sum(axis=others)
    return [
        GroupFigures(
            column=COLUMNS[axis].name,
            value=str(value),
            predictions=int(predicted[index].sum()),
            joined=int(counts[index].sum()),
            predicted_positive=int(counts[index, 1].sum()),
            discovery_rate=wilson(int(counts[index, 1, 1]), int(counts[index, 1].sum())),
            coverage=_coverage(int(covered.sum(axis=others)[index]), int(predicted[index].sum())),
        )
        for index, value in enumerate(COLUMNS[axis].domain)
    ]


def _coverage(covered: int, predictions: int) -> Interval | None:
    # where the predictions of some outcomes were not counted (they are older than the window), a share would be above 1
    return wilson(covered, predictions) if covered <= predictions else None


def _gap(column: str, groups: Sequence[GroupFigures], positives_min: int) -> GroupGap | None:
    rated = [
        (group, group.discovery_rate)
        for group in groups
        if group.discovery_rate is not None and group.predicted_positive >= positives_min
    ]
    if len(rated) < 2:
        return None
    rated.sort(key=lambda each: each[1].value)
    (lowest, low), (highest, high) = rated[0], rated[-1]
    return GroupGap(column, highest.value, lowest.value, newcombe(high, low))


def figures_by_name(said: QualityMetrics) -> dict[str, object]:
    """The figures as plain objects for JSON, by their names."""
    return {name: _plain(part) for name, part in said._asdict().items()}


def _plain(value: object) -> object:
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: _plain(part) for name, part in value._asdict().items()}
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    return value
