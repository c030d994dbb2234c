"""What goes into an environment's topics and what comes out of them: written with a plain client, read back with a
plain client, and accounted for by a reader that shares nothing with the project's own audit but Kafka.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from stream_scorer.operations.audit.report import AuditReport, audit
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from tests.support.reference_audit import Faults, Place, Read, Reckoning, home_of, said_id

# A read that brings nothing looks again after this
POLL_MS = 20
SENT_AT_ONCE = 2_000
BY_ID: Any = object()


class Account(NamedTuple):
    """What was read back, and where each input ended by the reckoning that the audit agreed with."""

    read: Read
    ended: Counter[str]
    ends: Mapping[tuple[str, Place], str]
    report: AuditReport

    def end_of(self, topic: str, place: Place) -> str:
        """Where that record ended."""
        return self.ends[topic, place]


class Topics:
    """A producer of observations and outcomes, and a reader of everything, under `read_committed`."""

    def __init__(self, bootstrap: str, names: TopicNames, group: str, partitions: int) -> None:
        self.bootstrap, self.names, self.group, self.partitions = bootstrap, names, group, partitions
        self.inputs = names.observations, names.outcomes
        self.all = *self.inputs, names.predictions, names.outcome_updates, names.dead_letters
        self._everything = [TopicPartition(topic, number) for topic in self.all for number in range(partitions)]
        self._logs: dict[TopicPartition, list[Any]] = {partition: [] for partition in self._everything}
        self._positions = dict.fromkeys(self._everything, 0)
        self._sent_without_id = 0

    async def start(self) -> None:
        options = {"bootstrap_servers": self.bootstrap}
        self.producer = AIOKafkaProducer(**options, enable_idempotence=True, acks="all", max_request_size=4 << 20)
        self._consumer = AIOKafkaConsumer(
            **options, isolation_level="read_committed", enable_auto_commit=False, auto_offset_reset="earliest"
        )
        # its ends are those of the log, not of the last transaction that is over
        self._measuring = AIOKafkaConsumer(**options, enable_auto_commit=False)
        self._admin = AIOKafkaAdminClient(**options)
        for client in (self.producer, self._consumer, self._measuring, self._admin):
            await client.start()
        self._consumer.assign(self._everything)

    async def stop(self) -> None:
        for client in (self.producer, self._consumer, self._measuring):
            await client.stop()
        await self._admin.close()

    # Writing

    async def observe(self, *values: bytes | None, **how: Any) -> list[Place]:
        """Send observation events, in this order; where each came to lie."""
        return await self.send(self.names.observations, values, **how)

    async def report(self, *values: bytes | None, **how: Any) -> list[Place]:
        """Send outcome events, in this order; where each came to lie."""
        return await self.send(self.names.outcomes, values, **how)

    async def send(
        self,
        topic: str,
        values: Iterable[bytes | None],
        *,
        key: bytes | None = BY_ID,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
        timestamp_ms: int | None = None,
    ) -> list[Place]:
        """Send values, keyed by their ids and to the ids' partitions if nothing else is said."""
        places: list[Place] = []
        under_way = []
        for value in values:
            id_ = said_id(value)
            sent_key = (id_.encode() if id_ is not None else None) if key is BY_ID else key
            to = self._partition_for(id_) if partition is None else partition
            if value is None and sent_key is None:
                under_way.append(await self._send_nothing(topic, to, headers))
            else:
                under_way.append(await self.producer.send(topic, value, sent_key, to, timestamp_ms, headers=[*headers]))
            if len(under_way) == SENT_AT_ONCE:
                places += [Place(sent.partition, sent.offset) for sent in await asyncio.gather(*under_way)]
                under_way = []
        return places + [Place(sent.partition, sent.offset) for sent in await asyncio.gather(*under_way)]

    async def _send_nothing(self, topic: str, partition: int, headers: Sequence[tuple[str, bytes]]) -> Any:
        """A record without key and value, which the client's `send` refuses and Kafka takes."""
        batch = self.producer.create_batch()
        batch.append(timestamp=None, key=None, value=None, headers=[*headers])
        return await self.producer.send_batch(batch, topic, partition=partition)

    def _partition_for(self, id_: str | None) -> int:
        if id_ is not None:
            return home_of(id_, self.partitions)
        self._sent_without_id += 1
        return self._sent_without_id % self.partitions

    # Reading

    async def read(self) -> Read:
        """Everything up to the ends as they are now."""
        ends = await self._measuring.end_offsets(self._everything)
        while any(self._positions[partition] < ends[partition] for partition in self._everything):
            for partition, records in (await self._consumer.getmany(timeout_ms=POLL_MS)).items():
                log = self._logs[partition]
                assert not log or log[-1].offset < records[0].offset, "the test's own reader read a record twice"
                log += records
            for partition in self._everything:
                self._positions[partition] = await self._consumer.position(partition)
        by_topic = {
            topic: [record for number in range(self.partitions) for record in self._logs[TopicPartition(topic, number)]]
            for topic in self.all
        }
        names = self.names
        return Read(
            by_topic[names.observations],
            by_topic[names.outcomes],
            by_topic[names.predictions],
            by_topic[names.outcome_updates],
            by_topic[names.dead_letters],
        )

    async def read_until(self, condition: Callable[[Read], object], what: str, wait_s_max: float = 60.0) -> Read:
        """Read on until the condition holds of all that was read."""
        deadline = time.monotonic() + wait_s_max
        while not condition(read := await self.read()):
            assert time.monotonic() < deadline, f"waited {wait_s_max:.0f} s in vain until {what}"
            await asyncio.sleep(POLL_MS / 1000)
        return read

    async def open_transactions(self) -> int:
        """In how many partitions of the outputs a transaction is open now."""
        stable = await self._consumer.end_offsets(self._everything)
        ends = await self._measuring.end_offsets(self._everything)
        return sum(stable[partition] < ends[partition] for partition in self._everything)

    async def settled(self, wait_s_max: float, last_words: Callable[[], str] = lambda: "") -> None:
        """Wait until the group has committed every input, those that its own moves added too."""
        deadline = time.monotonic() + wait_s_max
        while True:
            # the offsets first: whatever was moved in the same transaction is in the topics then
            committed = await self.committed()
            await self.read()
            behind = {
                partition: (committed.get(partition, 0), records[-1].offset + 1)
                for partition, records in self._logs.items()
                if partition.topic in self.inputs and records and committed.get(partition, 0) <= records[-1].offset
            }
            if not behind:
                return
            assert time.monotonic() < deadline, f"not settled, (committed, end): {behind}\n{last_words()}"
            await asyncio.sleep(POLL_MS / 1000)

    async def committed(self) -> dict[TopicPartition, int]:
        """The group's offsets; none while its coordinator can't be asked."""
        try:
            offsets = await self._admin.list_consumer_group_offsets(self.group)
        except (KafkaError, OSError, TimeoutError):
            return {}
        return {partition: found.offset for partition, found in offsets.items() if found.offset >= 0}


async def account(
    topics: Topics, *, join_window_s: float, forgets: bool = False, other_timestamps: bool = False
) -> Account:
    """Where every input ended. Fails unless each ended exactly once, every output is as it must be, and the project's
    audit says the same. `forgets`: the join window may have passed for some of the ids. `other_timestamps`: a release
    took part whose dead letters carry the time at which they were written."""
    read = await topics.read()
    reckoning = Reckoning(read, topics.names, topics.partitions, forgets=forgets)
    report = await audit(
        {"bootstrap_servers": topics.bootstrap},
        topics.names,
        topics.group,
        count_unread=True,
        join_window_s=join_window_s,
    )
    faults: Faults = reckoning.faults
    if other_timestamps:
        faults = [fault for fault in faults if " dead letter: the timestamp is " not in fault]
    assert not faults, f"{len(faults)} faults, the first: {json.dumps(faults[:20], indent=1)}"
    assert report.is_fine, report
    assert forgets or not report.predicted_twice, report
    assert {end: count for end, count in report.ended.items() if count} == dict(reckoning.ended), "the two disagree"
    return Account(read, reckoning.ended, reckoning.ends, report)
