"""The requests of one transaction, in their order: records, then offsets, then the decision.

Invariant: each is sent again until Kafka has said yes to it, with the same bytes and sequence numbers, so that nothing
is written twice; no step begins before the one in front of it was acknowledged.

With transactions of version 1 partitions and group are added to a transaction by requests of their own; with version 2
(KIP-890, brokers from 4.0 that finalized it) the broker adds them by itself, and each transaction has its own epoch, so
that what comes late can't get into the next one.
"""

from collections.abc import Callable, Collection

from aiokafka import TopicPartition
from aiokafka.protocol.transaction import AddPartitionsToTxnRequest_v0, EndTxnRequest_v0

from stream_scorer.runtime.kafka.protocol.client import ProtocolClient, by_topic, transaction_coordinator
from stream_scorer.runtime.kafka.protocol.messages import EndTxnRequestV5
from stream_scorer.runtime.publishing.fencing import Membership, commit_offsets
from stream_scorer.runtime.publishing.producer_identity import ProducerIdentity
from stream_scorer.runtime.publishing.record_writer import RecordWriter
from stream_scorer.runtime.publishing.transaction import Transaction


class TransactionWriter:
    """Writes and ends transactions of one generation. `stall_s`: how long a partition may be without a leader before
    the others go on without it; `elsewhere` tells whether any partition has one, other than these."""

    def __init__(
        self,
        client: ProtocolClient,
        membership: Membership,
        *,
        version: int,
        timeout_ms: int,
        stall_s: float,
        elsewhere: Callable[[Collection[TopicPartition]], bool],
    ) -> None:
        self._client, self._membership, self.implicit = client, membership, version >= 2
        self._records = RecordWriter(
            client, timeout_ms=timeout_ms, stall_s=stall_s, elsewhere=elsewhere, implicit=self.implicit
        )

    async def write_records(self, transaction: Transaction) -> None:
        """Return once Kafka has all records. Raises `PartitionsUnavailableError`, and what fences."""
        if not (partitions := transaction.partitions):
            return
        producer = transaction.producer
        if not self.implicit:
            numbers = by_topic({partition: partition.partition for partition in partitions})
            await self._client.ask(
                transaction_coordinator(producer.transactional_id),
                AddPartitionsToTxnRequest_v0(producer.transactional_id, producer.id, producer.epoch, numbers),
                lambda answer: [code for _, found in answer.errors for _, code in found],
            )
        await self._records.write(producer, transaction.batches)

    async def write_offsets(self, transaction: Transaction) -> None:
        """Return once the group's coordinator has the offsets, as of our generation. Raises what fences."""
        await commit_offsets(
            self._client, transaction.producer, self._membership, transaction.offsets, implicit=self.implicit
        )

    async def end(self, producer: ProducerIdentity, *, commit: bool) -> None:
        """Return once Kafka has decided the transaction under this identity."""
        whom = transaction_coordinator(producer.transactional_id)
        as_whom = producer.transactional_id, producer.id, producer.epoch
        if not self.implicit:
            await self._client.ask(whom, EndTxnRequest_v0(*as_whom, commit), lambda answer: [answer.error_code])
            return
        answer = await self._client.ask(whom, EndTxnRequestV5(*as_whom, commit, {}), lambda answer: [answer.error_code])
        producer.renew(answer.producer_id, answer.producer_epoch)
