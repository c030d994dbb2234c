"""The committer: the one writer of a worker. All its lanes' batches go to Kafka in one transaction after the other.

Invariant: a batch is told to be committed only once Kafka has decided so, and a transaction is decided only after the
one in front of it. On a fault nothing undecided is committed any more, and every lane is told.

Exactly once rests on two things. Offsets carry the group's generation as of the moment at which the lanes were
assigned, so that a worker that has lost a lane commits nothing of it. And whoever gets a lane initialises its
transactional ids: every partition is somebody's, so whichever id a dead worker wrote under, its transaction is aborted
at once.

Two identities take turns: with one, each transaction would meet the end of the one before it and wait. A transaction is
written while the one before it is decided.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import InvalidProducerIdMapping

from stream_scorer.errors import OutageError
from stream_scorer.runtime.kafka.newer_errors import TransactionAbortableError
from stream_scorer.runtime.kafka.protocol.client import ProtocolClient
from stream_scorer.runtime.kafka.record_batches import STOP_WAIT_S, Ends, Outputs
from stream_scorer.runtime.publishing.fencing import Membership, generation_ignored, refuses_other_generations
from stream_scorer.runtime.publishing.hanging_transactions import HangingTransactions
from stream_scorer.runtime.publishing.producer_identity import ProducerIdentity, initialise
from stream_scorer.runtime.publishing.publisher import LaneUnavailableError
from stream_scorer.runtime.publishing.record_writer import PartitionsUnavailableError
from stream_scorer.runtime.publishing.transaction import LaneBatch, Transaction, TransactionEvent
from stream_scorer.runtime.publishing.transaction_writer import TransactionWriter

log = logging.getLogger(__name__)

TRANSACTION_VERSION: Final = "transaction.version"
TRANSACTION_VERSION_MAX: Final = 2
# Identities that take turns
TURNS: Final = 2
# How long a transaction waits for lanes that are about to have a batch. Measured at 1,000 events a second: a wait as
# long as a small batch takes to score makes of many transactions one, and costs nobody more than it saves.
ACQUIRE_TIMEOUT_S: Final = 0.010
# Between two looks at what could not be initialised or looked at
LOOK_AGAIN_S: Final = 1.0


def transactional_ids(lane_ids: Sequence[str]) -> tuple[str, ...]:
    """All ids of a worker with these lanes' ids: the first two are those it writes under."""
    return tuple(id_ for lane_id in lane_ids for id_ in turns_of(lane_id))


def turns_of(lane_id: str) -> tuple[str, str]:
    """The ids that belong to a lane: that of version 0.1, which had one for each lane, and a second one."""
    return lane_id, f"{lane_id}+"


