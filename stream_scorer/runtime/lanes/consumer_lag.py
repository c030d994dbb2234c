"""What waits in Kafka for the lanes, whether or not anybody reads it: while they are opened, while the brake on dead
letters pauses consumption, while Kafka brings nothing.

Invariant: gauges look here, and the check whether what is read next is still there; where a lane reads on it looks up
for itself, and not before its predecessor is fenced.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from stream_scorer.runtime.kafka.batch_fetch import highwater, next_offset
from stream_scorer.runtime.lanes.position_check import PositionCheck, Reached

# One small request for all inputs of a worker; alerts on what it tells wait for a minute and more
LOOK_EVERY_S = 2.0


class Seen(NamedTuple):
    """At that moment (of the monotonic clock) every offset before `end` was taken."""

    at_s: float
    end: int


class ConsumerLag:
    """Where the inputs end, asked every now and then, beside the place that the consumer has come to: what the group
    committed last until a lane seeks its own."""

    def __init__(
        self, consumer: AIOKafkaConsumer, reached: Callable[[], Mapping[TopicPartition, Reached]], check: PositionCheck
    ) -> None:
        self._consumer, self._reached, self._check = consumer, reached, check
        self._ends: dict[TopicPartition, int] = {}
        self._seen: dict[TopicPartition, Seen] = {}

    async def watch(self, inputs: Callable[[], Collection[TopicPartition]]) -> None:
        """Look until cancelled. Raises `OffsetsError` where an input ends below what was read of it."""
        while True:
            with contextlib.suppress(KafkaError, TimeoutError, OSError):  # away, or partitions go: the next look tells
                await self.look(inputs())
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self, inputs: Collection[TopicPartition]) -> None:
        """Ask where these inputs begin and end, and forget all others. Raises `KafkaError`, `OffsetsError`."""
        reached = self._reached()  # before Kafka is asked: what is read meanwhile may lie beyond its answer
        begins, self._ends = (
            await asyncio.gather(self._consumer.beginning_offsets(inputs), self._consumer.end_offsets(inputs))
            if inputs
            else ({}, {})
        )
        self._check.compare(reached, begins, self._ends)
        now_s = time.monotonic()
        ends = {partition: self._end(partition, asked) for partition, asked in self._ends.items()}
        waiting = {partition: seen for partition, seen in self._seen.items() if self._waits(partition, seen)}
        self._seen = {partition: waiting.get(partition) or Seen(now_s, end) for partition, end in ends.items()}

    def unread(self, partition: TopicPartition) -> int:
        """Records of an input that were published and not read, as far as is known; 0 where nothing is."""
        position = next_offset(self._consumer, partition)
        return max(0, self._end(partition, self._ends.get(partition, 0)) - position) if position is not None else 0

    def waits_s(self, partition: TopicPartition) -> float:
        """For how long at least the next record to be read has been there; 0 where none is known to be."""
        seen = self._seen.get(partition)
        return time.monotonic() - seen.at_s if seen is not None and self._waits(partition, seen) else 0.0

    def _end(self, partition: TopicPartition, asked: int) -> int:
        # what was asked is older than the last fetch, but a partition that is not read is not fetched either
        return max(asked, highwater(self._consumer, partition) or 0)

    def _waits(self, partition: TopicPartition, seen: Seen) -> bool:
        """Whether the record that is read next was there already when that was seen."""
        position = next_offset(self._consumer, partition)
        return position is not None and position < seen.end
