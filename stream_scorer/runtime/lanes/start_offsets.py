"""From which offsets a lane reads its inputs on: behind what the group committed; where Kafka has lost that, behind the
highest input that the lane's own outputs name.

Invariant: a lane never reads from the beginning over outputs that exist, and never from beyond an input's end; where it
can't be known where to read on, it refuses and says what to do.

Call it when the former owner is fenced: no transaction of the lane's is open then.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from stream_scorer.core.records.output_sources import (
    SourceReader,
    came_of,
    letter_source,
    named_sources,
    prediction_source,
    update_source,
)
from stream_scorer.errors import OffsetsError
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.kafka.batch_fetch import Record
from stream_scorer.runtime.kafka.partition_span import records_between, span_consumer
from stream_scorer.runtime.lanes.moved_records import MovedRecords

log = logging.getLogger(__name__)

# What is read of an output partition first, from its end backwards; then four times as much, and so on
TAIL_RECORDS: Final = 10_000
TAIL_GROWTH: Final = 4
# An end that lies below what was committed is asked for once more after this: a leader that has just been elected may
# not know its own end yet
ASK_AGAIN_S: Final = 1.0


# Of each input: the first offset that it has, and the next that it will have
Spans = Mapping[TopicPartition, tuple[int, int]]


class Begun(NamedTuple):
    """Where a lane reads on in each of its inputs. `uncommitted`: those whose offset the group has not committed;
    `lost`: by input, the first and the last offset that retention deleted before anybody read them."""

    offsets: dict[TopicPartition, int]
    uncommitted: tuple[TopicPartition, ...]
    lost: dict[TopicPartition, tuple[int, int]]


class OutputEvidence(NamedTuple):
    """What the records of one output partition say: by input topic the highest offset named and the record that names
    it; whether all that was ever written there was read; how many records say something, and how many do not."""

    highest: Mapping[str, tuple[int, Record]]
    whole: bool
    readable: int
    unreadable: int


class StartOffsets:
    """Finds where lanes read on. `options`: how to connect, as any Kafka client; `moves`: of all the worker's lanes;
    `reread_records`: how many records behind the highest named one may not have all their outputs (0 where outputs
    come in transactions)."""

    def __init__(
        self, options: Mapping[str, Any], names: TopicNames, *, moves: MovedRecords, reread_records: int
    ) -> None:
        self._options, self._names, self._moves, self._reread_records = options, names, moves, reread_records

    async def spans(self, consumer: AIOKafkaConsumer, inputs: Sequence[TopicPartition]) -> Spans:
        """Where the inputs begin and end. Ask it first, while nothing is fetched: behind a fetch that waits for records
        it would take half a second."""
        begins, ends = await asyncio.gather(consumer.beginning_offsets(inputs), consumer.end_offsets(inputs))
        return {partition: (begins[partition], ends[partition]) for partition in inputs}

    async def find(self, consumer: AIOKafkaConsumer, spans: Spans) -> Begun:
        """The offsets to resume from in the inputs. Raises `OffsetsError` where they are unknown or beyond the end."""
        committed = {partition: await consumer.committed(partition) for partition in spans}
        known = {partition: offset for partition, offset in committed.items() if offset is not None}
        await self._refuse_beyond(consumer, known, spans)
        uncommitted = tuple(partition for partition in spans if partition not in known)
        named = await self._named(uncommitted) if uncommitted else {}
        offsets: dict[TopicPartition, int] = {}
        lost: dict[TopicPartition, tuple[int, int]] = {}
        for partition, (begin, _) in spans.items():
            wanted = known[partition] if partition in known else named[partition]
            if wanted < begin:
                lost[partition] = wanted, begin - 1
            offsets[partition] = max(begin, wanted)
        return Begun(offsets, uncommitted, lost)

    async def _refuse_beyond(
        self, consumer: AIOKafkaConsumer, known: Mapping[TopicPartition, int], spans: Spans
    ) -> None:
        ends = {partition: end for partition, (_, end) in spans.items()}
        for wait_s in (0.0, ASK_AGAIN_S, None):
            beyond = [partition for partition, offset in known.items() if offset > ends[partition]]
            if not beyond:
                return
            if wait_s is not None:  # the former owner has read on meanwhile, or a leader does not know its end yet
                await asyncio.sleep(wait_s)
                ends = await consumer.end_offsets(list(spans))
        raise beyond_the_end(beyond[0], known[beyond[0]], ends[beyond[0]])

    async def _named(self, uncommitted: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset to resume from in inputs without a committed offset, by what the outputs say."""
        consumer = span_consumer(self._options)
        await consumer.start()
        try:
            spans = await self.spans(consumer, uncommitted)
            return {
                partition: await self._named_one(consumer, partition, begin, end)
                for partition, (begin, end) in spans.items()
            }
        finally:
            await consumer.stop()

    async def _named_one(self, consumer: AIOKafkaConsumer, partition: TopicPartition, begin: int, end: int) -> int:
        names, (topic, number) = self._names, partition
        is_observations = topic == names.observations
        output = TopicPartition(names.predictions if is_observations else names.outcome_updates, number)
        reader = prediction_source(topic) if is_observations else update_source(topic)
        own = await self._look(consumer, output, reader, topic)
        letters = TopicPartition(names.dead_letters, number)
        dead = await self._look(consumer, letters, letter_source((names.observations, names.outcomes)), topic)
        moved = await self._moves.highest(partition)
        known = [one for one in (own.highest.get(topic), dead.highest.get(topic), moved) if one is not None]
        if begin < end:  # in one that holds nothing there is nothing that could be read twice
            if not own.readable and (own.unreadable or not own.whole):
                raise unknown_offset(partition, f"{output.topic} has lost its records, so none says how far")
            if not known and not dead.whole:
                raise unknown_offset(
                    partition, f"{letters.topic} has lost its oldest records, and no other says how far"
                )
        if not known:
            return 0 if (own.whole and dead.whole) or begin < end else begin  # 0: nothing was ever said of it
        highest, named_by = max(known, key=lambda one: one[0])
        if highest >= end:
            raise beyond_the_end(partition, highest + 1, end)
        if highest >= begin and not await _is_there(consumer, partition, highest, named_by):
            raise recreated(topic)
        start = max(0, highest + 1 - self._reread_records)
        log.warning(
            "the group has lost its offset of %s[%s]: the lane resumes at %s, after the highest offset "
            "that its own outputs name",
            topic,
            number,
            max(begin, start),
        )
        return start

    async def _look(
        self, consumer: AIOKafkaConsumer, output: TopicPartition, reader: SourceReader, topic: str
    ) -> OutputEvidence:
        """Read an output partition from its end backwards, until no record before can name a higher input."""
        consumer.assign([output])
        begin = (await consumer.beginning_offsets([output]))[output]
        high = (await consumer.end_offsets([output]))[output]
        highest: dict[str, tuple[int, Record]] = {}
        readable = unreadable = 0
        size, prompt = TAIL_RECORDS, False
        while high > begin and not prompt:
            low = max(begin, high - size)
            async for records in records_between(consumer, output, low, high):
                said = named_sources(records, output.partition, reader)
                readable += len(records) - said.unreadable
                unreadable += said.unreadable
                prompt = prompt or topic in said.prompt
                for named, found in said.highest.items():
                    if named not in highest or found[0] > highest[named][0]:
                        highest[named] = found
            high, size = low, size * TAIL_GROWTH
        return OutputEvidence(highest, begin == high == 0, readable, unreadable)


