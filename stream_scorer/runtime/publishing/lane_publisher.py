"""What a lane sees of the committer that it shares with the worker's other lanes, and how it comes to one.

Invariant: a committer belongs to one generation of the group; a lane of another generation gets another one.
"""

from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.kafka.client import client_options
from stream_scorer.runtime.kafka.protocol.client import ProtocolClient
from stream_scorer.runtime.kafka.record_batches import Ends, Outputs
from stream_scorer.runtime.publishing.committer import Committer, turns_of
from stream_scorer.runtime.publishing.fencing import Membership, wait_until_decided
from stream_scorer.runtime.publishing.hanging_transactions import HangingTransactions
from stream_scorer.runtime.publishing.publisher import Offsets
from stream_scorer.runtime.settings.settings import Settings

# An answer that is lost, as by a broker that was killed, must leave time to ask again before the transaction is over
ATTEMPTS_A_TRANSACTION = 4
# So many transaction time-outs after which nothing of a former owner can be undecided on a sound cluster
DECIDED_WITHIN_TIMEOUTS = 3


class LanePublisher:
    """Exactly once: a lane's part in the transactions of its worker."""

    commit_s = 0.0

    def __init__(
        self,
        committer: Committer,
        *,
        lane_id: str,
        inputs: Sequence[TopicPartition],
        outputs: Sequence[TopicPartition],
        timeout_ms: int,
    ) -> None:
        self._committer, self._ids = committer, turns_of(lane_id)
        self._inputs, self._outputs, self._timeout_ms = inputs, outputs, timeout_ms
        committer.join(self, outputs)

    async def start(self) -> None:
        committer = self._committer
        await committer.opened(self._ids)
        await committer.client.wait_for_leaders((*self._inputs, *self._outputs))
        await wait_until_decided(
            committer.client,
            committer.membership.group,
            self._inputs,
            self._outputs,
            DECIDED_WITHIN_TIMEOUTS * self._timeout_ms / 1000,
        )

    def announce(self) -> None:
        self._committer.announce(self)

    async def publish(self, outputs: Outputs, offsets: Offsets) -> Ends:
        ends, self.commit_s = await self._committer.publish(self, outputs, offsets)
        return ends

    async def stop(self) -> None:
        await self._committer.leave(self)


class LanePublishers:
    """Makes lanes' publishers, all of one generation on one committer. `partitions`: of each topic."""

    def __init__(self, settings: Settings, partitions: int) -> None:
        self._settings, self._partitions = settings, partitions
        self._names = TopicNames(settings.topics.prefix)
        self._committer: Committer | None = None
        self._was_probed = False

    def publisher(self, partition: int, consumer: AIOKafkaConsumer) -> LanePublisher:
        """For a lane that is assigned now: the group's generation is taken here, never later."""
        settings, names = self._settings, self._names
        membership = Membership.of(consumer, settings.group_name)
        if self._committer is None or self._committer.closed or self._committer.membership != membership:
            self._committer = self._new_committer(membership, {one.partition for one in consumer.assignment()})
        return LanePublisher(
            self._committer,
            lane_id=settings.transactional_id(partition),
            inputs=[TopicPartition(topic, partition) for topic in (names.observations, names.outcomes)],
            outputs=[TopicPartition(topic, partition) for topic in self._outputs],
            timeout_ms=settings.worker.transaction_timeout_ms,
        )

    @property
    def _outputs(self) -> tuple[str, ...]:
        names = self._names
        return names.predictions, names.outcome_updates, names.dead_letters, names.model_switches

    def _new_committer(self, membership: Membership, lanes: set[int]) -> Committer:
        settings, names = self._settings, self._names
        timeout_ms = settings.worker.transaction_timeout_ms
        options: dict[str, Any] = client_options(settings.kafka)
        client = ProtocolClient(options, request_timeout_ms=timeout_ms // ATTEMPTS_A_TRANSACTION)
        written = [
            TopicPartition(topic, number)
            for topic in (
                *self._outputs,
                names.shadow_predictions,
                names.model_evidence,
                names.observations,
                names.outcomes,
            )
            for number in range(self._partitions)
        ]
        probe = None if self._was_probed else TopicPartition(names.observations, min(lanes))
        self._was_probed = True
        return Committer(
            client,
            membership,
            lane_ids=[settings.transactional_id(lane) for lane in sorted(lanes)],
            hanging=HangingTransactions(
                client, group=membership.group, names=names, partitions=written, timeout_ms=timeout_ms
            ),
            timeout_ms=timeout_ms,
            probe=probe,
            bootstrap=settings.kafka.bootstrap,
        )
