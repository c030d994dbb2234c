"""Input records that retention deleted before a worker read them: logged with their offsets, and counted."""

import logging

from aiokafka import TopicPartition

from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.metrics.registry import Metrics

log = logging.getLogger(__name__)


class RetentionLoss:
    """Is called with a partition of an input, the first and the last offset that is lost."""

    def __init__(self, metrics: Metrics, names: TopicNames) -> None:
        self._metrics, self._names = metrics, names

    def __call__(self, partition: TopicPartition, first: int, last: int) -> None:
        is_observations = partition.topic == self._names.observations
        self._metrics.lost_to_retention("observations" if is_observations else "outcomes", last - first + 1)
        log.error(
            "%s records of %s[%s] were deleted by the topic's retention before they were scored (offsets %s to %s): "
            "ask producers to send them again; give the topic a longer retention, or more workers",
            last - first + 1,
            partition.topic,
            partition.partition,
            first,
            last,
        )
