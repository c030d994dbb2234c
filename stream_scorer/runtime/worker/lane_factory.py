"""How a lane is made: which publisher it gets, where its state comes from, and what it refuses to commit into.

Invariant: nothing of a lane is shared with another but what this factory holds.
"""

from collections.abc import Awaitable, Callable

from aiokafka import AIOKafkaConsumer, TopicPartition

from stream_scorer.core.records.output_timestamps import AgesMax
from stream_scorer.errors import TopicsError
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.kafka.client import client_options
from stream_scorer.runtime.lanes.batch import Batch, BatchResult
from stream_scorer.runtime.lanes.lane import Lane
from stream_scorer.runtime.lanes.lane_evidence import LaneEvidence
from stream_scorer.runtime.lanes.lane_models import LaneModels
from stream_scorer.runtime.lanes.moved_records import MovedRecords
from stream_scorer.runtime.lanes.shadow_step import Ask
from stream_scorer.runtime.lanes.start_offsets import StartOffsets
from stream_scorer.runtime.metrics.registry import Metrics
from stream_scorer.runtime.publishing.at_least_once import AtLeastOncePublisher
from stream_scorer.runtime.publishing.lane_publisher import LanePublishers
from stream_scorer.runtime.publishing.publisher import Publisher
from stream_scorer.runtime.rollout.model_rollout import ModelRollout
from stream_scorer.runtime.settings.settings import Settings
from stream_scorer.runtime.state.pending_writes import PendingWrites
from stream_scorer.runtime.state.restore import open_store, restore
from stream_scorer.runtime.state.rocksdb import shared_memory
from stream_scorer.runtime.worker.clock import CheckedClock


class LaneFactory:
    """Makes lanes. `identity`: the cluster and topics that a lane's state is a view of; `worker`: how this one calls
    itself."""

    def __init__(
        self,
        settings: Settings,
        *,
        partitions: int,
        identity: str,
        metrics: Metrics,
        work: Callable[[Batch], Awaitable[BatchResult]],
        ask: Ask,
        committed: Callable[[Batch, BatchResult], None],
        lost: Callable[[TopicPartition, int, int], None],
        ages_ms_max: AgesMax,
        clock: CheckedClock,
        rollout: ModelRollout,
        worker: str,
    ) -> None:
        self._settings, self._partitions, self._identity, self._metrics = settings, partitions, identity, metrics
        self._work, self._ask, self._committed, self._lost = work, ask, committed, lost
        self._ages_ms_max, self._clock = ages_ms_max, clock
        self._rollout, self._worker = rollout, worker
        self._names = TopicNames(settings.topics.prefix)
        self._blocks = shared_memory(partitions)
        self._publishers = LanePublishers(settings, partitions)
        self._moves = MovedRecords(client_options(settings.kafka), partitions)

    def open_lane(self, partition: int, consumer: AIOKafkaConsumer) -> Lane:
        """A lane for a partition that was assigned; its `run` opens it."""
        worker = self._settings.worker
        return Lane(
            partition,
            names=self._names,
            consumer=consumer,
            publisher=self._publisher(partition, consumer),
            open_state=self._open_state,
            work=self._work,
            before_commit=lambda: self._refuse_new_partitions(consumer),
            committed=self._committed,
            batch_records_max=worker.batch_records_max,
            clock=self._clock.reading,
            start_offsets=StartOffsets(
                client_options(self._settings.kafka),
                self._names,
                moves=self._moves,
                # of the batch under way, some outputs may be there and others not
                reread_records=0 if worker.delivery == "exactly-once" else worker.batch_records_max,
            ),
            models=LaneModels(partition, self._rollout, self._worker),
            evidence=LaneEvidence(
                partition, self._rollout.evidence, self._names.outcome_updates, self._ask, self._worker
            ),
            lost=self._lost,
            ages_ms_max=self._ages_ms_max,
            keeps_all=lambda: self._clock.is_contradicted,
        )

    def _publisher(self, partition: int, consumer: AIOKafkaConsumer) -> Publisher:
        worker = self._settings.worker
        if worker.delivery == "at-least-once":
            return AtLeastOncePublisher(
                client_options(self._settings.kafka), consumer=consumer, timeout_ms=worker.transaction_timeout_ms
            )
        return self._publishers.publisher(partition, consumer)

    async def _open_state(self, partition: int) -> PendingWrites:
        """The lane's state, brought up to what the output topics say."""
        store = await open_store(self._settings.state_path, partition, self._identity, self._blocks)
        try:
            restored = await restore(
                store,
                client_options(self._settings.kafka),
                partition=partition,
                predictions=self._names.predictions,
                outcome_updates=self._names.outcome_updates,
                clock=self._clock.reading(),
            )
        except BaseException:
            store.close()
            raise
        self._metrics.restored(restored.seconds)
        return PendingWrites(store)

    def _refuse_new_partitions(self, consumer: AIOKafkaConsumer) -> None:
        """An id's partition depends on their number: with another number its history would lie elsewhere."""
        for topic in (self._names.observations, self._names.outcomes):
            found = consumer.partitions_for_topic(topic)
            if found is not None and len(found) != self._partitions:
                raise TopicsError(
                    f"{topic} has {len(found)} partitions now, not {self._partitions}. The number is fixed, because "
                    "ids would move away from what is known of them: to grow, start a new environment under another "
                    "topics.prefix."
                )
