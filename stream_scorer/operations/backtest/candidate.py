"""What a candidate would have said of a range of observations, beside what was published and what happened.

Invariant: decisions are compared on observations whose prediction was published, and quality on the outcomes of those:
redelivered, moved and refused observations count nowhere.
"""

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.contract.columns import COLUMNS
from stream_scorer.core.contract.observation_code import STRIDES
from stream_scorer.core.quality.confidence_intervals import Interval, wilson
from stream_scorer.core.quality.counts import GROUP_COLUMNS, GROUP_SIZES, QualityCounts
from stream_scorer.core.quality.figures import GroupFigures, GroupGap, QualityMetrics, figures
from stream_scorer.core.rollout.published_rows import with_outcomes
from stream_scorer.models.registry.model_directory import LoadedModel
from stream_scorer.models.training.evaluation import area_and_precision
from stream_scorer.operations.backtest.retained_rows import OnRead, Range, Retained, RetainedReader, scored_observations
from stream_scorer.operations.reading.topic_reader import Reader
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.settings.settings import KafkaSettings

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class GroupChange(NamedTuple):
    """How many decisions about one group differ. `share`: None without any."""

    column: str
    value: str
    compared: int
    changed: int
    share: Interval | None


class Quality(NamedTuple):
    """What the outcomes say of one side's decisions. `auc`: None where only one class came up."""

    rows: int
    success_rate: Interval | None
    recall: Interval | None
    predicted_positive: int
    brier: float | None
    auc: float | None
    groups: tuple[GroupFigures, ...]
    gaps: tuple[GroupGap, ...]


class BacktestReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was found. `observations`: those that pass the contract, `positives` of them the candidate finds positive;
    `compared`: those with a published prediction. `candidate`, `published`: both sides' quality on the same outcomes.
    `faults`: the limits that were given and do not hold, or can't be judged."""

    model: str
    threshold: float
    form: str
    published_by: tuple[str, ...]
    observations: int
    unreadable: int
    positives: int
    compared: int
    changed: int
    became_positive: int
    became_negative: int
    changed_share: Interval | None
    groups: tuple[GroupChange, ...]
    candidate: Quality
    published: Quality
    faults: tuple[str, ...]
    records_read: int
    seconds: float


class AcceptanceLimits(NamedTuple):
    """What a candidate must keep to pass; None: nothing is asked. Shares: 0.05 is five points."""

    changed_share_max: float | None = None
    success_rate_min: float | None = None
    recall_min: float | None = None
    gap_max: float | None = None


async def backtest(
    options: Mapping[str, Any],
    names: TopicNames,
    model: LoadedModel,
    asked: Range,
    *,
    threshold: float | None = None,
    limits: AcceptanceLimits = AcceptanceLimits(),  # noqa: B008  # a tuple of nothing asked
    group_positives_min: int = 100,
    event_bytes_max: int,
    framed: bool = False,
    on_read: OnRead = lambda read, offsets: None,
    kafka: KafkaSettings | None = None,
) -> BacktestReport:
    """Score the range's observations with the model, and compare; `options` are aiokafka's client options, `kafka` the
    settings that they are of, where several processes may read. A gap looks at groups with `group_positives_min`
    positive predictions that have an outcome. Raises TopicsError where the topics are not there, OutageError where
    Kafka does not answer."""
    started = time.monotonic()
    async with Reader(options) as reader:
        retained = await RetainedReader(
            reader, names, event_bytes_max=event_bytes_max, framed=framed, on_read=on_read, kafka=kafka
        ).read(asked, model.score)
    report = compare_predictions(
        retained, model, model.threshold if threshold is None else threshold, group_positives_min
    )
    return msgspec.structs.replace(report, faults=missed_limits(report, limits), seconds=time.monotonic() - started)


