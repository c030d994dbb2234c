"""The prediction records of a scored batch."""

from collections.abc import Sequence
from itertools import repeat

from stream_scorer.core.observations.validation import ValidObservations
from stream_scorer.core.records.prediction import ModelIdentity, encode_predictions
from stream_scorer.core.records.record import NO_HEADERS, Headers, Publishable, trace_headers


def cloud_event(topic: str, partition: int, offset: int, scored_at: str) -> Headers:
    """A prediction's CloudEvents attributes (version 1.0, Kafka binding, binary mode). The id is where its observation
    lies, so that the same observation always gives the same id."""
    return [
        ("ce_specversion", b"1.0"),
        ("ce_type", b"stream-scorer.prediction"),
        ("ce_source", f"/{topic}".encode()),
        ("ce_id", b"%d-%d" % (partition, offset)),
        ("ce_time", scored_at.encode()),
        ("content-type", b"application/json"),
    ]


def predict(
    rows: ValidObservations,
    probabilities: Sequence[float],
    *,
    partition: int | Sequence[int],
    speaker: ModelIdentity,
    scored_at: str,
    with_observation: bool,
    cloud_events_of: str | None = None,
) -> list[Publishable]:
    """Prediction records for rows that have a probability each, in the order of their offsets. `partition`: where they
    lie, one for all or one each; `cloud_events_of`: the topic that they come of, where they are to carry CloudEvents
    headers."""
    values = encode_predictions(
        rows.ids,
        rows.codes,
        probabilities,
        rows.offsets,
        partition=partition,
        speaker=speaker,
        scored_at=scored_at,
        with_observation=with_observation,
    )
    times = [record.timestamp for record in rows.records]
    headers = [trace_headers(found) if (found := record.headers) else NO_HEADERS for record in rows.records]
    if cloud_events_of is not None:
        partitions = repeat(partition, len(rows.ids)) if isinstance(partition, int) else partition
        headers = [
            carried + cloud_event(cloud_events_of, in_partition, offset, scored_at)
            for carried, in_partition, offset in zip(headers, partitions, rows.offsets, strict=True)
        ]
    return list(zip(rows.ids, values, times, headers, strict=True))
