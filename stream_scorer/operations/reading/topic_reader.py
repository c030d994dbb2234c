"""Topics read back from begin to end as a consumer under `read_committed` sees them, quickly and with flat memory.

Invariant: a read ends where the topic ended when its spans were asked for, so it always ends; and it reads every
committed record up to there, waiting for transactions that are still open.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple, NoReturn, Self, TypeAlias

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from stream_scorer.errors import OutageError, TopicsError, UserError
from stream_scorer.runtime.kafka.batch_fetch import read
from stream_scorer.runtime.kafka.connection_check import reach
from stream_scorer.runtime.kafka.errors import to_user_error, what_happened
from stream_scorer.runtime.kafka.topic_ids import topic_ids
from stream_scorer.runtime.state.scored_since import scored_since

# Four partitions of it, fetched ahead once, are what a read holds in memory. Fetches of 4 MiB, which no processor's
# cache holds, cost a third more, and those of 512 KiB cost as much.
FETCH_BYTES_MAX: Final = 1024 * 1024
POLL_MS: Final = 250
# What is read is there already. A fetch that waits at a topic's end (500 ms by default) would only keep the next read.
FETCH_WAIT_MS: Final = 10
# A first question about a topic meets a client that does not know it yet and asks again; the client's own 100 ms,
# twice, would be most of a quick command's time
RETRY_WAIT_MS: Final = 10
# Enough for what comes after to work on batches, and little to hold
WHOLE_BATCHES_RECORDS_MIN: Final = 1_000
# An orphaned transaction ends after its producer's timeout, with ours at most 30 s later.
PATIENCE_S: Final = 60.0
STOP_WAIT_S: Final = 5.0

# aiokafka says nothing of its types to mypy; what is read of a record stands in `core.records.Incoming`
Record: TypeAlias = ConsumerRecord


class Span(NamedTuple):
    """Offsets of a partition: from `begin` to before `end`. Not each of them holds a record."""

    begin: int
    end: int


Spans = Mapping[TopicPartition, Span]

# Told now and then: records read, and how many offsets the range has
OnRead = Callable[[int, int], None]


class Reader:
    """One connection for reading topics back; one read at a time."""

    def __init__(self, options: Mapping[str, Any], *, patience_s: float = PATIENCE_S) -> None:
        self._options = dict(options)
        self._patience_s = patience_s
        self._records_read = 0
        self._consumer = AIOKafkaConsumer(
            **self._options,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=FETCH_BYTES_MAX,
            fetch_max_bytes=16 * FETCH_BYTES_MAX,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            retry_backoff_ms=RETRY_WAIT_MS,
        )
        # `read_committed` would answer with where the oldest open transaction begins, not with where the topic ends
        self._measuring = AIOKafkaConsumer(**self._options, enable_auto_commit=False, retry_backoff_ms=RETRY_WAIT_MS)
        self._admin = AIOKafkaAdminClient(**self._options)

    async def __aenter__(self) -> Self:
        clients = (self._consumer, self._measuring, self._admin)
        try:
            await reach(self._options, *clients)
            for client in clients:
                await client.start()
        except BaseException as error:
            await self.__aexit__()
            raise_explained(error, self._options)
        return self

    async def __aexit__(self, *_: object) -> None:
        for stop in (self._consumer.stop, self._measuring.stop, self._admin.close):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop(), STOP_WAIT_S)

    @property
    def records_read(self) -> int:
        """How many records all reads gave so far."""
        return self._records_read

    async def spans(self, topics: Iterable[str], *, stable: bool = False) -> dict[TopicPartition, Span]:
        """What is retained of these topics now, by partition; with `stable` only up to the first transaction that is
        open, so that a read waits for none. Raises TopicsError for a topic that does not exist."""
        async with explained(self._options):
            partitions = await self._partitions(list(topics))
            begins = await self._measuring.beginning_offsets(partitions)
            ends = await (self._consumer if stable else self._measuring).end_offsets(partitions)
        return {partition: Span(begins[partition], ends[partition]) for partition in partitions}

    async def _partitions(self, topics: list[str]) -> list[TopicPartition]:
        # All topics are asked for: a broker that makes topics by itself makes the one that is asked for by name.
        counts = {topic["topic"]: len(topic["partitions"]) for topic in await self._admin.describe_topics()}
        missing = sorted(set(topics) - set(counts))
        if missing:
            raise TopicsError(
                f"there is no topic {', '.join(missing)} that this user may see: check the prefix, or run "
                "`stream-scorer topics apply`"
            )
        return [TopicPartition(topic, number) for topic in topics for number in range(counts[topic])]

    async def cluster_id(self) -> str:
        """What the cluster calls itself, the same on all its brokers for as long as it lives."""
        async with explained(self._options):
            return str((await self._admin.describe_cluster())["cluster_id"])

    async def topic_ids(self, topics: Iterable[str]) -> dict[str, str]:
        """The topics' ids, which distinguish a recreated topic from the previous one; empty if brokers have none."""
        async with explained(self._options):
            return await topic_ids(self._measuring._client, topics)

    async def offsets_at(self, spans: Spans, timestamp_ms: int) -> dict[TopicPartition, int]:
        """For each partition its first offset that is of that time or later; the span's end where there is none."""
        async with explained(self._options):
            found = await self._measuring.offsets_for_times(dict.fromkeys(spans, timestamp_ms)) if spans else {}
        return {
            partition: found[partition].offset if found.get(partition) is not None else span.end
            for partition, span in spans.items()
        }

    async def scored_since(self, spans: Spans, since_ms: int) -> dict[TopicPartition, Span]:
        """Of each span of predictions, what was scored at that time or later."""
        async with explained(self._options):
            if spans:
                self._consumer.assign(list(spans))
            return {
                partition: Span(await scored_since(self._consumer, partition, *span, since_ms), span.end)
                for partition, span in spans.items()
            }

    async def committed(self, group: str, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The offsets that the group reads next; a partition of which it has committed nothing is left out."""
        # Not the admin client: it takes a coordinator that is still loading for a group without offsets.
        member = AIOKafkaConsumer(**self._options, group_id=group, enable_auto_commit=False)
        async with explained(self._options):
            try:
                async with asyncio.timeout(self._patience_s):
                    await member.start()
                    offsets = {partition: await member.committed(partition) for partition in partitions}
            finally:
                await member.stop()
        return {partition: offset for partition, offset in offsets.items() if offset is not None}

    async def read(
        self, spans: Spans, *, whole_batches: bool = False
    ) -> AsyncIterator[tuple[TopicPartition, list[Record]]]:
        """Every committed record of the spans, in lists of one partition each, in the order of its offsets.

        With `whole_batches` in a third of the time, and records know neither topic nor partition.

        Raises OutageError where nothing moves for the reader's patience, say because a transaction stays open.
        """
        pending = {partition: span for partition, span in spans.items() if span.begin < span.end}
        if not pending:
            return
        async with explained(self._options):
            self._consumer.assign(list(pending))
            for partition, span in pending.items():
                self._consumer.seek(partition, span.begin)
        moved_at = time.monotonic()
        positions = {partition: span.begin for partition, span in pending.items()}
        while pending:
            async with explained(self._options):
                if whole_batches:
                    batches = await read(
                        self._consumer, pending, timeout_s=POLL_MS / 1000, records_max=WHOLE_BATCHES_RECORDS_MIN
                    )
                else:
                    batches = await self._consumer.getmany(timeout_ms=POLL_MS)
                reached = {partition: await self._consumer.position(partition) for partition in pending}
            for partition, records in batches.items():
                kept = _until(records, spans[partition].end)
                if kept:
                    self._records_read += len(kept)
                    yield partition, kept
            if reached != {partition: positions[partition] for partition in pending}:
                moved_at = time.monotonic()
                positions.update(reached)
            elif time.monotonic() - moved_at > self._patience_s:
                raise OutageError(_standstill(pending, positions, self._patience_s))
            for partition in [partition for partition, span in pending.items() if reached[partition] >= span.end]:
                del pending[partition]
                # all that was read stays assigned and at rest: aiokafka's stop right after unsubscribing waits for ever
                self._consumer.pause(partition)


def _until(records: list[Record], end: int) -> list[Record]:
    return records if records[-1].offset < end else [record for record in records if record.offset < end]


def _standstill(pending: Spans, positions: Mapping[TopicPartition, int], patience_s: float) -> str:
    partition = next(iter(pending))
    return (
        f"nothing could be read of {partition.topic}-{partition.partition} from offset {positions[partition]} on for "
        f"{patience_s:g} s: a producer has left a transaction open there, or the broker is away. "
        "Try again once the transaction's timeout has passed."
    )


@asynccontextmanager
async def explained(options: Mapping[str, Any]) -> AsyncIterator[None]:
    """Kafka's faults in our words."""
    try:
        yield
    except Exception as error:
        raise_explained(error, options)


def raise_explained(error: BaseException, options: Mapping[str, Any]) -> NoReturn:
    if isinstance(error, UserError) or not isinstance(error, KafkaError | OSError | TimeoutError):
        raise error
    bootstrap = str(options.get("bootstrap_servers", ""))
    known = to_user_error(error, "reading topics", bootstrap)
    if known is None or isinstance(known, OutageError):
        raise OutageError(
            f"Kafka does not answer at {bootstrap} while reading topics: {what_happened(error)}. "
            "Is the broker running, and are the [kafka] settings correct?"
        ) from error
    raise known from error