async def _is_there(consumer: AIOKafkaConsumer, partition: TopicPartition, offset: int, named_by: Record) -> bool:
    """Whether the record that an output names is what lies at its offset."""
    consumer.assign([partition])
    async for records in records_between(consumer, partition, offset, offset + 1):
        return came_of(named_by, records[0])
    return False


def beyond_the_end(partition: TopicPartition, offset: int, end: int) -> OffsetsError:
    """The lane is to read on where its input holds nothing, and would wait there while records come below."""
    return OffsetsError(
        f"{partition.topic}[{partition.partition}] ends at offset {end}, but the lane should resume at {offset}: the "
        "log was truncated or restored, or somebody set the offset. Records that come below it would never be read. "
        f"Find out which records are missing, then say where to read on: `{_command(partition)}`.",
        "beyond_end",
    )


def recreated(topic: str) -> OffsetsError:
    """A topic is another one than it was, under the same name."""
    return OffsetsError(
        f"{topic} was deleted and recreated: what is known of its records is about records that are gone. Begin a new "
        "environment under another topics.prefix; or, if all that it held may be forgotten, stop all workers and say "
        f"for each of its partitions where to read on: `{_command(TopicPartition(topic, 0))}`.",
        "recreated_topic",
    )


def unknown_offset(partition: TopicPartition, why: str) -> OffsetsError:
    """Nothing says where the lane reads on, and its outputs were not always empty."""
    return OffsetsError(
        f"The offset to resume from in {partition.topic}[{partition.partition}] is unknown: the group has no committed "
        f"offset for it, and {why}. From the beginning, records would be scored twice. Set the offset to resume from: "
        f"`{_command(partition)}`.",
        "unknown_offset",
    )


def _command(partition: TopicPartition) -> str:
    return (
        f"stream-scorer offsets set --topic {partition.topic} --partition {partition.partition} "
        "--from earliest|latest|N --why TEXT"
    )
