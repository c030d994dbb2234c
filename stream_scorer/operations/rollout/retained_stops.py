"""Stops whose outcome is known, read back from the outcome updates that Kafka still keeps.

Invariant: a stop counts once, with the last revision of its outcome in the window.
"""

import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.contract.observation_code import encode_observation
from stream_scorer.core.contract.smoke_test_ids import is_smoke_id
from stream_scorer.core.quality.windowed_evaluation import Window
from stream_scorer.core.records.decode import decode_or_none
from stream_scorer.core.records.outcome_update import Joined, decode_update
from stream_scorer.operations.reading.topic_reader import Reader
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.kafka.client import client_options
from stream_scorer.runtime.settings.settings import Settings


async def retained_stops(settings: Settings, window: Window) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Observation codes and outcomes, both of shape (n,), of updates whose records lie in the window. Raises
    OutageError, TopicsError."""
    found: dict[str, tuple[int, bool]] = {}
    topic = TopicNames(settings.topics.prefix).outcome_updates
    async with Reader(client_options(settings.kafka)) as reader:
        spans = await reader.spans([topic])
        if window.begins_ms is not None:
            begins = await reader.offsets_at(spans, window.begins_ms)
            spans = {partition: span._replace(begin=begins[partition]) for partition, span in spans.items()}
        async for _, records in reader.read(spans):
            inside = window.holds([record.timestamp for record in records])
            for record, is_inside in zip(records, inside, strict=True):
                update = decode_or_none(decode_update, record.value) if is_inside else None
                if isinstance(update, Joined) and not is_smoke_id(update.id.encode(errors="replace")):
                    found[update.id] = encode_observation(update.observation), update.true_class
    codes, outcomes = zip(*found.values(), strict=True) if found else ((), ())
    return np.array(codes, dtype=np.int64), np.array(outcomes, dtype=np.bool_)
