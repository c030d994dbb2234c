"""The evidence of all lanes, followed as it is written.

Invariant: of each lane and pair only the last committed record is kept, and each record is read once.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from stream_scorer.core.records.model_control import EvidencePosition
from stream_scorer.core.records.model_evidence import ModelEvidence, decode_evidence
from stream_scorer.core.rollout.evidence import EvidenceCounts, evidence_of, total_evidence
from stream_scorer.core.rollout.evidence_counter import ModelPair, pair_of
from stream_scorer.runtime.kafka.batch_fetch import read
from stream_scorer.runtime.kafka.partition_span import value_of
from stream_scorer.runtime.rollout.evidence_topic import TAIL_OFFSETS_MAX

READ_WAIT_S: Final = 1.0
RECORDS_MAX: Final = 1_000


class EvidenceFollower:
    """Nothing is connected before the first `follow`, and nothing after `close`, which forgets what was read."""

    def __init__(self, options: Mapping[str, Any], topic: str, partitions: int) -> None:
        self._options = options
        self._partitions = [TopicPartition(topic, number) for number in range(partitions)]
        self._consumer: AIOKafkaConsumer | None = None
        self._closing: asyncio.Future[None] | None = None
        self._last: dict[ModelPair, dict[int, tuple[int, ModelEvidence]]] = {}

    async def follow(self) -> bool:
        """Read on, for a second at most; whether anything came. The first time all that is there, as far back as lanes
        look themselves. Raises KafkaError."""
        if self._consumer is not None:
            return await self._read(self._consumer)
        self._consumer = consumer = AIOKafkaConsumer(
            **self._options, isolation_level="read_committed", enable_auto_commit=False, auto_offset_reset="earliest"
        )
        await consumer.start()
        consumer.assign(self._partitions)
        begins = await consumer.beginning_offsets(self._partitions)
        ends = await consumer.end_offsets(self._partitions)
        for one in self._partitions:
            consumer.seek(one, max(begins[one], ends[one] - TAIL_OFFSETS_MAX))
        for one in self._partitions:
            while await consumer.position(one) < ends[one]:
                await self._read(consumer)
        return True

    async def _read(self, consumer: AIOKafkaConsumer) -> bool:
        taken = await read(consumer, self._partitions, timeout_s=READ_WAIT_S, records_max=RECORDS_MAX)
        came = False
        for one, records in taken.items():
            for record in records:
                evidence = decode_evidence(value_of(record))
                if evidence is not None and evidence.partition == one.partition:
                    pair = pair_of(evidence.champion, evidence.candidate)
                    self._last.setdefault(pair, {})[one.partition] = record.offset, evidence
                    came = True
        return came

    def total(self, pair: ModelPair) -> EvidenceCounts:
        """What all lanes have counted for a pair, as far as was read."""
        return total_evidence([evidence_of(evidence) for _, evidence in self._last.get(pair, {}).values()])

    def positions(self, pair: ModelPair) -> tuple[EvidencePosition, ...]:
        """Where the records that `total` adds up stand."""
        lanes = self._last.get(pair, {})
        return tuple(EvidencePosition(partition, lanes[partition][0]) for partition in sorted(lanes))

    async def close(self) -> None:
        """Let go of the connection, if there is one, and of what was read."""
        consumer, self._consumer = self._consumer, None
        self._last = {}
        if consumer is not None:
            self._closing = asyncio.ensure_future(consumer.stop())
        if self._closing is not None:
            # on its own: the client's end would swallow the cancellation of whoever waits for it
            await asyncio.shield(self._closing)
