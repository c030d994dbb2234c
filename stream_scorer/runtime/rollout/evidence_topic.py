"""The last evidence records of a lane, as its topic tells them.

Invariant: to be asked once the lane's former owner is fenced. Nothing is connected before a lane with candidates asks.
"""

import asyncio
from collections.abc import Mapping, Set
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from stream_scorer.core.records.model_evidence import ModelEvidence, decode_evidence
from stream_scorer.core.rollout.evidence_counter import ModelPair, pair_of
from stream_scorer.runtime.kafka.partition_span import records_between, span_consumer, value_of

TAIL_OFFSETS: Final = 100
TAIL_GROWTH: Final = 4
# As far back as operators' commands look: a pair whose last record lies before is counted anew
TAIL_OFFSETS_MAX: Final = 5_000


class EvidenceTopic:
    """Reads backwards from a partition's end, with one consumer for all lanes."""

    def __init__(self, options: Mapping[str, Any], topic: str) -> None:
        self.topic = topic
        self._options = options
        self._consumer: AIOKafkaConsumer | None = None
        self._lock = asyncio.Lock()

    async def last(self, partition: int, pairs: Set[ModelPair]) -> dict[ModelPair, ModelEvidence]:
        """The lane's last record of each pair, without those that have none; what nobody of us wrote is passed over."""
        one = TopicPartition(self.topic, partition)
        found: dict[ModelPair, ModelEvidence] = {}
        async with self._lock:
            consumer = await self._connected()
            consumer.assign([one])
            high, size = (await consumer.end_offsets([one]))[one], TAIL_OFFSETS
            begin = max((await consumer.beginning_offsets([one]))[one], high - TAIL_OFFSETS_MAX)
            while high > begin and found.keys() != pairs:
                low = max(begin, high - size)
                later = dict(found)
                async for records in records_between(consumer, one, low, high):
                    for record in records:
                        evidence = decode_evidence(value_of(record))
                        if evidence is None or evidence.partition != partition:
                            continue
                        pair = pair_of(evidence.champion, evidence.candidate)
                        if pair in pairs:
                            found[pair] = evidence
                found |= later
                high, size = low, size * TAIL_GROWTH
        return found

    async def _connected(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = span_consumer(self._options)
            await consumer.start()
            self._consumer = consumer
        return self._consumer

    async def stop(self) -> None:
        """Let go of the connection, if there is one."""
        if self._consumer is not None:
            await self._consumer.stop()
