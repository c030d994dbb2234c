"""How a batch's outputs and its consumed offsets reach Kafka: in one transaction, or, at least once, one after the
other.

Invariant: `publish` returns when Kafka has said yes to every record and, exactly once, to the offsets with them; on any
fault it raises and nothing of the batch is visible to a `read_committed` reader.

It reaches into aiokafka 0.14, which is pinned for it: for the wait for one answer, for partitions added by hand, and
for record batches filled past their own `append`.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import InvalidProducerIdMapping, KafkaError, ProducerFenced

from stream_scorer.errors import OutageError
from stream_scorer.runtime.kafka.errors import cause_of
from stream_scorer.runtime.kafka.record_batches import (
    BATCH_BYTES_MAX,
    REQUEST_BYTES_MAX,
    RETRY_WAIT_MS,
    STOP_WAIT_S,
    Ends,
    Outputs,
    _delivered,
    _send,
    stop_producer,
)
from stream_scorer.runtime.publishing.hanging_transactions import HangingTransaction

log = logging.getLogger(__name__)

# An answer that is lost, as by a broker that was killed, must leave time to ask again before the transaction is over
ATTEMPTS_A_TRANSACTION = 4

Offsets = Mapping[TopicPartition, int]


class Publisher(Protocol):
    """One lane's way out. `commit_s`: what of the last `publish` was the commit."""

    commit_s: float

    async def start(self) -> None:
        """Connect; exactly once, also fence whoever published for this lane before and abort what they left open."""

    async def publish(self, outputs: Outputs, offsets: Offsets) -> Ends:
        """Publish and commit. `offsets`: for each input partition the next offset to read."""

    async def stop(self) -> None:
        """Disconnect; commit nothing more."""


class TransactionalPublisher:
    """Exactly once: one transaction a batch, under a transactional id that belongs to the lane, whichever worker runs
    it."""

    def __init__(
        self,
        options: Mapping[str, Any],
        *,
        group: str,
        transactional_id: str,
        timeout_ms: int,
        find_unended: Callable[[], Awaitable[HangingTransaction | None]] | None = None,
        committed: Callable[[], Awaitable[Offsets]] | None = None,
    ) -> None:
        """`find_unended` is asked, where it is given, once the former owner is fenced; `committed` says what the group
        has committed of the lane's inputs: without it a producer whose id Kafka has forgotten is not opened anew."""
        self._options, self._group, self._transactional_id = options, group, transactional_id
        self._timeout_ms, self.commit_s = timeout_ms, 0.0
        self._find_unended, self._committed = find_unended, committed
        self._last_committed: dict[TopicPartition, int] = {}
        self._producer = self._new_producer()

    def _new_producer(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            **self._options,
            transactional_id=self._transactional_id,
            transaction_timeout_ms=self._timeout_ms,
            acks="all",
            max_batch_size=BATCH_BYTES_MAX,
            max_request_size=REQUEST_BYTES_MAX,
            request_timeout_ms=self._timeout_ms,
            retry_backoff_ms=RETRY_WAIT_MS,
        )
        # how long it waits for one answer, where the setting above is its patience with all that belongs to a batch
        producer.client._request_timeout_ms = self._timeout_ms // ATTEMPTS_A_TRANSACTION
        return producer

    async def start(self) -> None:
        await self._producer.start()
        if self._committed is not None:
            self._last_committed |= await self._committed()
        if self._find_unended is not None and (unended := await self._find_unended()) is not None:
            await self._end(unended)

    async def _end(self, unended: HangingTransaction) -> None:
        """Tell all partitions once more how the former owner's transaction ended: by a transaction of our own."""
        producer = self._producer
        await producer.begin_transaction()
        for partition in unended.partitions:
            producer._txn_manager.maybe_add_partition_to_txn(partition)
        await producer.send_offsets_to_transaction(unended.offsets, self._group)
        await (producer.commit_transaction() if unended.was_committed else producer.abort_transaction())

    async def publish(self, outputs: Outputs, offsets: Offsets) -> Ends:
        try:
            # a producer retries for ever; beyond this time Kafka has aborted the transaction anyway
            async with asyncio.timeout(self._timeout_ms / 1000):
                try:
                    ends = await self._publish(outputs, offsets)
                except KafkaError as error:
                    if self._committed is None or not isinstance(cause_of(error), InvalidProducerIdMapping):
                        raise
                    await self._open_anew(self._committed)
                    ends = await self._publish(outputs, offsets)
                self._last_committed |= offsets
                return ends
        except TimeoutError as error:
            raise OutageError(
                f"Kafka did not finish a transaction within worker.transaction_timeout_ms = {self._timeout_ms}. "
                "Start the worker again once the broker is back: it goes on behind the last one that was committed."
            ) from error

    async def _open_anew(self, committed: Callable[[], Awaitable[Offsets]]) -> None:
        """Start a new producer under the same id, which Kafka forgets where nothing was published for its
        `transactional.id.expiration.ms` (7 days by default).

        It forgets the id, and whoever took over the lane meanwhile starts it afresh: the answer to us is the same. So
        the group's offsets decide, read once the new producer has fenced everybody else: where they are not those that
        we left there, another worker has gone on from them. Raises ProducerFenced then."""
        log.info("Kafka has forgotten the transactional id %s, which was not used for long", self._transactional_id)
        await stop_producer(self._producer)
        self._producer = self._new_producer()
        await self._producer.start()
        if {**await committed()} != self._last_committed:
            raise ProducerFenced

    async def _publish(self, outputs: Outputs, offsets: Offsets) -> Ends:
        producer = self._producer
        await producer.begin_transaction()
        try:
            ends = await _delivered(await _send(producer, outputs))
            began_s = time.perf_counter()
            # not while records are on their way: a broker that verifies the transaction for them refuses them then, to
            # be sent again later
            if offsets:  # none where only time has passed: outcomes that nobody can join any more
                await producer.send_offsets_to_transaction(dict(offsets), self._group)
            await producer.commit_transaction()
            self.commit_s = time.perf_counter() - began_s
        except BaseException:
            # Fenced or cut off, the abort fails too; whoever starts the lane next aborts it then. The first fault is
            # the one to tell.
            with contextlib.suppress(Exception):
                await asyncio.wait_for(producer.abort_transaction(), STOP_WAIT_S)
            raise
        return ends

    async def stop(self) -> None:
        await stop_producer(self._producer)