def compare_predictions(
    retained: Retained, model: LoadedModel, threshold: float, group_positives_min: int
) -> BacktestReport:
    """The report, without limits."""
    codes, probas, published = _compared(retained)
    decisions = probas >= threshold
    changed = decisions != published["prediction"]
    known, actual = with_outcomes(published, retained.actual)
    both = {
        side: _quality(codes[known], said[known], decided[known], actual, group_positives_min)
        for side, said, decided in (
            ("candidate", probas, decisions),
            ("published", published["proba"], published["prediction"]),
        )
    }
    named = sorted({retained.models[number][0] for number in np.unique(published["model"]).tolist()})
    return BacktestReport(
        model=model.name,
        threshold=threshold,
        form=model.form,
        published_by=tuple(named),
        observations=sum(len(rows.observed) for rows in retained.partitions),
        unreadable=retained.unreadable,
        positives=sum(int((rows.probas >= threshold).sum()) for rows in retained.partitions),
        compared=len(codes),
        changed=int(changed.sum()),
        became_positive=int((changed & decisions).sum()),
        became_negative=int((changed & ~decisions).sum()),
        changed_share=wilson(int(changed.sum()), len(codes)),
        groups=_changes_by_group(codes, changed),
        **both,
        faults=(),
        records_read=retained.records_read,
        seconds=0.0,
    )


def _compared(retained: Retained) -> tuple[Codes, Floats, NDArray[np.void]]:
    """Observations with a prediction: their numbers, what the candidate says, and what was published."""
    codes, probas, published = [], [], []
    for rows in retained.partitions:
        mine, theirs = scored_observations(rows)
        codes.append(rows.observed["code"][mine])
        probas.append(rows.probas[mine])
        # nearly always all of them, and a copy of wide rows costs more than all else here
        published.append(rows.published if len(theirs) == len(rows.published) else rows.published[theirs])
    return np.concatenate(codes), np.concatenate(probas), np.concatenate(published)


def _changes_by_group(codes: Codes, changed: Flags) -> tuple[GroupChange, ...]:
    found = []
    for place, index in enumerate(np.unravel_index(codes // STRIDES[len(GROUP_COLUMNS) - 1], GROUP_SIZES)):
        size = len(COLUMNS[place].domain)
        of_all, of_changed = np.bincount(index, minlength=size), np.bincount(index[changed], minlength=size)
        found += [
            GroupChange(GROUP_COLUMNS[place], str(value), n, k, wilson(k, n))
            for value, n, k in zip(COLUMNS[place].domain, of_all.tolist(), of_changed.tolist(), strict=True)
        ]
    return tuple(found)


def _quality(codes: Codes, probas: Floats, decisions: Flags, actual: Flags, group_positives_min: int) -> Quality:
    counted, model = QualityCounts(), ("", "")
    counted.count_predictions(model, codes, decisions)
    counted.count_joined(model, codes, probas, decisions, actual)
    said: QualityMetrics = figures(counted[model], group_positives_min=group_positives_min)
    return Quality(
        rows=said.joined,
        success_rate=said.success_rate,
        recall=said.recall,
        predicted_positive=said.predicted_positive,
        brier=said.brier,
        auc=_area(probas, actual),
        groups=said.groups,
        gaps=said.gaps,
    )


def _area(probas: Floats, actual: Flags) -> float | None:
    if not len(probas):
        return None
    order = np.argsort(-probas, kind="stable")
    falling, positive = probas[order], actual[order].astype(np.float64)
    ends = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)
    found = area_and_precision(positive, 1.0 - positive, ends)
    return None if found is None else found[0]


def missed_limits(report: BacktestReport, limits: AcceptanceLimits) -> tuple[str, ...]:
    """The limits that do not hold. One that can't be judged does not hold either: without an outcome nothing is known
    of a success rate."""
    said, faults = report.candidate, []
    share = report.changed_share
    for what, found, limit, is_least in (
        ("share of changed decisions", None if share is None else share.value, limits.changed_share_max, False),
        ("success rate", None if said.success_rate is None else said.success_rate.value, limits.success_rate_min, True),
        ("recall", None if said.recall is None else said.recall.value, limits.recall_min, True),
        ("largest gap", max((gap.gap.value for gap in said.gaps), default=None), limits.gap_max, False),
    ):
        if limit is None:
            continue
        if found is None:
            faults.append(f"the {what} can't be judged: too few predictions or outcomes in the range")
        elif found < limit if is_least else found > limit:
            faults.append(f"the {what} is {found:.4f}, {'below' if is_least else 'above'} {limit:.4f}")
    return tuple(faults)
