"""Sends events and waits for their answers.

Invariant: an event goes to the partition of its id and is keyed by it, unless the caller decides otherwise, so that
nothing has to be moved.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from types import TracebackType
from typing import Final, Self, Unpack

from stream_scorer.client.asking_together import Events, Tell, ask_together, in_time_unanswered
from stream_scorer.client.connection import Connection, Security, TooLargeForKafka
from stream_scorer.client.ordered_answers import OrderedAnswers
from stream_scorer.client.pending_requests import PendingRequest
from stream_scorer.client.results import Answer, Rejected
from stream_scorer.client.validation import Event, check, encode_event, encoded
from stream_scorer.core.contract import reasons
from stream_scorer.core.contract.batch_decoding import ValidEvent
from stream_scorer.core.contract.columns import EVENT_BYTES_MAX
from stream_scorer.core.contract.observation_events import decode_observations, validate_observation
from stream_scorer.core.contract.reasons import Reason, Stage
from stream_scorer.core.records.dead_letter_reader import id_of
from stream_scorer.core.records.partitioner import partition_of
from stream_scorer.core.records.record import NO_HEADERS, Headers, Source
from stream_scorer.errors import RefusedError, UserError
from stream_scorer.runtime.settings.settings import Settings, load_settings

TIMEOUT_S: Final = 10.0
# Events of `score_many` that wait for their answers at one time
IN_FLIGHT_MAX: Final = 1_000


class Client:
    """Sends observations and outcomes, and answers for each observation; any number of calls at once.

    `prefix` and `group` are the environment's; with another group than the workers' redeliveries can't be distinguished
    from what has not been read yet. `client_id`: who is sending, for the scorecards of producers. Raises SettingsError
    for what can't be used, OutageError where Kafka is away, TopicsError where the topics are not there.
    """

    def __init__(
        self,
        bootstrap: str = "127.0.0.1:9092",
        *,
        prefix: str = "",
        group: str = "stream-scorer",
        client_id: str = "",
        **security: Unpack[Security],
    ) -> None:
        given: dict[str, object] = {"kafka.bootstrap": bootstrap, "topics.prefix": prefix, "worker.group": group}
        given |= {f"kafka.{name}": value for name, value in security.items()}
        self._connection = Connection(load_settings(None, {}, given), client_id)

    @classmethod
    def of(cls, settings: Settings, *, client_id: str = "") -> Self:
        """A client with an environment's settings."""
        client = cls.__new__(cls)
        client._connection = Connection(settings, client_id)
        return client

    async def __aenter__(self) -> Self:
        await self._connection.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.stop()

    @property
    def partitions(self) -> int:
        """How many partitions the topics of this environment have."""
        return self._connection.listener.partitions

    @property
    def is_listening(self) -> bool:
        """Whether answers can still come; once they can't, only a new client mends it."""
        return self._connection.listener.failure is None

    # Observations

    async def score(
        self,
        id: str | int,  # noqa: A002  # the contract's own word
        observation: Mapping[str, object],
        *,
        timeout_s: float = TIMEOUT_S,
    ) -> Answer:
        """Send an observation and wait for its prediction or its reasons."""
        return await self.ask(encode_event({"id": id, "observation": observation}), timeout_s=timeout_s)

    async def score_many(
        self,
        observations: Iterable[tuple[str | int, Mapping[str, object]]],
        *,
        timeout_s: float = TIMEOUT_S,
        at_once: int = IN_FLIGHT_MAX,
    ) -> AsyncIterator[Answer]:
        """The answer to each of these (id, observation), in their order; they are sent as answers come in, so that at
        most `at_once` wait. `timeout_s` is for each of them, from when it is sent."""
        values = (encode_event({"id": id_, "observation": columns}) for id_, columns in observations)
        async for answer in self.ask_many(values, timeout_s=timeout_s, at_once=at_once):
            yield answer

    async def ask_many(
        self, values: Iterable[bytes], *, timeout_s: float = TIMEOUT_S, at_once: int = IN_FLIGHT_MAX
    ) -> AsyncIterator[Answer]:
        """The same for events as bytes."""
        rest = iter(values)
        answers = OrderedAnswers(partial(self._ask_all, timeout_s=timeout_s))
        try:
            while True:
                # refilled a part at a time, so that what is sent together is some
                if answers.waiting <= at_once - max(1, at_once // 4) or not answers.waiting:
                    answers.begin(list(islice(rest, at_once - answers.waiting)))
                if not answers.waiting:
                    return
                yield await answers.next()
        finally:
            await answers.stop()

    async def _ask_all(self, values: Sequence[bytes], tell: Tell, *, timeout_s: float) -> None:
        """Those that keep the contract together, the others on their own."""
        # how large an event may be is for the worker to say, whose settings may be others
        found = decode_observations(values, max(map(len, values)))

        async def alone(number: int) -> None:
            try:
                tell(number, await self.ask(values[number], timeout_s=timeout_s))
            except UserError as error:
                tell(number, error)

        valid = Events([values[number] for number in found.positions], found.ids, found.codes)
        together = self.ask_together(valid, lambda at, answer: tell(found.positions[at], answer), timeout_s=timeout_s)
        await asyncio.gather(together, *(alone(number) for number, _ in found.rejected))

    async def ask(
        self,
        value: bytes,
        *,
        timeout_s: float = TIMEOUT_S,
        partition: int | None = None,
        keyed: bool = True,
        headers: Headers = NO_HEADERS,
    ) -> Answer:
        """Send an observation event as it is, broken or not, and wait for its answer. `headers` go with the record.

        `partition`: one where it does not belong is good only to try what becomes of it.
        """
        connection, listener = self._connection, self._connection.listener
        # how large an event may be is for the worker to say, whose settings may be others
        found = validate_observation(value, len(value))
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        question = PendingRequest(answered, id=id_of(value, None))
        if isinstance(found, ValidEvent):
            question.id, question.code = found
            question.home = partition_of(found.id, listener.partitions)
        if partition is None and question.id is not None:
            partition = partition_of(question.id, listener.partitions)
        topic = connection.names.observations
        with connection.explained("asking"):
            try:
                async with asyncio.timeout(timeout_s), listener.hears(question):
                    if question.home not in (None, partition):
                        question.home_begins = await listener.end_of_observations(question.home or 0)
                    source = await connection.deliver(topic, value, question.id if keyed else None, partition, headers)
                    question.sent_s = time.monotonic()
                    listener.questions.place(question, source)
                    return await answered
            except TooLargeForKafka:
                reason = reasons.too_large(len(value), connection.event_bytes_max)
                return Rejected((reason,), Stage.DECODE, None, None)
            except TimeoutError:
                return in_time_unanswered(question, topic, timeout_s)

    async def ask_together(
        self,
        events: Events,
        tell: Tell,
        *,
        timeout_s: float = TIMEOUT_S,
        headers: Headers = NO_HEADERS,
    ) -> None:
        """Send events that keep the contract as whole record batches. `tell` is called once for each of them, as
        answers come in, with its number and its answer, or with the UserError that `ask` would raise; all are told in
        the end. It must not raise."""
        await ask_together(self._connection, events, tell, timeout_s, headers)

    @staticmethod
    def check(event: Event, *, event_bytes_max: int = EVENT_BYTES_MAX) -> tuple[Reason, ...]:
        """Every reason for which an observation event would be refused; asks nobody, and needs no connection."""
        return check(event, event_bytes_max=event_bytes_max)

    # Outcomes

    async def report_outcome(self, id: str | int, true_class: bool) -> Source:  # noqa: A002
        """Send what was true of an observation, before or after its prediction; returns where it lies once Kafka has
        it. What is made of it stands in the topic of outcome updates. Raises OutageError where Kafka does not take it.
        """
        return await self.deliver_outcome(encoded({"id": id, "true_class": true_class}))

    async def deliver_outcome(self, value: bytes, *, keyed: bool = True, headers: Headers = NO_HEADERS) -> Source:
        """The same for an outcome event as it is, broken or not."""
        connection, id_ = self._connection, id_of(value, None)
        partition = None if id_ is None else partition_of(id_, connection.listener.partitions)
        with connection.explained("reporting an outcome"):
            try:
                key = id_ if keyed else None
                return await connection.deliver(connection.names.outcomes, value, key, partition, headers)
            except TooLargeForKafka as error:
                advice = "send only what the contract names"
                raise RefusedError(f"Kafka does not take an outcome of {len(value):,} bytes: {advice}") from error
