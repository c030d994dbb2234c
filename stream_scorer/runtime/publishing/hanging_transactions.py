"""Transactions that Kafka decided and forgot to end in some partition.

Invariant: such a transaction ends as it was decided. Who decided it is asked first, before its id is initialised; where
it does not know any more, what the group has committed tells.

Initialising a transactional id has its transaction aborted, or finds it decided; but Kafka 4.1 to 4.4 forgets to tell
partitions that have no leader at that moment (KAFKA-20734), as those of a broker that comes back after a while. Nobody
could read behind its records then, and the next transaction of the same producer would take them with it. So whoever
initialises an id looks for its records in every partition that a worker may write to, whosever lane that is.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec
from aiokafka import TopicPartition, errors
from aiokafka.protocol.fetch import FetchRequest_v4
from aiokafka.protocol.transaction import AddOffsetsToTxnRequest_v0, AddPartitionsToTxnRequest_v0, EndTxnRequest_v0
from aiokafka.record.memory_records import MemoryRecords

from stream_scorer.core.records.dead_letter_headers import SOURCE
from stream_scorer.core.records.decode import decode_or_none
from stream_scorer.core.records.input_reference import decode_source, decode_topic_source
from stream_scorer.core.records.record import MOVED_FROM, Source, last_header
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.kafka.protocol.client import (
    LOST,
    ProtocolClient,
    by_topic,
    group_coordinator,
    tagged,
    transaction_coordinator,
)
from stream_scorer.runtime.kafka.protocol.error_codes import LATER, ErrorCode, error_for
from stream_scorer.runtime.kafka.protocol.messages import DescribeProducersRequestV0, OffsetFetchRequestV7
from stream_scorer.runtime.publishing.producer_identity import ProducerIdentity, initialise

log = logging.getLogger(__name__)

FETCH_WAIT_MS: Final = 50
FETCH_BYTES_MAX: Final = 4 * 1024 * 1024
READ_AGAIN_S: Final = 0.05
# Markers are written within milliseconds of a decision
OFFSETS_WAIT_S: Final = 1.0


class OpenTransaction(NamedTuple):
    """A producer's transaction that has no end in a partition, and where its first record there lies."""

    partition: TopicPartition
    producer_id: int
    start_offset: int


class OpenTransactions(NamedTuple):
    """What was found, and which partitions could not be looked at, as they have no leader."""

    open: list[OpenTransaction]
    unseen: frozenset[TopicPartition]


async def find_open(client: ProtocolClient, partitions: Collection[TopicPartition]) -> OpenTransactions:
    """The open transactions of all producers in these partitions. A broker before Kafka 2.8 does not say: nothing is
    found then."""
    by_leader: defaultdict[int, dict[TopicPartition, int]] = defaultdict(dict)
    unseen: set[TopicPartition] = set()
    for partition in partitions:
        if (node := await client.leader(partition)) is None:
            unseen.add(partition)
        else:
            by_leader[node][partition] = partition.partition
    answers = await asyncio.gather(*(_describe(client, node, found) for node, found in by_leader.items()))
    found: list[OpenTransaction] = []
    for asked, answer in zip(by_leader.values(), answers, strict=True):
        if answer is None:
            unseen.update(asked)
            continue
        for topic, described, _ in answer.topics:
            for number, code, _message, producers, _tags in described:
                partition = TopicPartition(topic, number)
                if code in LATER:
                    unseen.add(partition)
                elif code:
                    raise error_for(code, "DescribeProducers", topic)
                found += [OpenTransaction(partition, one[0], one[5]) for one in producers if one[5] >= 0]
    return OpenTransactions(found, frozenset(unseen))


async def _describe(client: ProtocolClient, node: int, partitions: Mapping[TopicPartition, int]) -> Any | None:
    try:
        return await client.send(node, DescribeProducersRequestV0(tagged(by_topic(partitions)), {}))
    except LOST:
        return None


