"""At least once: records first, offsets behind them.

Invariant: no offset is committed before every record of its batch is; a crash in between publishes again.

Records go out as those of transactions do, several batches of a partition at once: aiokafka's own producer waits for
each of them before it sends the next.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from stream_scorer.errors import OutageError
from stream_scorer.runtime.kafka.protocol.client import ProtocolClient
from stream_scorer.runtime.kafka.record_batches import STOP_WAIT_S, Ends, Outputs
from stream_scorer.runtime.publishing.producer_identity import ProducerIdentity, idempotent
from stream_scorer.runtime.publishing.publisher import Offsets
from stream_scorer.runtime.publishing.record_writer import RecordWriter
from stream_scorer.runtime.publishing.transaction import LaneBatch

# An answer that is lost must leave time to ask again before the time is over
ATTEMPTS: Final = 4


class AtLeastOncePublisher:
    """A lane's own producer, and its offsets through the worker's consumer."""

    def __init__(self, options: Mapping[str, Any], *, consumer: AIOKafkaConsumer, timeout_ms: int) -> None:
        # offsets are committed beside the batches, so that none waits for it
        self._consumer, self._timeout_ms, self.commit_s = consumer, timeout_ms, 0.0
        self._client = ProtocolClient(options, request_timeout_ms=timeout_ms // ATTEMPTS)
        self._records = RecordWriter(
            self._client,
            timeout_ms=timeout_ms // ATTEMPTS,
            stall_s=timeout_ms / 1000,
            elsewhere=lambda partitions: False,  # the lane is alone here
            implicit=False,
        )
        self._producer: ProducerIdentity | None = None
        self._to_commit: dict[TopicPartition, int] = {}
        self._committing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._client.start()
        self._producer = await idempotent(self._client)

    def announce(self) -> None:
        """Nobody waits for it: each lane has a producer of its own."""

    async def publish(self, outputs: Outputs, offsets: Offsets) -> Ends:
        assert self._producer is not None, "start() comes first"
        if self._committing is not None and self._committing.done():
            self._committing.result()  # a commit that failed is a fault of this lane
        batch = LaneBatch(self, outputs, offsets, transactional=False)
        try:
            async with asyncio.timeout(self._timeout_ms / 1000):
                await self._records.write(self._producer, [batch])
        except TimeoutError as error:
            raise OutageError(
                f"Kafka did not take a batch within worker.transaction_timeout_ms = {self._timeout_ms}. "
                "Start the worker again once the broker is back: Kafka delivers the batch again."
            ) from error
        self._to_commit |= offsets
        # An offset commit may wait for a while at the group's coordinator: the next batch must not wait for it
        if self._committing is None or self._committing.done():
            self._committing = asyncio.create_task(self._commit())
        return batch.ends

    async def _commit(self) -> None:
        while self._to_commit:
            offsets, self._to_commit = self._to_commit, {}
            await self._consumer.commit(offsets)

    async def stop(self) -> None:
        if self._committing is not None:
            # the offsets are a courtesy to the next owner: it publishes again what they do not cover
            with contextlib.suppress(KafkaError, TimeoutError):
                await asyncio.wait_for(self._committing, STOP_WAIT_S)
        await self._client.close()
