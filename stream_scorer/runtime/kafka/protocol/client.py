"""Sends single requests to coordinators and leaders, and asks again where that helps.

Invariant: an answer is given back only once it has no error that asking again could change; how often, and why, the
cluster had to be asked again is counted in `disturbances`.

It reaches into aiokafka 0.14, which is pinned for it: `send` on a node takes whatever has `prepare(versions)`.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from aiokafka import TopicPartition, errors
from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.protocol.api import RequestStruct
from aiokafka.protocol.offset import OffsetRequest

from stream_scorer.runtime.kafka.protocol.error_codes import (
    COORDINATOR_MOVED,
    LATER,
    NOT_AT_FAULT,
    REFUSED,
    RETRIABLE,
    SOON,
    error_for,
)
from stream_scorer.runtime.kafka.protocol.messages import ApiVersionsRequestV3, finalized_features

log = logging.getLogger(__name__)

SOON_WAIT_S: Final = 0.002
LATER_WAIT_S: Final = 0.02
CONNECT_WAIT_S: Final = 0.5
# From then on the log says what is waited for
TELL_AFTER_S: Final = 5.0
# A node that is away, or went away before it answered
LOST: Final = (
    errors.NodeNotReadyError,
    errors.RequestTimedOutError,
    errors.KafkaConnectionError,
    errors.KafkaTimeoutError,
    errors.CorrelationIdError,
    ConnectionError,
)
LATEST: Final = -1

T = TypeVar("T")

Coordinator = tuple[CoordinationType, str]


def transaction_coordinator(transactional_id: str) -> Coordinator:
    """Who decides the transactions under that id."""
    return CoordinationType.TRANSACTION, transactional_id


def group_coordinator(group: str) -> Coordinator:
    """Who keeps the offsets of that group."""
    return CoordinationType.GROUP, group


def by_topic(values: Mapping[TopicPartition, T]) -> list[tuple[str, list[T]]]:
    """The values of partitions, by topic, as requests carry them."""
    found: defaultdict[str, list[T]] = defaultdict(list)
    for partition, value in values.items():
        found[partition.topic].append(value)
    return list(found.items())


def tagged(topics: Iterable[tuple[str, list[T]]]) -> list[tuple[str, list[T], dict[int, bytes]]]:
    """The same for a request of a flexible version: with no tagged fields."""
    return [(topic, values, {}) for topic, values in topics]


class _Exactly:
    """A request in this version or none; aiokafka's own classes choose among versions."""

    def __init__(self, struct: RequestStruct) -> None:
        self._struct = struct

    def prepare(self, versions: Mapping[int, tuple[int, int]]) -> RequestStruct:
        low, high = versions.get(self._struct.API_KEY, (0, -1))
        if not low <= self._struct.API_VERSION <= high:
            name = type(self._struct).__name__
            raise errors.IncompatibleBrokerVersion(f"{name}: the broker knows versions {low} to {high}")
        return self._struct


