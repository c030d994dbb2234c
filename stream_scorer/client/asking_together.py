"""Events that are asked together: whole record batches for each partition, and one who waits for all their answers.

Invariant: each event is told once, with what `Client.ask` would have answered or raised.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Final, NamedTuple

from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from stream_scorer.client.connection import Connection, TooLargeForKafka
from stream_scorer.client.pending_requests import PendingRequest
from stream_scorer.client.results import Answer, Redelivered, Rejected, TimedOut
from stream_scorer.core.contract import reasons
from stream_scorer.core.contract.reasons import Stage
from stream_scorer.core.records.partitioner import partitions_of
from stream_scorer.core.records.record import Headers, Source
from stream_scorer.errors import UserError

# Larger events go one by one, so that no batch of them is refused for one of its events
TOGETHER_BYTES_MAX: Final = 32 * 1024

# An event's number, and its answer or why there is none
Tell = Callable[[int, Answer | BaseException], None]


class Events(NamedTuple):
    """Events that keep the contract, as three sequences of one length: bytes, ids and observations as numbers."""

    values: Sequence[bytes]
    ids: Sequence[bytes]
    codes: Sequence[int]


class Countdown:
    """Tells every event once. `all_told` is set when none is left."""

    def __init__(self, tell: Tell, events: int) -> None:
        self._tell, self._left = tell, events
        self.all_told = asyncio.Event()

    def told(self, number: int, answer: Answer | BaseException) -> None:
        self._tell(number, answer)
        self._left -= 1
        if not self._left:
            self.all_told.set()


class OneOfMany:
    """Who waits for the answer of one event, in place of a future."""

    __slots__ = ("_countdown", "_done", "_number")

    def __init__(self, countdown: Countdown, number: int) -> None:
        self._countdown, self._number, self._done = countdown, number, False

    def done(self) -> bool:
        return self._done

    def set_result(self, result: Answer, /) -> None:
        self._set(result)

    def set_exception(self, exception: BaseException, /) -> None:
        self._set(exception)

    def _set(self, answer: Answer | BaseException) -> None:
        if not self._done:
            self._done = True
            self._countdown.told(self._number, answer)


async def ask_together(
    connection: Connection,
    events: Events,
    tell: Tell,
    timeout_s: float,
    headers: Headers,
) -> None:
    """Send the events, and tell each of them."""
    if not events.values:
        return
    listener, topic = connection.listener, connection.names.observations

    def explain_and_tell(number: int, answer: Answer | BaseException) -> None:
        tell(number, _explained(connection, answer) if isinstance(answer, BaseException) else answer)

    countdown = Countdown(explain_and_tell, len(events.values))
    homes = partitions_of(events.ids, listener.partitions).tolist()
    questions = [
        PendingRequest(OneOfMany(countdown, number), id_, code, home)
        for number, (id_, code, home) in enumerate(zip(events.ids, events.codes, homes, strict=True))
    ]

    def place(numbers: Sequence[int], partition: int, offset: int) -> None:
        now_s = time.monotonic()
        for place, number in enumerate(numbers, offset):
            questions[number].sent_s = now_s
            listener.questions.place(questions[number], Source(partition, place))

    def fail(numbers: Iterable[int], error: BaseException) -> None:
        for number in numbers:
            questions[number].answer.set_exception(error)

    async def deliver_alone(number: int) -> None:
        value, id_ = events.values[number], events.ids[number]
        try:
            source = await connection.deliver(topic, value, id_, homes[number], headers)
            place((number,), source.partition, source.offset)
        except TooLargeForKafka:
            reason = reasons.too_large(len(value), connection.event_bytes_max)
            questions[number].answer.set_result(Rejected((reason,), Stage.DECODE, None, None))
        except (KafkaError, OSError) as error:
            fail((number,), error)

    async def deliver(partition: int, numbers: list[int]) -> None:
        records = [(events.ids[number], events.values[number]) for number in numbers]
        rest = iter(numbers)
        try:
            for acknowledgement, count in await connection.deliver_many(topic, records, partition, headers):
                batch = list(islice(rest, count))
                try:
                    place(batch, partition, (await asyncio.shield(acknowledgement)).offset)
                except MessageSizeTooLargeError:
                    # the batch, not each of its events: this topic takes smaller batches only
                    await asyncio.gather(*map(deliver_alone, batch))
                except (KafkaError, OSError) as error:
                    fail(batch, error)
        except (KafkaError, OSError) as error:
            fail(rest, error)

    apart: defaultdict[int, list[int]] = defaultdict(list)
    large: list[int] = []
    for number, (home, value) in enumerate(zip(homes, events.values, strict=True)):
        (apart[home] if len(value) <= TOGETHER_BYTES_MAX else large).append(number)
    try:
        async with asyncio.timeout(timeout_s), listener.hears(*questions):
            await asyncio.gather(
                *(deliver(partition, numbers) for partition, numbers in apart.items()), *map(deliver_alone, large)
            )
            await countdown.all_told.wait()
    except TimeoutError:
        for question in questions:
            if not question.answer.done():
                question.answer.set_result(in_time_unanswered(question, topic, timeout_s))
    except (KafkaError, OSError, UserError) as error:
        for question in questions:
            question.answer.set_exception(error)


def in_time_unanswered(question: PendingRequest, topic: str, timeout_s: float) -> Answer:
    """What is said of an event when its time is over."""
    source = question.source
    if source is None:
        return TimedOut(None, f"Kafka did not acknowledge it within {timeout_s:g} s")
    if question.is_repeat:
        return Redelivered(source, None)  # its prediction was not found in time
    place = f"{topic}-{source.partition}@{source.offset}"
    why = (
        f"no result within {timeout_s:g} s: the record is at {place}, and its result follows once a worker has read it"
    )
    return TimedOut(source, why)


def _explained(connection: Connection, error: BaseException) -> BaseException:
    try:
        with connection.explained("asking"):
            raise error
    except Exception as explained:
        return explained
