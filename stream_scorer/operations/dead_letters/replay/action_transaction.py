"""Acts on letters, written: what is published again and what the ledger says of it, in one transaction.

Invariant: one transactional id for each partition of dead letters. Who starts it fences whoever acted there before, and
reads the ledger to its end only then: so nobody else can have decided on a letter between that look and this act.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, Self

import numpy as np
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, UnknownError

from stream_scorer.core.records.audit_log import NO_LETTER, Action, AuditEntry, encode_entry
from stream_scorer.core.records.dead_letter_reader import DeadLetter, SourcePosition, UnreadableDeadLetter
from stream_scorer.core.records.record import ProducerRecord, rfc3339
from stream_scorer.errors import FencedError, OutageError
from stream_scorer.operations.dead_letters.context import Context
from stream_scorer.operations.dead_letters.index.rows import ACTS
from stream_scorer.runtime.kafka.errors import FENCED, cause_of, to_user_error, what_happened
from stream_scorer.runtime.kafka.newer_errors import TransactionAbortableError
from stream_scorer.runtime.kafka.record_batches import (
    BATCH_BYTES_MAX,
    REQUEST_BYTES_MAX,
    RETRY_WAIT_MS,
    STOP_WAIT_S,
    pack,
    stop_producer,
)
from stream_scorer.runtime.worker.clock import wall_clock_ms

# A hanging transaction blocks the workers that read its partitions: the next producer aborts it at once, Kafka after
# this time
TRANSACTION_TIMEOUT_MS: Final = 10_000
# Kafka gave up this transaction, or says no more than that something went wrong (two operators who begin in the same
# moment have met it): begun anew behind the ledger's end, the act is done once
UNDECIDED: Final = (TransactionAbortableError, UnknownError)
# Letters in one transaction: many enough to be quick, few enough to be over in a moment
TOGETHER_MAX: Final = 1_000


class Republication(NamedTuple):
    """A letter's record, to be published again."""

    topic: str
    partition: int
    record: ProducerRecord


class DecisionState(NamedTuple):
    """How a letter stands: what was decided on it, if anything was, and how often its record had been replayed."""

    decided: Action | None
    replays: int


class PlannedAction(NamedTuple):
    """What is to be done with one letter. `replays`: how often its record has been replayed then."""

    letter: DeadLetter | UnreadableDeadLetter
    act: Action
    replays: int
    again: Republication | None = None
    why: str = ""
    fix: str = ""


class ActionTransaction:
    """Writes acts on the letters of one partition, as `async with Actor(…) as actor`."""

    def __init__(self, access: Context, partition: int) -> None:
        self._access = access
        self._seen: set[int] = set()
        self._producer = AIOKafkaProducer(
            **access.options,
            transactional_id=f"{access.settings.group_name}-replay-{partition}",
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            acks="all",
            max_batch_size=BATCH_BYTES_MAX,
            max_request_size=REQUEST_BYTES_MAX,
            request_timeout_ms=TRANSACTION_TIMEOUT_MS,
            retry_backoff_ms=RETRY_WAIT_MS,
        )

    async def __aenter__(self) -> Self:
        try:
            with _told(self._access):
                await self._producer.start()
            await self._access.index.refresh_ledger(self._access.reader)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await stop_producer(self._producer)

    def standings(self, letters: Sequence[DeadLetter | UnreadableDeadLetter]) -> list[DecisionState]:
        """How each letter stands by the ledger, whatever its headers say; of two that are one, the second as if the
        first was replayed: a worker that delivers at least once may have written a letter twice."""
        numbers = [self._access.number_of(letter) for letter in letters]
        acts = self._access.index.acts
        decisions, arrivals = acts.decisions(np.array(numbers)), acts.arrivals(np.array(numbers))
        found = []
        for number, decision, arrival in zip(numbers, decisions.tolist(), arrivals.tolist(), strict=True):
            decided = ACTS[int(acts.rows["act"][decision])] if decision >= 0 else None
            replays = int(acts.rows["replays"][arrival]) if arrival >= 0 else 0
            found.append(DecisionState(Action.REPLAY if number in self._seen else decided, replays))
            self._seen.add(number)
        return found

    async def commit(self, intents: Sequence[PlannedAction]) -> None:
        """All of them or none, and once Kafka has said yes. Raises FencedError where another operator has taken
        over."""
        producer = self._producer
        with _told(self._access):
            async with asyncio.timeout(TRANSACTION_TIMEOUT_MS / 1000):
                await producer.begin_transaction()
                try:
                    became = await self._publish([intent.again for intent in intents])
                    await self._note(intents, became)
                    await producer.commit_transaction()
                except BaseException:
                    # without a connection, or fenced, the abort fails too: then the next producer aborts it
                    with contextlib.suppress(Exception):
                        await asyncio.wait_for(producer.abort_transaction(), STOP_WAIT_S)
                    raise

    async def _publish(self, records: Sequence[Republication | None]) -> list[SourcePosition | None]:
        """Where each of them was published."""
        apart: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
        for number, again in enumerate(records):
            if again is not None:
                apart[again.topic, again.partition].append(number)
        became: list[SourcePosition | None] = [None] * len(records)
        for (topic, partition), numbers in apart.items():
            together = [again.record for number in numbers if (again := records[number]) is not None]
            offsets = await self._send(topic, partition, together)
            for number, offset in zip(numbers, offsets, strict=True):
                became[number] = SourcePosition(topic, partition, offset)
        return became

    async def _send(self, topic: str, partition: int, records: Sequence[ProducerRecord]) -> list[int]:
        """Whole record batches, built here: a `send` for each record costs ten times as much."""
        sent = [
            (await self._producer.send_batch(batch, topic, partition=partition), count)
            for batch, count in pack(self._producer, records, wall_clock_ms())
        ]
        offsets: list[int] = []
        for future, count in sent:
            begin = (await future).offset
            offsets += range(begin, begin + count)
        return offsets

    async def _note(self, intents: Sequence[PlannedAction], became: Sequence[SourcePosition | None]) -> None:
        clock_ms = wall_clock_ms()
        at = rfc3339(clock_ms)
        entries = []
        for intent, place in zip(intents, became, strict=True):
            entry = AuditEntry(
                act=intent.act,
                who=self._access.who,
                at=at,
                origin=self._access.origin_of(intent.letter),
                letter=intent.letter.place,
                why=intent.why,
                replays=intent.replays,
                became=place,
                fix=intent.fix,
            )
            entries.append(ProducerRecord(entry.key, encode_entry(entry), clock_ms))
        await self._send(self._access.names.ledger, 0, entries)


