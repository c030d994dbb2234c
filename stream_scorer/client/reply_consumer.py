"""Reads the topics of results for as long as a request is pending.

Invariant: the result of a record comes after the ends of these topics at the time when the record was sent, so reading
starts there.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from stream_scorer.client.no_reply import NoReplyResolver
from stream_scorer.client.pending_requests import PendingRequest, PendingRequests
from stream_scorer.errors import OutageError, TopicsError
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.kafka import batch_fetch
from stream_scorer.runtime.kafka.errors import to_user_error

POLL_S: Final = 0.1
# Of a partition, at one time
RECORDS_MAX: Final = 2_000
# A seek waits for the fetch in flight, which waits this long for records
FETCH_WAIT_MS: Final = 50
# The first request about a topic meets a client that does not know the topic yet and retries
RETRY_WAIT_MS: Final = 10
# Reading goes on this long after the last request, for callers that send one after another
LINGER_S: Final = 1.0
# After this time without a result, the resolver checks whether the record was skipped without one
QUIET_S: Final = 0.05
STOP_WAIT_S: Final = 5.0
# a topic that was just created is not known to every broker at once
TOPIC_WAIT_S: Final = 3.0
TOPIC_POLL_S: Final = 0.1
OUTAGE_WAIT_S: Final = 1.0


class Listener:
    """Gives every result to its pending request. `failure`: why no more results can come."""

    def __init__(self, options: Mapping[str, Any], names: TopicNames, group: str) -> None:
        self._options, self._names = options, names
        common = {**options, "enable_auto_commit": False, "retry_backoff_ms": RETRY_WAIT_MS}
        committed = {**common, "isolation_level": "read_committed", "fetch_max_wait_ms": FETCH_WAIT_MS}
        self._consumer = AIOKafkaConsumer(**committed)
        # `read_uncommitted`: its ends are those of the topics, not where the oldest open transaction begins
        self._measuring = AIOKafkaConsumer(**common, group_id=group)
        self._looking_back = AIOKafkaConsumer(**committed)
        self.questions = PendingRequests(names.observations)
        self.failure: BaseException | None = None
        self.partitions = 0
        self._silence = NoReplyResolver(self._measuring, self._looking_back, names, self.questions, self._positions)
        self._listens = asyncio.Event()
        self._last_asked_s = 0.0
        self._beginning = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Connect. TopicsError where the topics are not there."""
        names = self._names
        topics = (names.observations, names.predictions, names.dead_letters)
        counts = await count_partitions(self._options, topics)
        if len(set(counts.values())) > 1:
            raise TopicsError(
                f"{', '.join(topics)} have different numbers of partitions: see `stream-scorer topics check`"
            )
        for consumer in (self._consumer, self._measuring, self._looking_back):
            await consumer.start()
        self.partitions = counts[names.observations]
        self._answers = [
            TopicPartition(topic, partition) for topic in topics[1:] for partition in range(self.partitions)
        ]
        self._consumer.assign(self._answers)
        self._consumer.pause(*self._answers)
        self._tasks = [asyncio.create_task(self._guarded(loop)) for loop in (self._listen, self._watch)]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # one whose broker is gone may end as cancelled; the others are stopped all the same
        stopping = [
            asyncio.wait_for(consumer.stop(), STOP_WAIT_S)
            for consumer in (self._consumer, self._measuring, self._looking_back)
        ]
        await asyncio.gather(*stopping, return_exceptions=True)

    @asynccontextmanager
    async def hears(self, *questions: PendingRequest) -> AsyncIterator[None]:
        """Read until the requests have their results; send the events inside the block."""
        if self.failure is not None:
            raise self.failure
        self.questions.add_all(questions)
        try:
            if not self._listens.is_set():
                await self._begin()
            yield
        finally:
            for question in questions:
                self.questions.remove(question)
            self._last_asked_s = time.monotonic()

    async def end_of_observations(self, partition: int) -> int:
        """Where a partition of the observations ends now."""
        wanted = TopicPartition(self._names.observations, partition)
        return int((await self._measuring.end_offsets([wanted]))[wanted])

    async def _begin(self) -> None:
        async with self._beginning:
            if self._listens.is_set():
                return
            ends = await self._measuring.end_offsets(self._answers)
            for partition, end in ends.items():
                self._consumer.seek(partition, end)
            self._consumer.resume(*self._answers)
            self._listens.set()

    async def _listen(self) -> None:
        answers = frozenset(self._answers)
        while True:
            await self._listens.wait()
            batches = await batch_fetch.read(self._consumer, answers, timeout_s=POLL_S, records_max=RECORDS_MAX)
            for (topic, partition), records in batches.items():
                if topic == self._names.predictions:
                    self.questions.take_predictions(records)
                else:
                    self.questions.take_letters(partition, records)
            if not self.questions and time.monotonic() > self._last_asked_s + LINGER_S:
                self._consumer.pause(*self._answers)
                self._listens.clear()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(QUIET_S)
            before_s = time.monotonic() - QUIET_S
            quiet = [one for one in self.questions if one.source and one.sent_s < before_s and not one.answer.done()]
            if quiet:
                await self._silence.look(quiet)

    async def _positions(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return {partition: await self._consumer.position(partition) for partition in partitions}

    async def _guarded(self, loop: Callable[[], Awaitable[None]]) -> None:
        while self.failure is None:
            try:
                await loop()
            except Exception as error:
                known = to_user_error(error, "reading answers", str(self._options["bootstrap_servers"]))
                if isinstance(known, OutageError):
                    await asyncio.sleep(OUTAGE_WAIT_S)  # who waits has a timeout of its own
                else:
                    self.failure = known or error
                    self.questions.fail(self.failure)


async def count_partitions(options: Mapping[str, Any], topics: Sequence[str]) -> dict[str, int]:
    """How many partitions each of these topics has. TopicsError where one does not exist."""
    admin = AIOKafkaAdminClient(**options)
    try:
        await admin.start()
        async with asyncio.timeout(TOPIC_WAIT_S):
            # All topics are asked for: a broker that makes topics by itself makes the one that is asked for by name.
            while missing := sorted(set(topics) - (counts := await _all_counts(admin)).keys()):
                await asyncio.sleep(TOPIC_POLL_S)
    except TimeoutError:
        raise TopicsError(
            f"there is no topic {', '.join(missing)} that this user may see: check the prefix, or run "
            "`stream-scorer topics apply`"
        ) from None
    finally:
        await admin.close()
    return {topic: counts[topic] for topic in topics}


async def _all_counts(admin: AIOKafkaAdminClient) -> dict[str, int]:
    return {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}
