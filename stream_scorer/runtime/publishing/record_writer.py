"""Writes record batches to the leaders of their partitions, with a producer's sequence numbers.

Invariant: a batch is sent again until Kafka has said yes to it, with the same bytes and sequence numbers, so that
nothing is written twice and the batches of a partition keep their order.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple

from aiokafka import TopicPartition
from aiokafka.protocol.produce import ProduceRequest_v7

from stream_scorer.runtime.kafka.protocol.client import (
    LATER_WAIT_S,
    LOST,
    SOON_WAIT_S,
    ProtocolClient,
    by_topic,
    tagged,
)
from stream_scorer.runtime.kafka.protocol.error_codes import RETRIABLE, SOON, ErrorCode, error_for
from stream_scorer.runtime.kafka.protocol.messages import ProduceRequestV12
from stream_scorer.runtime.publishing.producer_identity import ProducerIdentity
from stream_scorer.runtime.publishing.transaction import LaneBatch, RecordBatch

ALL_REPLICAS: Final = -1
REQUEST_BYTES_MAX: Final = 16 * 1024 * 1024
# A broker remembers so many batches of a producer in a partition, to tell one that is sent again from a new one
IN_FLIGHT_MAX: Final = 5


class PartitionsUnavailableError(Exception):
    """Some partitions have had no leader for too long, while others are fine. Caught by the committer, which goes on
    without the lanes that write to them."""

    def __init__(self, partitions: Collection[TopicPartition]) -> None:
        super().__init__(", ".join(f"{one.topic}[{one.partition}]" for one in partitions))
        self.partitions = frozenset(partitions)


class _Packed(NamedTuple):
    """A record batch as it goes to Kafka, each time it is sent."""

    batch: RecordBatch
    lane: LaneBatch
    bytes: bytes


def first_of_each(packed: list[_Packed], count: int) -> list[_Packed]:
    """Of each partition the first so many batches, in their order."""
    seen: Counter[TopicPartition] = Counter()
    found = []
    for one in packed:
        seen[one.batch.partition] += 1
        if seen[one.batch.partition] <= count:
            found.append(one)
    return found


class RecordWriter:
    """Writes the records of lanes. `stall_s`: how long a partition may be without a leader before the others go on
    without it, where `elsewhere` tells that any partition has one, other than these; `implicit`: Kafka adds partitions
    to a transaction by itself."""

    def __init__(
        self,
        client: ProtocolClient,
        *,
        timeout_ms: int,
        stall_s: float,
        elsewhere: Callable[[Collection[TopicPartition]], bool],
        implicit: bool,
    ) -> None:
        self._client, self._timeout_ms, self._stall_s = client, timeout_ms, stall_s
        self._elsewhere, self._implicit = elsewhere, implicit

    async def write(self, producer: ProducerIdentity, lanes: Iterable[LaneBatch]) -> None:
        """Return once Kafka has all records. Raises `PartitionsUnavailableError`, and what fences."""
        left = [_Packed(batch, lane, batch.bytes_of(producer)) for lane in lanes for batch in lane.batches]
        refused: list[_Packed] = []
        refused_since_s = 0.0
        while left:
            wave = first_of_each(left, IN_FLIGHT_MAX)
            refused = await self._send_all(producer, wave, again=bool(refused))
            done = set(map(id, wave)) - set(map(id, refused))
            left = [one for one in left if id(one) not in done]
            refused_since_s = (refused_since_s or time.monotonic()) if refused else 0.0
            partitions = list({one.batch.partition for one in refused})
            if refused and time.monotonic() - refused_since_s > self._stall_s and self._elsewhere(partitions):
                raise PartitionsUnavailableError(partitions)

    async def _send_all(self, producer: ProducerIdentity, packed: list[_Packed], *, again: bool) -> list[_Packed]:
        """Send batches, those of one partition in their order; gives those to be sent again."""
        # by round and leader: a request takes one batch of a partition
        requests: dict[tuple[int, int], dict[TopicPartition, _Packed]] = {}
        bytes_: Counter[tuple[int, int]] = Counter()
        rounds: Counter[TopicPartition] = Counter()
        left: list[_Packed] = []
        for one in packed:
            partition = one.batch.partition
            if (node := await self._client.leader(partition)) is None:
                left.append(one)
                continue
            while bytes_[key := (rounds[partition], node)] + len(one.bytes) > REQUEST_BYTES_MAX and bytes_[key]:
                rounds[partition] += 1
            requests.setdefault(key, {})[partition] = one
            bytes_[key] += len(one.bytes)
            rounds[partition] += 1
        in_order = sorted(requests.items(), key=lambda request: request[0])
        refused = await asyncio.gather(
            *(self._send(producer, node, found, later=again or round_ > 0) for (round_, node), found in in_order)
        )
        soon = True
        again_ids: set[int] = set()
        for found, is_soon in refused:
            again_ids.update(id(one) for one in found)
            soon = soon and is_soon
        if left or again_ids:
            if left or not soon:
                self._client.disturbances += 1
                await asyncio.sleep(LATER_WAIT_S)
                await self._client.refresh()
            else:
                await asyncio.sleep(SOON_WAIT_S)
        unsent = set(map(id, left)) | again_ids
        return [one for one in packed if id(one) in unsent]

    async def _send(
        self, producer: ProducerIdentity, node: int, packed: Mapping[TopicPartition, _Packed], *, later: bool
    ) -> tuple[list[_Packed], bool]:
        """What one node refused and is to be sent again, and whether soon. `later`: not the first that was sent of its
        partition, so that one before it may be missing yet."""
        # without a transactional id nothing is part of a transaction
        head = producer.transactional_id or None, ALL_REPLICAS, self._timeout_ms
        try:
            if self._implicit:
                fields: dict[TopicPartition, Any] = {
                    partition: (partition.partition, one.bytes, {}) for partition, one in packed.items()
                }
                answer = await self._client.send(node, ProduceRequestV12(*head, tagged(by_topic(fields)), {}))
            else:
                fields = {partition: (partition.partition, one.bytes) for partition, one in packed.items()}
                answer = await self._client.send(node, ProduceRequest_v7(*head, by_topic(fields)))
        except LOST:
            return list(packed.values()), False
        refused, soon = [], True
        for topic, partitions, *_ in answer.topics:
            for number, code, offset, *_more in partitions:
                one = packed[TopicPartition(topic, number)]
                if code in (ErrorCode.NONE, ErrorCode.DUPLICATE_SEQUENCE_NUMBER):  # the latter: Kafka has had it
                    one.lane.note_end(one.batch, offset)
                elif code in RETRIABLE or (later and code == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER):
                    refused.append(one)
                    soon = soon and code in SOON
                else:
                    raise error_for(code, "Produce", topic)
        return refused, soon