class Committer:
    """All transactions of a worker in one generation of its group. `lane_ids`: of all its lanes, lowest first."""

    def __init__(
        self,
        client: ProtocolClient,
        membership: Membership,
        *,
        lane_ids: Sequence[str],
        hanging: HangingTransactions,
        timeout_ms: int,
        probe: TopicPartition | None,
        bootstrap: str,
    ) -> None:
        """`probe`: an input to try the broker with, None where it was tried before."""
        self.client, self.membership = client, membership
        self._ids, self._hanging, self._timeout_ms = transactional_ids(lane_ids), hanging, timeout_ms
        self._probe, self._bootstrap = probe, bootstrap
        self._stall_s = timeout_ms / 1000 / 4
        self._initialising: dict[str, asyncio.Task[ProducerIdentity]] = {}
        self._unseen: frozenset[TopicPartition] = frozenset()
        self._lanes: dict[object, Collection[TopicPartition]] = {}
        self._turns: list[ProducerIdentity] = []
        self._queue: list[LaneBatch] = []
        self._announced: set[object] = set()
        self._changed = asyncio.Event()
        self._ending: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._initialised: frozenset[str] = frozenset()
        self._disturbances = 0
        self.closed = False
        self._opening = asyncio.create_task(self._open())
        self._running: asyncio.Task[None] | None = None

    # What lanes do

    def join(self, lane: object, outputs: Collection[TopicPartition]) -> None:
        """A lane that will write here, and to which partitions above all."""
        self._lanes[lane] = outputs

    async def opened(self, ids: Collection[str]) -> None:
        """Return once these ids are initialised and whatever hung under them has been looked for."""
        await asyncio.shield(self._opening)
        while not self._initialised.issuperset(ids):
            if self._failure is not None:
                raise self._failure
            await asyncio.sleep(LOOK_AGAIN_S / 10)

    def announce(self, lane: object) -> None:
        """A lane begins to work on a small batch: the next transaction waits for it a little."""
        self._announced.add(lane)

    def withdraw(self, lane: object) -> None:
        """It does so no longer."""
        self._announced.discard(lane)
        self._changed.set()

    async def publish(
        self, lane: object, outputs: Outputs, offsets: Mapping[TopicPartition, int]
    ) -> tuple[Ends, float]:
        """Publish and commit; where the records of each partition end, and for how long the decision took. Raises
        `LaneUnavailableError`, `OutageError`, or whatever ended the committer."""
        if self._failure is not None:
            raise self._failure
        batch = LaneBatch(lane, outputs, offsets)
        self._queue.append(batch)
        self.withdraw(lane)
        try:
            # beyond this time Kafka has aborted the transaction anyway
            async with asyncio.timeout(self._timeout_ms / 1000):
                return await batch.done
        except TimeoutError as error:
            raise OutageError(
                f"Kafka did not finish a transaction within worker.transaction_timeout_ms = {self._timeout_ms}. "
                "Start the worker again once the broker is back: it resumes after the last committed transaction."
            ) from error
        finally:
            if batch in self._queue:
                self._queue.remove(batch)

    async def leave(self, lane: object) -> None:
        """This lane publishes nothing more; the last one to leave ends the committer."""
        self._lanes.pop(lane, None)
        self.withdraw(lane)
        if not self._lanes:
            await self.close()

    async def close(self) -> None:
        """Abort what is undecided. Waits for a decision that is asked for, but not for long."""
        self.closed = True
        tasks: list[asyncio.Task[Any]] = [self._opening, *self._initialising.values()]
        if self._running is not None:
            tasks.append(self._running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._ending is not None:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(self._ending, STOP_WAIT_S)
        await self.client.close()

    # Opening

    async def _open(self) -> None:
        await self.client.start()
        features = await self.client.features()
        version = min(features.get(TRANSACTION_VERSION, 1), TRANSACTION_VERSION_MAX)
        self._writer = TransactionWriter(
            self.client,
            self.membership,
            version=version,
            timeout_ms=self._timeout_ms // 4,
            stall_s=self._stall_s,
            elsewhere=self._has_leader_elsewhere,
        )
        await self._initialise()
        if self._probe is not None:
            await self._refuse_broker_without_generations(self._probe, implicit=self._writer.implicit)
        names = " and ".join(one.transactional_id for one in self._turns)
        log.info("transactions of version %s under %s", version, names)
        self._running = asyncio.create_task(self._run())

    async def _initialise(self) -> None:
        """Initialise all ids, and end what hangs under them. An id whose transaction can't end yet, because a partition
        of it has no leader, is left to later, unless there is no other to write under."""
        self._disturbances = self.client.disturbances
        self._initialising = {
            id_: asyncio.create_task(initialise(self.client, id_, self._timeout_ms))
            if (task := self._initialising.get(id_)) is None or task.done()
            else task
            for id_ in self._ids
        }
        tasks = self._initialising
        _, pending = await asyncio.wait(tasks.values(), timeout=self._stall_s)
        if len(pending) == len(tasks):
            await asyncio.wait(tasks.values(), return_when=asyncio.FIRST_COMPLETED)
        identities = {id_: task.result() for id_, task in tasks.items() if task.done()}
        self._unseen = await self._hanging.end(identities.values())
        self._turns = list(identities.values())[:TURNS]
        self._initialised = frozenset(identities)
        self._changed.set()

    async def _refuse_broker_without_generations(self, input_: TopicPartition, *, implicit: bool) -> None:
        producer = self._turns[0]
        is_fine = await refuses_other_generations(self.client, producer, self.membership, input_, implicit=implicit)
        await self._writer.end(producer, commit=False)
        if not is_fine:
            raise generation_ignored(self._bootstrap)

    # Transactions

    async def _run(self) -> None:
        """One transaction after the other, until cancelled or something fails."""
        transaction: Transaction | None = None
        try:
            while True:
                transaction = None
                await self._until_there_is_work()
                if self._must_initialise:
                    await self._finish_ending()
                    await self._initialise()
                if not self._queue:
                    continue
                await self._until_announced_have_come()
                if not (batches := await self._take_writable()):
                    continue
                self._turns.append(producer := self._turns.pop(0))
                transaction = Transaction(producer, batches)
                try:
                    await self._write(transaction)
                except PartitionsUnavailableError as error:
                    await self._begin_again(transaction, without=error.partitions)
                    continue
                except (TransactionAbortableError, InvalidProducerIdMapping):
                    # the latter: Kafka forgets an id that was not used for long; whether the lanes are still ours is
                    # told by the generation, so that it may be initialised anew
                    await self._begin_again(transaction)
                    continue
                await self._finish_ending()
                self._ending = asyncio.create_task(self._commit(transaction))
                self._ending.add_done_callback(lambda _: self._changed.set())
                if len(self._turns) < TURNS:
                    await self._finish_ending()
        except BaseException as error:
            self._failure = error
            for batch in [*(transaction.batches if transaction is not None else ()), *self._queue]:
                batch.fail(error)
            if transaction is not None and transaction.is_undecided:
                await self._abort(transaction)
            self._changed.set()
            if not isinstance(error, Exception):
                raise

    async def _write(self, transaction: Transaction) -> None:
        await self._writer.write_records(transaction)
        transaction.on(TransactionEvent.RECORDS_ACKNOWLEDGED)
        await self._writer.write_offsets(transaction)
        transaction.on(TransactionEvent.OFFSETS_ACKNOWLEDGED)

    async def _commit(self, transaction: Transaction) -> None:
        transaction.on(TransactionEvent.COMMIT_REQUESTED)
        began_s = time.perf_counter()
        try:
            await self._writer.end(transaction.producer, commit=True)
        except BaseException as error:
            transaction.on(TransactionEvent.FAILED)
            transaction.fail(error)
            raise
        transaction.on(TransactionEvent.COMMIT_ACKNOWLEDGED)
        for batch in transaction.batches:
            batch.succeed(time.perf_counter() - began_s)

    async def _finish_ending(self) -> None:
        """Wait until the transaction in front is decided."""
        if self._ending is not None:
            await asyncio.shield(self._ending)
            self._ending = None

    async def _abort(self, transaction: Transaction) -> None:
        """Fenced or cut off, this fails too; whoever initialises the id next aborts it then. The first fault is the one
        to tell."""
        transaction.on(TransactionEvent.FAILED)
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self._writer.end(transaction.producer, commit=False), STOP_WAIT_S)

    async def _begin_again(self, transaction: Transaction, without: Collection[TopicPartition] = ()) -> None:
        """Abort, and queue its batches anew, except those to these partitions: their lanes are told."""
        await self._abort(transaction)
        again = [batch for batch in transaction.batches if not self._tell_unavailable(batch, without)]
        for batch in again:
            batch.pack()
        self._queue = [*again, *self._queue]
        # what was aborted has used sequence numbers, and may not have its end in every partition
        self.client.disturbances += 1

    async def _take_writable(self) -> list[LaneBatch]:
        """What can be written now. Lanes whose partitions have no leader are told, where others have one."""
        batches, self._queue = self._queue, []
        if self._unwritable(batches):
            await self.client.refresh()
        return [batch for batch in batches if not self._tell_unavailable(batch, self._unwritable([batch]))]

    def _unwritable(self, batches: Sequence[LaneBatch]) -> list[TopicPartition]:
        return [
            partition
            for batch in batches
            for partition in batch.partitions
            if partition in self._unseen or self.client.known_leader(partition) is None
        ]

    def _tell_unavailable(self, batch: LaneBatch, partitions: Collection[TopicPartition]) -> bool:
        missing = [one for one in batch.partitions if one in partitions]
        if not missing or not self._has_leader_elsewhere(missing):
            return False
        names = ", ".join(f"{one.topic}[{one.partition}]" for one in missing)
        batch.fail(LaneUnavailableError(f"{names} can't be written to: no leader"))
        return True

    def _has_leader_elsewhere(self, partitions: Collection[TopicPartition]) -> bool:
        """Whether a lane could go on without these partitions: on another node than theirs, or where they have none."""
        theirs = {self.client.known_leader(partition) for partition in partitions}
        return any(
            (leader := self.client.known_leader(output)) is not None and leader not in theirs
            for outputs in self._lanes.values()
            for output in outputs
            if output not in partitions
        )

    # Waiting

    async def _until_there_is_work(self) -> None:
        while not self._queue and not self._must_initialise:
            self._changed.clear()
            incomplete = self._unseen or len(self._initialised) < len(self._ids)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN_S if incomplete else None):
                    await self._changed.wait()
            if self._ending is not None and self._ending.done():
                await self._finish_ending()
            if incomplete:
                await self.client.refresh()

    @property
    def _must_initialise(self) -> bool:
        """Whether something happened since by which a transaction may have lost its end in some partition, or what
        could not be initialised or looked at can be now."""
        return (
            self.client.disturbances != self._disturbances
            or any(task.done() for id_, task in self._initialising.items() if id_ not in self._initialised)
            or any(self.client.known_leader(partition) is not None for partition in self._unseen)
        )

    async def _until_announced_have_come(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ACQUIRE_TIMEOUT_S):
                while self._announced:
                    self._changed.clear()
                    await self._changed.wait()