class HangingTransactions:
    """Finds and ends what hangs under ids that this worker has initialised. `partitions`: all that a worker may write
    to, of every lane."""

    def __init__(
        self,
        client: ProtocolClient,
        *,
        group: str,
        names: TopicNames,
        partitions: Collection[TopicPartition],
        timeout_ms: int,
    ) -> None:
        self._client, self._group, self._names = client, group, names
        self._partitions, self._timeout_ms = partitions, timeout_ms

    async def end(self, producers: Collection[ProducerIdentity]) -> frozenset[TopicPartition]:
        """End what hangs under these identities, none of which may be in use; they are initialised anew where that was
        so. Gives the partitions that could not be looked at."""
        by_id = {producer.id: producer for producer in producers}
        try:
            looked = await find_open(self._client, self._partitions)
        except errors.IncompatibleBrokerVersion:
            return frozenset()
        hanging: defaultdict[int, list[OpenTransaction]] = defaultdict(list)
        for one in looked.open:
            if one.producer_id in by_id:
                hanging[one.producer_id].append(one)
        for producer_id, found in hanging.items():
            producer = by_id[producer_id]
            was_committed = producer.was_committed
            if was_committed is None:
                was_committed = await self._was_committed(found)
            await self._end(producer, found, was_committed)
        if await self._offsets_hang():
            for producer in producers:
                if producer.was_committed is not None and producer.id not in hanging:
                    await self._end(producer, [], producer.was_committed)
        return looked.unseen

    async def _end(self, producer: ProducerIdentity, found: Collection[OpenTransaction], was_committed: bool) -> None:
        """End it by a transaction of our own over the same partitions: its end is theirs."""
        log.warning(
            "Kafka has not ended a transaction of %s in %s: it is %s now",
            producer.transactional_id,
            ", ".join(f"{one.partition.topic}[{one.partition.partition}]" for one in found) or "the group's offsets",
            "committed, as it was decided" if was_committed else "aborted",
        )
        whom = transaction_coordinator(producer.transactional_id)
        as_whom = producer.transactional_id, producer.id, producer.epoch
        if found:
            await self._client.ask(
                whom,
                AddPartitionsToTxnRequest_v0(
                    *as_whom, by_topic({one.partition: one.partition.partition for one in found})
                ),
                lambda answer: [code for _, results in answer.errors for _, code in results],
            )
        await self._client.ask(
            whom, AddOffsetsToTxnRequest_v0(*as_whom, self._group), lambda answer: [answer.error_code]
        )
        await self._client.ask(whom, EndTxnRequest_v0(*as_whom, was_committed), lambda answer: [answer.error_code])
        fresh = await initialise(self._client, producer.transactional_id, self._timeout_ms)
        producer.renew(fresh.id, fresh.epoch)

    async def _offsets_hang(self) -> bool:
        """Whether some input's offsets stay undecided for longer than a sound transaction's do."""
        waiting = {one for one in self._partitions if one.topic in (self._names.observations, self._names.outcomes)}
        deadline = time.monotonic() + OFFSETS_WAIT_S
        while waiting:
            answer = await self._client.ask(
                group_coordinator(self._group),
                OffsetFetchRequestV7(self._group, tagged(by_topic({one: one.partition for one in waiting})), True, {}),
                lambda answer: [answer.error_code],
            )
            waiting = {
                TopicPartition(topic, number)
                for topic, found, _ in answer.topics
                for number, _, _, _, code, *_ in found
                if code == ErrorCode.UNSTABLE_OFFSET_COMMIT
            }
            if waiting and time.monotonic() > deadline:
                return True
            if waiting:
                await asyncio.sleep(READ_AGAIN_S)
        return False

    async def _was_committed(self, found: Iterable[OpenTransaction]) -> bool:
        """What its records tell, where the coordinator remembers nothing of it. An outcome that waited is answered with
        an offset of long ago: a transaction was not committed if one of its records comes of an input that is not
        committed."""
        sources = {source for one in found for source in await self._sources(one)}
        committed = await self._committed({partition for partition, _ in sources})
        return not any(offset >= committed[partition] for partition, offset in sources)

    async def _committed(self, inputs: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        asked = by_topic({input_: input_.partition for input_ in inputs})
        answer = await self._client.ask(
            group_coordinator(self._group),
            OffsetFetchRequestV7(self._group, tagged(asked), True, {}),
            lambda answer: [answer.error_code, *(one[4] for _, found, _ in answer.topics for one in found)],
        )
        return {TopicPartition(topic, one[0]): max(0, one[1]) for topic, found, _ in answer.topics for one in found}

    async def _sources(self, hanging: OpenTransaction) -> list[tuple[TopicPartition, int]]:
        """The inputs that its records name."""
        sources: list[tuple[TopicPartition, int]] = []
        offset, partition = hanging.start_offset, hanging.partition
        end = (await self._client.end_offsets([partition], stable=False))[partition]
        while offset < end:
            wanted = [(partition.topic, [(partition.partition, offset, FETCH_BYTES_MAX)])]
            request = FetchRequest_v4(-1, FETCH_WAIT_MS, 1, FETCH_BYTES_MAX, 0, wanted)
            before = offset
            try:
                node = await self._client.leader(partition)
                answer = await self._client.send(node if node is not None else -1, request)
            except LOST:
                await self._client.refresh()
            else:
                batches = MemoryRecords(answer.topics[0][1][0][5])
                while (batch := batches.next_batch()) is not None:
                    if batch.next_offset <= offset:
                        continue
                    if batch.producer_id == hanging.producer_id and not batch.is_control_batch:
                        sources += self._sources_of(partition, batch)
                    offset = batch.next_offset
            if offset == before:
                await asyncio.sleep(READ_AGAIN_S)
        return sources

    def _sources_of(self, partition: TopicPartition, records: Iterable[Any]) -> Iterator[tuple[TopicPartition, int]]:
        names = self._names
        for record in records:
            if partition.topic == names.dead_letters:
                letter = decode_or_none(decode_topic_source, last_header(record.headers, SOURCE))
                if letter is not None:
                    yield TopicPartition(letter.topic, letter.partition), letter.offset
            elif partition.topic in (names.observations, names.outcomes):
                moved = decode_or_none(decode_source, last_header(record.headers, MOVED_FROM))
                if moved is not None:
                    yield TopicPartition(partition.topic, moved.partition), moved.offset
            elif (sourced := decode_or_none(_decode_sourced, record.value)) is not None:
                topic = names.observations if partition.topic == names.predictions else names.outcomes
                yield TopicPartition(topic, sourced.source.partition), sourced.source.offset


class _Sourced(msgspec.Struct):
    source: Source


_decode_sourced: Final = msgspec.json.Decoder(_Sourced).decode
