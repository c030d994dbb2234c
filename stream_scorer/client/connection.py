"""One connection to Kafka for sending and for hearing answers.

Invariant: what Kafka's faults mean is said in our words; who gives up waiting takes back nothing that is on its way.
"""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypedDict

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from stream_scorer.client.reply_consumer import Listener
from stream_scorer.core.records.record import NO_HEADERS, Headers, Source
from stream_scorer.errors import OutageError, UserError
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.kafka.client import client_options
from stream_scorer.runtime.kafka.connection_check import reach
from stream_scorer.runtime.kafka.errors import to_user_error, what_happened
from stream_scorer.runtime.kafka.record_batches import pack, reuse_refused_sequences
from stream_scorer.runtime.settings.settings import Settings

STOP_WAIT_S: Final = 5.0
# A partition takes one batch after the other: so larger ones than the producer's own 16 KiB, and still far below the
# 1 MiB that topics take
BATCH_BYTES_MAX: Final = 64 * 1024
# What scorecards tell producers apart by
CLIENT_ID_HEADER: Final = "client-id"


class Security(TypedDict, total=False):
    """How the connection is secured; named as the settings' `kafka` section names it, which says more."""

    security_protocol: str
    sasl_mechanism: str
    sasl_username: str
    sasl_password: str
    sasl_password_file: str
    ssl_ca_file: str
    ssl_certificate_file: str
    ssl_key_file: str
    ssl_key_password: str
    ssl_key_password_file: str
    ssl_check_hostname: bool


class TooLargeForKafka(Exception):
    """Kafka does not take a record of that size; it was not sent."""


class Connection:
    """A producer and a listener on one environment's topics. `client_id` goes with every record, where it is given."""

    def __init__(self, settings: Settings, client_id: str) -> None:
        self.names = TopicNames(settings.topics.prefix)
        self.event_bytes_max = settings.worker.event_bytes_max
        self._settings = settings
        self._headers: Headers = [(CLIENT_ID_HEADER, client_id.encode())] if client_id else []
        self._producer: AIOKafkaProducer | None = None
        self._listener: Listener | None = None
        self._turns: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def start(self) -> None:
        """Connect; all or nothing. Raises OutageError, TopicsError, SettingsError."""
        options = client_options(self._settings.kafka)
        with self.explained("connecting"):
            try:
                options |= {"bootstrap_servers": await reach(options)}
                self._producer = AIOKafkaProducer(**options, enable_idempotence=True, max_batch_size=BATCH_BYTES_MAX)
                await self._producer.start()
                reuse_refused_sequences(self._producer)
                self._listener = Listener(options, self.names, self._settings.group_name)
                await self._listener.start()
            except BaseException:
                await self.stop()
                raise

    async def stop(self) -> None:
        for part in (self._listener, self._producer):
            if part is not None:
                # one whose broker is gone may end as cancelled, which must not keep the other from being stopped
                await asyncio.gather(asyncio.wait_for(part.stop(), 2 * STOP_WAIT_S), return_exceptions=True)
        self._listener = self._producer = None

    @property
    def listener(self) -> Listener:
        if self._listener is None:
            raise RuntimeError("the client is not connected: use it inside `async with Client(…) as client`")
        return self._listener

    async def deliver(
        self, topic: str, value: bytes, key: bytes | None, partition: int | None, headers: Headers = NO_HEADERS
    ) -> Source:
        """Send a record, with these headers behind the connection's own; where it lies, once Kafka has acknowledged it.
        Raises TooLargeForKafka."""
        producer = self._producer
        assert producer is not None
        if partition is None:
            partition = random.randrange(self.listener.partitions)
        try:
            delivery = await producer.send(topic, value, key, partition, headers=[*self._headers, *headers])
        except MessageSizeTooLargeError as error:
            raise TooLargeForKafka from error
        delivery.add_done_callback(_retrieve)
        try:
            sent = await asyncio.shield(delivery)
        except MessageSizeTooLargeError:
            # the topic's limit is one for record batches, and the producer may have put others' records into this one
            return await self._deliver_apart(topic, value, key, partition, headers)
        return Source(sent.partition, sent.offset)

    async def _deliver_apart(
        self, topic: str, value: bytes, key: bytes | None, partition: int, headers: Headers
    ) -> Source:
        """The same as a record batch of its own."""
        ((delivery, _),) = await self.deliver_many(topic, [(key, value)], partition, headers)
        try:
            return Source(partition, (await asyncio.shield(delivery)).offset)
        except MessageSizeTooLargeError as error:
            raise TooLargeForKafka from error

    async def deliver_many(
        self, topic: str, records: Sequence[tuple[bytes | None, bytes]], partition: int, headers: Headers
    ) -> list[tuple["asyncio.Future[Any]", int]]:
        """Send keys and values as whole record batches, in their order and behind those that were sent before. Returns
        for each batch its acknowledgement, which has the first offset, and how many records it holds."""
        producer, now_ms = self._producer, time.time_ns() // 1_000_000
        assert producer is not None
        with_ours = [*self._headers, *headers]
        batches = pack(producer, [(key, value, now_ms, with_ours) for key, value in records], now_ms)
        sent = []
        # Batches that wait for the same partition overtake one another in the client; the first of an id is scored.
        async with self._turns[partition]:
            for batch, count in batches:
                delivery = await producer.send_batch(batch, topic, partition=partition)
                delivery.add_done_callback(_retrieve)
                sent.append((delivery, count))
        return sent

    @contextmanager
    def explained(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (KafkaError, OSError) as error:
            bootstrap = self._settings.kafka.bootstrap
            known = to_user_error(error, doing, bootstrap)
            if isinstance(known, UserError) and not isinstance(known, OutageError):
                raise known from error
            raise OutageError(
                f"Kafka does not answer at {bootstrap} while {doing}: {what_happened(error)}. "
                "Is the broker running, and are the [kafka] settings correct?"
            ) from error


def _retrieve(delivery: "asyncio.Future[Any]") -> None:
    if not delivery.cancelled():
        delivery.exception()
