"""What became of records about which nothing was published: moved, or redelivered.

Invariant: silence is believed only once the group has committed past the record and everything that was published up to
that commit has been read.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import GroupAuthorizationFailedError

from stream_scorer.client.pending_requests import PendingRequest, PendingRequests
from stream_scorer.client.results import Redelivered
from stream_scorer.core.records.decode import decode_or_none
from stream_scorer.core.records.input_reference import decode_source
from stream_scorer.core.records.prediction import Prediction
from stream_scorer.core.records.record import MOVED_FROM, Source, last_header
from stream_scorer.runtime.cluster.topic_admin import TopicNames

POLL_MS: Final = 100
STANDSTILL_POLLS_MAX: Final = 10
FENCE_POLLS: Final = 10
FENCE_POLL_S: Final = 0.01
# An event that is sent again mostly was sent shortly before: the search begins with the newest so many predictions of
# a partition, and goes on with twice as many; about 6 s for the most.
LOOK_BACK_FIRST: Final = 512
LOOK_BACK_MAX: Final = 1_000_000

Positions = Callable[[Iterable[TopicPartition]], Awaitable[Mapping[TopicPartition, int]]]

_decode_prediction: Final = msgspec.json.Decoder(Prediction).decode


class ReadStalled(Exception):
    """A range could not be read to its end now, so what was not found in it may still be there."""


class NoReplyResolver:
    """Looks after questions that stay without an answer. `positions` says how far the listener has read."""

    def __init__(
        self,
        measuring: AIOKafkaConsumer,
        looking_back: AIOKafkaConsumer,
        names: TopicNames,
        questions: PendingRequests,
        positions: Positions,
    ) -> None:
        self._measuring, self._looking_back, self._names = measuring, looking_back, names
        self._questions, self._positions = questions, positions
        self._may_ask_group = True
        # Offsets of the input that were committed, and where the answers ended after that: read up to there, who still
        # waits below those offsets waits for nothing.
        self._fences: dict[int, tuple[int, dict[TopicPartition, int]]] = {}

    async def look(self, quiet: Iterable[PendingRequest]) -> None:
        """Answer those that were redelivered, and follow those that were moved."""
        if not self._may_ask_group:
            return
        lanes: dict[int, list[PendingRequest]] = {}
        for question in quiet:
            if question.source is not None:
                lanes.setdefault(question.source.partition, []).append(question)
        for partition, questions in lanes.items():
            passed_over = await self._passed_over(partition, questions)
            astray = [one for one in passed_over if one.is_astray]
            again = [one for one in passed_over if not one.is_astray]
            for question in again:
                question.is_repeat = True
            with contextlib.suppress(ReadStalled):  # the next check starts over
                if astray:
                    await self._follow(astray)
                if again:
                    await self._find_earlier(partition, again)

    async def _passed_over(self, partition: int, questions: list[PendingRequest]) -> list[PendingRequest]:
        fence = self._fences.get(partition)
        if fence is None:
            fence = await self._fence(partition, questions)
            if fence is None:
                return []
        committed, ends = fence
        if not await self._is_read_up_to(ends):
            self._fences[partition] = fence
            return []
        self._fences.pop(partition, None)
        return [one for one in questions if one.source and one.source.offset < committed and not one.answer.done()]

    async def _is_read_up_to(self, ends: Mapping[TopicPartition, int]) -> bool:
        """Whether the listener has come so far; mostly it does within a moment, which is waited for."""
        for _ in range(FENCE_POLLS):
            reached = await self._positions(ends)
            if all(reached[answers] >= end for answers, end in ends.items()):
                return True
            await asyncio.sleep(FENCE_POLL_S)
        return False

    async def _fence(
        self, partition: int, questions: list[PendingRequest]
    ) -> tuple[int, dict[TopicPartition, int]] | None:
        names = self._names
        try:
            committed = await self._measuring.committed(TopicPartition(names.observations, partition))
        except GroupAuthorizationFailedError:
            self._may_ask_group = False  # this user may not see the group: redeliveries stay without an answer
            return None
        if committed is None or all(one.source is None or one.source.offset >= committed for one in questions):
            return None
        # Everything that belongs to that commit was in the topics before it, so the ends are asked for after it.
        answers = [TopicPartition(topic, partition) for topic in (names.predictions, names.dead_letters)]
        return committed, await self._measuring.end_offsets(answers)

    # Moved

    async def _follow(self, astray: list[PendingRequest]) -> None:
        """Find where the worker has put them."""
        by_source = {one.source: one for one in astray}
        for home in {one.home for one in astray if one.home is not None}:
            begin = min(one.home_begins for one in astray if one.home == home)
            partition = TopicPartition(self._names.observations, home)
            end = (await self._measuring.end_offsets([partition]))[partition]
            async for records in self._read(partition, begin, end):
                for record in records:
                    moved = _decode_moved(last_header(record.headers, MOVED_FROM)) if record.headers else None
                    question = by_source.pop(moved, None) if moved is not None else None
                    if question is not None and question.home == home:
                        self._questions.place(question, Source(home, record.offset))

    # Redelivered

    async def _find_earlier(self, partition: int, again: list[PendingRequest]) -> None:
        """Answer with the earlier predictions, the newest ones searched first."""
        wanted: dict[tuple[bytes | None, int | None], list[PendingRequest]] = {}
        for question in again:
            wanted.setdefault((question.id, question.code), []).append(question)
        predictions = TopicPartition(self._names.predictions, partition)
        begin = (await self._looking_back.beginning_offsets([predictions]))[predictions]
        end = upper = (await self._looking_back.end_offsets([predictions]))[predictions]
        step = LOOK_BACK_FIRST
        while wanted and upper > begin and end - upper < LOOK_BACK_MAX:
            lower = max(begin, upper - step)
            found = await self._predictions_of(wanted, predictions, lower, upper)
            for key, prediction in found.items():
                _answer(wanted.pop(key), prediction)
            for key in [key for key, asked in wanted.items() if all(one.answer.done() for one in asked)]:
                del wanted[key]
            upper, step = lower, 2 * step
        for asked in wanted.values():
            _answer(asked, None)

    async def _predictions_of(
        self, wanted: Mapping[tuple[bytes | None, int | None], Any], partition: TopicPartition, begin: int, end: int
    ) -> dict[tuple[bytes | None, int | None], Prediction]:
        ids = {id_ for id_, _ in wanted}
        found: dict[tuple[bytes | None, int | None], Prediction] = {}
        async for records in self._read(partition, begin, end):
            for record in records:
                if record.key in ids:
                    prediction = _decode(record.value)
                    if prediction is not None and (record.key, prediction.observation_code) in wanted:
                        found[record.key, prediction.observation_code] = prediction
        return found

    def _read(self, partition: TopicPartition, begin: int, end: int) -> AsyncIterator[list[Any]]:
        return read_range(self._looking_back, partition, begin, end)


async def read_range(
    consumer: AIOKafkaConsumer, partition: TopicPartition, begin: int, end: int
) -> AsyncIterator[list[Any]]:
    """Committed records of a range; the consumer reads nothing else meanwhile. Raises ReadStalled where nothing comes
    for a second: the broker is away, or a transaction open."""
    consumer.assign([partition])
    consumer.seek(partition, begin)
    position, standstill = begin, 0
    while position < end:
        for records in (await consumer.getmany(partition, timeout_ms=POLL_MS)).values():
            yield [record for record in records if record.offset < end]
        reached = await consumer.position(partition)
        standstill = 0 if reached > position else standstill + 1
        position = reached
        if standstill >= STANDSTILL_POLLS_MAX:
            raise ReadStalled


def _answer(asked: Iterable[PendingRequest], prediction: Prediction | None) -> None:
    for question in asked:
        if question.source is not None and not question.answer.done():
            question.answer.set_result(Redelivered(question.source, prediction))


def _decode(value: bytes | None) -> Prediction | None:
    return decode_or_none(_decode_prediction, value)


def _decode_moved(header: bytes | None) -> Source | None:
    return decode_or_none(decode_source, header)