class AtLeastOncePublisher:
    """At least once: records first, offsets behind them, so that a crash in between publishes again and loses
    nothing."""

    def __init__(self, options: Mapping[str, Any], *, consumer: AIOKafkaConsumer, timeout_ms: int) -> None:
        # offsets are committed beside the batches, so that none waits for it
        self._consumer, self._timeout_ms, self.commit_s = consumer, timeout_ms, 0.0
        self._producer = AIOKafkaProducer(
            **options,
            enable_idempotence=True,
            acks="all",
            max_batch_size=BATCH_BYTES_MAX,
            max_request_size=REQUEST_BYTES_MAX,
            request_timeout_ms=timeout_ms,
            retry_backoff_ms=RETRY_WAIT_MS,
        )
        self._to_commit: dict[TopicPartition, int] = {}
        self._committing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._producer.start()

    async def publish(self, outputs: Outputs, offsets: Offsets) -> Ends:
        if self._committing is not None and self._committing.done():
            self._committing.result()  # a commit that failed is a fault of this lane
        try:
            async with asyncio.timeout(self._timeout_ms / 1000):
                ends = await _delivered(await _send(self._producer, outputs))
        except TimeoutError as error:
            raise OutageError(
                f"Kafka did not take a batch within worker.transaction_timeout_ms = {self._timeout_ms}. "
                "Start the worker again once the broker is back: the batch comes again."
            ) from error
        self._to_commit |= offsets
        # An offset commit waits behind the long-poll fetch on the consumer's connection: the next batch must not wait
        # for it
        if self._committing is None or self._committing.done():
            self._committing = asyncio.create_task(self._commit())
        return ends

    async def _commit(self) -> None:
        while self._to_commit:
            offsets, self._to_commit = self._to_commit, {}
            await self._consumer.commit(offsets)

    async def stop(self) -> None:
        if self._committing is not None:
            # the offsets are a courtesy to the next owner: it publishes again what they do not cover
            with contextlib.suppress(KafkaError, TimeoutError):
                await asyncio.wait_for(self._committing, STOP_WAIT_S)
        await stop_producer(self._producer)
