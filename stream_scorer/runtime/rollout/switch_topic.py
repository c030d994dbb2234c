"""The last switch of a lane, as its topic tells it.

Invariant: to be asked once the lane's former owner is fenced, and nothing of it is undecided.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from aiokafka import TopicPartition

from stream_scorer.core.records.model_switch import ModelSwitch, decode_switch
from stream_scorer.runtime.kafka.partition_span import records_between, span_consumer, value_of

TAIL_RECORDS: Final = 100
TAIL_GROWTH: Final = 4


class SwitchTopic:
    """Reads backwards from a partition's end, with one consumer for all lanes."""

    def __init__(self, options: Mapping[str, Any], topic: str) -> None:
        self.topic = topic
        self._consumer = span_consumer(options)
        self._lock = asyncio.Lock()

    async def start(self) -> None:
        await self._consumer.start()

    async def last(self, partition: int) -> ModelSwitch | None:
        """The lane's last switch record; None where it has none."""
        one = TopicPartition(self.topic, partition)
        async with self._lock:
            self._consumer.assign([one])
            begin = (await self._consumer.beginning_offsets([one]))[one]
            high, size = (await self._consumer.end_offsets([one]))[one], TAIL_RECORDS
            while high > begin:
                low = max(begin, high - size)
                found: ModelSwitch | None = None
                async for records in records_between(self._consumer, one, low, high):
                    for record in records:
                        switch = decode_switch(value_of(record))
                        if switch is not None and switch.partition == partition:
                            found = switch
                if found is not None:
                    return found
                high, size = low, size * TAIL_GROWTH
        return None

    async def stop(self) -> None:
        await self._consumer.stop()
