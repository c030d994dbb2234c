"""Everything that the topics know about one id.

Invariant: every partition is searched, because producers hash as they like, the id's own first; only what matches is
decoded.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from stream_scorer.core.audit.id_timeline import RecordKind, TimelineEntry, id_matcher, in_order, sighting
from stream_scorer.core.records.partitioner import partition_of
from stream_scorer.operations.audit.id_lookup import find_by_state
from stream_scorer.operations.reading.topic_reader import OnRead, Reader, Span
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.settings.settings import Settings


class Trace(msgspec.Struct, frozen=True):
    """What became of an id: every record that knows of it, in order of time."""

    id: str
    partition: int
    records: list[TimelineEntry]
    records_read: int
    # whether every topic was read; False: a worker said where the records lie, and repeats and dead letters were not
    # looked for
    is_complete: bool = True


async def trace_by_state(settings: Settings, names: TopicNames, id_: str) -> Trace | None:
    """What became of an id, found from where its lane's worker says that it lies; None where no worker can say."""
    found = await find_by_state(settings, names, id_)
    return None if found is None else Trace(id_, *found, is_complete=False)


async def trace(
    options: Mapping[str, Any],
    names: TopicNames,
    id_: str,
    *,
    since_ms: int | None = None,
    on_read: OnRead | None = None,
) -> Trace:
    """All records about the id that are retained, or those from a time on.

    `options` are aiokafka's client options. Raises OutageError where Kafka does not answer, TopicsError where the
    topics are not there.
    """
    topics = {
        names.observations: RecordKind.OBSERVATION,
        names.outcomes: RecordKind.OUTCOME,
        names.predictions: RecordKind.PREDICTION,
        names.shadow_predictions: RecordKind.SHADOW_PREDICTION,
        names.dead_letters: RecordKind.DEAD_LETTER,
        names.outcome_updates: RecordKind.OUTCOME_UPDATE,
    }
    wanted = id_.encode()
    spot = id_matcher(wanted)
    found: list[TimelineEntry] = []
    async with Reader(options) as reader:
        spans = await reader.spans(topics)
        if since_ms is not None:
            begins = await reader.offsets_at(spans, since_ms)
            spans = {partition: Span(begins[partition], span.end) for partition, span in spans.items()}
        offsets = sum(span.end - span.begin for span in spans.values())
        partitions = sum(partition.topic == names.observations for partition in spans)
        home = partition_of(wanted, partitions)
        for is_home in (True, False):
            chosen = {key: span for key, span in spans.items() if (key.partition == home) is is_home}
            async for (topic, partition), records in reader.read(chosen):
                found += [sighting(topics[topic], topic, partition, record, partitions) for record in spot(records)]
                if on_read is not None:
                    on_read(reader.records_read, offsets)
        return Trace(id_, home, in_order(found), reader.records_read)