class ProtocolClient:
    """Connections to a cluster. `request_timeout_ms`: how long one answer is waited for."""

    def __init__(self, options: Mapping[str, Any], *, request_timeout_ms: int) -> None:
        self._client = AIOKafkaClient(**options, request_timeout_ms=request_timeout_ms)
        self._coordinators: dict[Coordinator, int] = {}
        self._started: asyncio.Task[None] | None = None
        self.disturbances = 0

    async def start(self) -> None:
        """Connect, however long it takes. Any caller may call it at any time."""
        if self._started is None or (self._started.done() and self._started.exception()):
            self._started = asyncio.create_task(self._bootstrap())
        await asyncio.shield(self._started)

    async def _bootstrap(self) -> None:
        while True:
            try:
                await self._client.bootstrap()
            except LOST as error:
                log.warning("Kafka does not answer yet (%s); waiting for it", error)
                await asyncio.sleep(CONNECT_WAIT_S)
            else:
                return

    async def close(self) -> None:
        if self._started is not None:
            self._started.cancel()
            await asyncio.gather(self._started, return_exceptions=True)
            await self._client.close()

    async def features(self) -> dict[str, int]:
        """The features that the cluster has finalized, with their levels."""
        answer = await self.ask(
            None, ApiVersionsRequestV3("stream-scorer", "1", {}), lambda answer: [answer.error_code]
        )
        return finalized_features(answer)

    async def ask(self, whom: Coordinator | None, struct: RequestStruct, codes: Callable[[Any], Iterable[int]]) -> Any:
        """A coordinator's answer, or that of any node, once none of its error `codes` is worth asking again. Raises the
        exception of any other code."""
        began_s, told = time.monotonic(), False
        while True:
            wait_s, why = LATER_WAIT_S, ""
            try:
                node = self._client.get_random_node() if whom is None else await self._coordinator(whom)
                answer = await self._client.send(node, _Exactly(struct), group=ConnectionGroup.COORDINATION)
            except (*LOST, errors.CoordinatorNotAvailableError, errors.CoordinatorLoadInProgressError) as error:
                self._lost(whom)
                why = repr(error)
            else:
                found = set(codes(answer)) - NOT_AT_FAULT
                if not found:
                    return answer
                if fatal := found - RETRIABLE:
                    raise error_for(max(fatal), type(struct).__name__, whom[1] if whom is not None else "the cluster")
                if found & COORDINATOR_MOVED:
                    self._lost(whom)
                if found <= SOON:
                    wait_s = SOON_WAIT_S
                why = f"error {sorted(found)}"
            if not told and time.monotonic() - began_s > TELL_AFTER_S:
                told = True
                log.warning("%s %s is not answered yet: %s", type(struct).__name__, (whom and whom[1]) or "", why)
            await asyncio.sleep(wait_s)

    async def _coordinator(self, whom: Coordinator) -> int:
        if whom not in self._coordinators:
            try:
                self._coordinators[whom] = await self._client.coordinator_lookup(*whom)
            except REFUSED as error:
                raise type(error)(whom[1]) from error
        return self._coordinators[whom]

    def _lost(self, whom: Coordinator | None) -> None:
        self.disturbances += 1
        if whom is not None:
            self._coordinators.pop(whom, None)

    # Leaders of partitions

    async def leader(self, partition: TopicPartition) -> int | None:
        """The node that leads a partition, as far as is known; None where it has none."""
        await self._client._wait_on_metadata(partition.topic)
        return self.known_leader(partition)

    def known_leader(self, partition: TopicPartition) -> int | None:
        """The same without asking anybody."""
        node: int | None = self._client.cluster.leader_for_partition(partition)
        return None if node is None or node < 0 else node

    async def refresh(self) -> None:
        """Request the leaders again."""
        await self._client.force_metadata_update()

    async def send(self, node: int, struct: RequestStruct) -> Any:
        """One answer of a node. Raises any of `LOST`."""
        return await self._client.send(node, _Exactly(struct))

    async def wait_for_leaders(self, partitions: Iterable[TopicPartition]) -> None:
        """Return once each of these partitions has a leader."""
        for partition in partitions:
            began_s, told = time.monotonic(), False
            while await self.leader(partition) is None:
                if not told and time.monotonic() - began_s > TELL_AFTER_S:
                    told = True
                    log.warning("%s[%s] has no leader; waiting for one", partition.topic, partition.partition)
                await asyncio.sleep(10 * LATER_WAIT_S)
                await self.refresh()

    async def end_offsets(self, partitions: Iterable[TopicPartition], *, stable: bool) -> dict[TopicPartition, int]:
        """Where partitions end; `stable`: where the first transaction that is not decided begins, if there is one."""
        partitions = list(partitions)
        return dict(zip(partitions, await asyncio.gather(*(self._end(one, stable) for one in partitions)), strict=True))

    async def _end(self, partition: TopicPartition, stable: bool) -> int:
        request = OffsetRequest(-1, int(stable), [(partition.topic, [(partition.partition, LATEST)])])
        while True:
            if (node := await self.leader(partition)) is not None:
                try:
                    answer = await self._client.send(node, request)
                except LOST:
                    pass
                else:
                    _, code, _, offset, *_ = answer.topics[0][1][0]
                    if not code:
                        return int(offset)
                    if code not in LATER:
                        raise error_for(code, "ListOffsets", partition.topic)
            await asyncio.sleep(LATER_WAIT_S)
            await self.refresh()
