"""A scorecard for every producer, from the topics alone.

Invariant: a dead letter counts only where its record is among the inputs that were counted, so that no share exceeds
one.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from aiokafka import TopicPartition

from stream_scorer.core.dead_letters.producer_scorecards import Scorecard, ScorecardBuilder
from stream_scorer.core.records.dead_letter_reader import SourcePosition
from stream_scorer.operations.reading.topic_reader import OnRead, Reader, Span
from stream_scorer.runtime.cluster.topic_admin import TopicNames


class Scorecards(NamedTuple):
    """Producers, those with the most broken records first. `unreadable`: records among the dead letters that are none;
    `records_read`: of all topics."""

    cards: list[Scorecard]
    unreadable: int
    records_read: int


async def scorecards(
    options: Mapping[str, Any], names: TopicNames, *, since_ms: int | None = None, on_read: OnRead | None = None
) -> Scorecards:
    """The scorecards of all records that are retained, or of those from a time on. `options` are aiokafka's client
    options. Raises OutageError where Kafka does not answer, TopicsError where the topics are not there."""
    async with Reader(options) as reader:
        spans = await reader.spans((names.observations, names.outcomes, names.dead_letters))
        if since_ms is not None:
            begins = await reader.offsets_at(spans, since_ms)
            spans = {partition: Span(begins[partition], span.end) for partition, span in spans.items()}

        def is_counted(origin: SourcePosition) -> bool:
            span = spans.get(TopicPartition(origin.topic, origin.partition))
            return span is not None and span.begin <= origin.offset < span.end

        tally = ScorecardBuilder(is_counted)
        offsets = sum(span.end - span.begin for span in spans.values())
        async for (topic, partition), records in reader.read(spans):
            if topic == names.dead_letters:
                tally.add_letters(partition, records)
            else:
                tally.add_inputs(records)
            if on_read is not None:
                on_read(reader.records_read, offsets)
        return Scorecards(tally.cards(), tally.unreadable, reader.records_read)
