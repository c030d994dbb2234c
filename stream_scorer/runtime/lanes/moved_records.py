"""Which records of an input were moved to other partitions of it, as far as the ends of these tell.

Invariant: a lane is answered by a look that began after it had asked, when its former owner was fenced. Lanes that ask
at the same time share a look, so that what it costs does not grow with the square of their number.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from stream_scorer.core.records.output_sources import HighestMoves, highest_moves
from stream_scorer.core.records.record import ConsumedRecord
from stream_scorer.runtime.kafka.partition_span import records_between, span_consumer

# Moves lie among other producers' records: no more than this is looked through in each partition
TAIL_RECORDS: Final = 10_000


class MovedRecords:
    """One for all lanes of a worker. `options`: how to connect, as any Kafka client; `partitions`: of each topic."""

    def __init__(self, options: Mapping[str, Any], partitions: int) -> None:
        self._options, self._partitions = options, partitions
        self._next: dict[str, asyncio.Task[HighestMoves]] = {}
        self._looking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def highest(self, partition: TopicPartition) -> tuple[int, ConsumedRecord] | None:
        """The highest offset of the partition whose record was moved, and its copy. Raises KafkaError."""
        look = self._next.get(partition.topic)
        if look is None:
            look = self._next[partition.topic] = asyncio.create_task(self._look(partition.topic))
            look.add_done_callback(_retrieve)
        return (await asyncio.shield(look)).get(partition.partition)

    async def _look(self, topic: str) -> HighestMoves:
        async with self._looking[topic]:
            del self._next[topic]  # whoever asks from now on needs a later look
            consumer = span_consumer(self._options)
            await consumer.start()
            try:
                return await self._read(consumer, [TopicPartition(topic, number) for number in range(self._partitions)])
            finally:
                await consumer.stop()

    async def _read(self, consumer: AIOKafkaConsumer, partitions: list[TopicPartition]) -> HighestMoves:
        consumer.assign(partitions)
        begins, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
        highest: HighestMoves = {}
        for one in partitions:
            low = max(begins[one], ends[one] - TAIL_RECORDS)
            async for records in records_between(consumer, one, low, ends[one]):
                for origin, found in highest_moves(records, one.partition).items():
                    if origin not in highest or found[0] > highest[origin][0]:
                        highest[origin] = found
        return highest


def _retrieve(look: asyncio.Task[HighestMoves]) -> None:
    """Whoever asked may have been cancelled meanwhile."""
    if not look.cancelled():
        look.exception()
