"""At least once: records first, offsets behind them.

Invariant: no offset is committed before every record of its batch is; a crash in between publishes again.

It reaches into aiokafka 0.14, which is pinned for it: for record batches filled past their own `append`.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from stream_scorer.errors import OutageError
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
from stream_scorer.runtime.publishing.publisher import Offsets


class AtLeastOncePublisher:
    """A lane's own producer, and its offsets through the worker's consumer."""

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

    def announce(self) -> None:
        """Nobody waits for it: each lane has a producer of its own."""

    async def publish(self, outputs: Outputs, offsets: Offsets) -> Ends:
        if self._committing is not None and self._committing.done():
            self._committing.result()  # a commit that failed is a fault of this lane
        try:
            async with asyncio.timeout(self._timeout_ms / 1000):
                ends = await _delivered(await _send(self._producer, outputs))
        except TimeoutError as error:
            raise OutageError(
                f"Kafka did not take a batch within worker.transaction_timeout_ms = {self._timeout_ms}. "
                "Start the worker again once the broker is back: Kafka delivers the batch again."
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