async def note_reveal(access: Context, letter: DeadLetter | UnreadableDeadLetter, why: str) -> None:
    """Write into the ledger that somebody is about to see what a letter says of a person. It fences nobody."""
    entry = AuditEntry(
        act=Action.REVEAL,
        who=access.who,
        at=rfc3339(wall_clock_ms()),
        origin=access.origin_of(letter),
        letter=letter.place,
        why=why,
    )
    await _append(access, [entry])


async def note_check(
    access: Context,
    letters: Sequence[DeadLetter | UnreadableDeadLetter],
    *,
    count: int,
    filter_: str,
    fix: str = "",
    why: str = "",
) -> None:
    """Write into the ledger that somebody is about to learn something that depends on masked bytes: of each of
    `letters`, or, where there are none, of the `count` letters of a filter. It fences nobody."""
    at, names = rfc3339(wall_clock_ms()), access.names
    entries = [
        AuditEntry(
            act=Action.CHECK,
            who=access.who,
            at=at,
            origin=access.origin_of(letter),
            letter=letter.place,
            why=why,
            fix=fix,
        )
        for letter in letters
    ]
    if not entries:
        nowhere = SourcePosition(names.dead_letters, NO_LETTER.partition, NO_LETTER.offset)
        entries = [
            AuditEntry(
                act=Action.CHECK,
                who=access.who,
                at=at,
                origin=nowhere,
                letter=NO_LETTER,
                why=why,
                fix=fix,
                letters=count,
                filter=filter_,
            )
        ]
    await _append(access, entries)


async def _append(access: Context, entries: Sequence[AuditEntry]) -> None:
    with _told(access):
        producer = AIOKafkaProducer(**access.options, enable_idempotence=True, acks="all")
        try:
            await producer.start()
            sent = [await producer.send(access.names.ledger, encode_entry(one), one.key, 0) for one in entries]
            await asyncio.gather(*sent)
        finally:
            await producer.stop()


@contextlib.contextmanager
def _told(access: Context) -> Iterator[None]:
    """Kafka's faults in our words."""
    try:
        yield
    except (KafkaError, TimeoutError, OSError) as error:
        cause = cause_of(error)
        if isinstance(cause, UNDECIDED):
            raise FencedError(
                f"Kafka could not finish a transaction on dead letters: {what_happened(cause)}. What was committed is "
                "done once; run the same command again for the rest."
            ) from error
        if isinstance(cause, FENCED):
            raise FencedError(
                "Another operator is acting on the same dead letters. What was committed is done once; run the same "
                "command again for the rest."
            ) from error
        bootstrap = access.settings.kafka.bootstrap
        known = to_user_error(error, "acting on dead letters", bootstrap)
        if known is None or isinstance(known, OutageError):
            raise OutageError(
                f"Kafka does not answer at {bootstrap} while acting on dead letters: {what_happened(error)}. "
                "What was committed is done once; run the same command again for the rest."
            ) from error
        raise known from error
