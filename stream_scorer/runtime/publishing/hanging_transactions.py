"""A transaction that a lane's former owner began and that has no end.

Invariant: it ends as it was decided: committed where its offsets were committed, aborted where they were not.

Whoever starts a lane's producer has its former owner's transaction aborted, or finds it decided; but Kafka 4.1 to 4.4
forgets to tell partitions that have no leader at that moment (KAFKA-20734), as those of a broker that comes back after
a while. Their records would then be taken for a part of the next transaction, and be committed with it.
"""

import logging
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from typing import Any, Final, NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from stream_scorer.core.records.dead_letter_headers import SOURCE
from stream_scorer.core.records.decode import Offset, decode_or_none
from stream_scorer.core.records.record import Source, last_header
from stream_scorer.runtime.cluster.topic_admin import TopicNames

log = logging.getLogger(__name__)

POLL_MS: Final = 50


class HangingTransaction(NamedTuple):
    """What has no end, and how it must end. `partitions`: where its records may lie; `offsets`: the group's as they
    are, for each input partition of the lane."""

    partitions: tuple[TopicPartition, ...]
    offsets: dict[TopicPartition, int]
    was_committed: bool


class _Sourced(msgspec.Struct):
    source: Source


class _LetterSource(msgspec.Struct):
    topic: str
    offset: Offset


_decode_sourced: Final = msgspec.json.Decoder(_Sourced).decode
_decode_letter_source: Final = msgspec.json.Decoder(_LetterSource).decode


async def find_unended(
    options: Mapping[str, Any], *, group: str, names: TopicNames, partition: int, partitions: int
) -> HangingTransaction | None:
    """What the lane's former owner left without an end; None where there is nothing, as nearly always. To be asked once
    that one is fenced: nobody writes to the lane's outputs then."""
    outputs = [
        TopicPartition(topic, partition) for topic in (names.predictions, names.outcome_updates, names.dead_letters)
    ]
    inputs = [TopicPartition(topic, partition) for topic in (names.observations, names.outcomes)]
    async with AsyncExitStack() as stack:
        stable, all_ = [
            await _started(stack, options, group_id=group, isolation_level=isolation)
            for isolation in ("read_committed", "read_uncommitted")
        ]
        begins, ends = await stable.end_offsets(outputs), await all_.end_offsets(outputs)
        open_ = {output: (begins[output], ends[output]) for output in outputs if begins[output] < ends[output]}
        if not open_:
            return None
        offsets = {input_: await all_.committed(input_) or 0 for input_ in inputs}
        by_topic = {input_.topic: offset for input_, offset in offsets.items()}
        # an outcome that waited is answered with an offset of long ago: it takes one record of the batch's own inputs
        is_new = [
            offset >= by_topic.get(topic, 0)
            for output, (begin, end) in open_.items()
            for topic, offset in _sources(await _read(all_, output, begin, end), names)
        ]
    moved_to = [TopicPartition(topic, number) for topic in by_topic for number in range(partitions)]
    found = HangingTransaction((*outputs, *moved_to), offsets, was_committed=not any(is_new))
    log.warning(
        "lane %s: the previous owner left a transaction open with %s records; it is now %s",
        partition,
        sum(end - begin for begin, end in open_.values()),
        "committed, as its offsets were" if found.was_committed else "aborted",
    )
    return found


async def _started(stack: AsyncExitStack, options: Mapping[str, Any], **more: Any) -> AIOKafkaConsumer:
    consumer = AIOKafkaConsumer(**options, **more, enable_auto_commit=False)
    stack.push_async_callback(consumer.stop)
    await consumer.start()
    return consumer


async def _read(consumer: AIOKafkaConsumer, partition: TopicPartition, begin: int, end: int) -> list[Any]:
    consumer.assign([partition])
    consumer.seek(partition, begin)
    records: list[Any] = []
    while await consumer.position(partition) < end:
        for found in (await consumer.getmany(timeout_ms=POLL_MS)).values():
            records += found
    return records


def _sources(records: Iterable[Any], names: TopicNames) -> list[tuple[str, int]]:
    """Topic and offset of the input that each record came of; of those that say so."""
    sources = []
    for record in records:
        if record.topic == names.dead_letters:
            letter = decode_or_none(_decode_letter_source, last_header(record.headers, SOURCE))
            if letter is not None:
                sources.append((letter.topic, letter.offset))
        elif (sourced := decode_or_none(_decode_sourced, record.value)) is not None:
            input_ = names.observations if record.topic == names.predictions else names.outcomes
            sources.append((input_, sourced.source.offset))
    return sources
