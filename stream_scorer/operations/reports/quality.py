"""How well the predictions of a window did, read from the topics: the figure of record, whatever counters say.

Invariant: it reads what is committed and nothing else, so that everybody who asks for the same window gets the same
answer.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from stream_scorer.core.quality.windowed_evaluation import EvaluationResult, Window, WindowedEvaluation
from stream_scorer.core.state.restore import Records
from stream_scorer.operations.reading.topic_reader import OnRead, Reader, Record
from stream_scorer.runtime.cluster.topic_admin import TopicNames

__all__ = ["EvaluationResult", "QualityReport", "Window", "quality"]

# Records read so far, offsets in all


class QualityReport(NamedTuple):
    """What was found, in which window, and what it took."""

    window: Window
    findings: EvaluationResult
    records_read: int
    seconds: float


async def quality(
    options: Mapping[str, Any],
    names: TopicNames,
    window: Window,
    *,
    group_positives_min: int = 1,
    on_read: OnRead | None = None,
) -> QualityReport:
    """Quality of the window's predictions and joined outcomes, by the timestamps of their records; `options` are
    aiokafka's client options. A gap between groups looks at those with `group_positives_min` positive predictions.

    A prediction's record has its observation's time, a joined update's the later one of observation and outcome.
    Raises OutageError where Kafka does not answer, TopicsError where the topics are not there.
    """
    started, evidence = time.monotonic(), WindowedEvaluation(window)
    async with Reader(options) as reader:
        spans = await reader.spans((names.predictions, names.outcome_updates))
        if window.begins_ms is not None:
            begins = await reader.offsets_at(spans, window.begins_ms)
            spans = {partition: span._replace(begin=begins[partition]) for partition, span in spans.items()}
        offsets = sum(span.end - span.begin for span in spans.values())
        async for partition, records in reader.read(spans):
            add = evidence.add_predictions if partition.topic == names.predictions else evidence.add_updates
            add(_columns(records))
            if on_read is not None:
                on_read(reader.records_read, offsets)
        read = reader.records_read
    findings = evidence.findings(group_positives_min=group_positives_min)
    return QualityReport(window, findings, read, time.monotonic() - started)


def _columns(records: Sequence[Record]) -> Records:
    return Records(
        [record.key for record in records],
        [record.value for record in records],
        [record.timestamp for record in records],
    )
