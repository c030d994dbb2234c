"""One transaction: the batches of some lanes, their offsets, and how far it is.

Invariant: what a fault means follows from the state alone. Before the decision is asked for, nothing is visible and
the transaction can be aborted; from then on only Kafka knows, and asking again for the same decision does no harm.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Final

from aiokafka import TopicPartition
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from stream_scorer.runtime.kafka.record_batches import BATCH_BYTES_MAX, Ends, Outputs, codec_for
from stream_scorer.runtime.publishing.producer_identity import ProducerIdentity

RECORD_FORMAT: Final = 2
# A sequence number is a non-negative 32-bit integer, and goes on with 0
SEQUENCES: Final = 2**31


class TransactionStatus(Enum):
    """How far a transaction is."""

    WRITING_RECORDS = "writing records"
    WRITING_OFFSETS = "writing offsets"
    WRITTEN = "written"  # Kafka has said yes to everything in it
    COMMITTING = "committing"  # the decision is asked for: it may be made already
    COMMITTED = "committed"
    ABORTED = "aborted"


class TransactionEvent(Enum):
    """What happens to a transaction."""

    RECORDS_ACKNOWLEDGED = "records acknowledged"
    OFFSETS_ACKNOWLEDGED = "offsets acknowledged"
    COMMIT_REQUESTED = "commit requested"
    COMMIT_ACKNOWLEDGED = "commit acknowledged"
    FAILED = "failed"


TRANSITIONS: Final = {
    TransactionStatus.WRITING_RECORDS: {
        TransactionEvent.RECORDS_ACKNOWLEDGED: TransactionStatus.WRITING_OFFSETS,
        TransactionEvent.FAILED: TransactionStatus.ABORTED,
    },
    TransactionStatus.WRITING_OFFSETS: {
        TransactionEvent.OFFSETS_ACKNOWLEDGED: TransactionStatus.WRITTEN,
        TransactionEvent.FAILED: TransactionStatus.ABORTED,
    },
    TransactionStatus.WRITTEN: {
        TransactionEvent.COMMIT_REQUESTED: TransactionStatus.COMMITTING,
        TransactionEvent.FAILED: TransactionStatus.ABORTED,
    },
    # a fault here changes nothing: whoever initialises the id next hears how it was decided
    TransactionStatus.COMMITTING: {
        TransactionEvent.COMMIT_ACKNOWLEDGED: TransactionStatus.COMMITTED,
        TransactionEvent.FAILED: TransactionStatus.COMMITTING,
    },
    TransactionStatus.COMMITTED: {},
    TransactionStatus.ABORTED: {TransactionEvent.FAILED: TransactionStatus.ABORTED},
}


class RecordBatch:
    """A record batch for one partition, packed but for its producer's state. `codec`: the number of its compression, 0
    for none."""

    def __init__(self, partition: TopicPartition, codec: int = 0, *, transactional: bool = True) -> None:
        self.partition, self.count = partition, 0
        self._builder = DefaultRecordBatchBuilder(
            magic=RECORD_FORMAT,
            compression_type=codec,
            is_transactional=int(transactional),
            producer_id=-1,
            producer_epoch=-1,
            base_sequence=0,
            batch_size=BATCH_BYTES_MAX,
        )
        self.append = self._builder.append

    def bytes_of(self, producer: ProducerIdentity) -> bytes:
        """What goes to Kafka, with the producer's next sequence numbers; to be asked once."""
        self._builder.set_producer_state(producer.id, producer.epoch, producer.sequences[self.partition])
        producer.sequences[self.partition] = (producer.sequences[self.partition] + self.count) % SEQUENCES
        return bytes(self._builder.build())


class LaneBatch:
    """What one lane has in a transaction: records to any partitions, and its offsets. `done` gives where the records of
    each partition end, or raises what kept them from being committed. `transactional`: False at least once, where the
    records are all there is to it."""

    def __init__(
        self,
        lane: object,
        outputs: Outputs,
        offsets: Mapping[TopicPartition, int],
        *,
        transactional: bool = True,
    ) -> None:
        if transactional and not offsets:
            raise ValueError("a transaction without offsets is not checked against the group's generation")
        self._transactional = transactional
        self.lane, self.outputs, self.offsets = lane, outputs, offsets
        self.done: asyncio.Future[tuple[Ends, float]] = asyncio.get_running_loop().create_future()
        self.pack()

    def pack(self) -> None:
        """Build the record batches, for the first time or, after an abort, anew."""
        self.ends: Ends = {}
        self.batches: list[RecordBatch] = []
        now_ms = int(time.time() * 1000)
        for partition, records in self.outputs.items():
            batch: RecordBatch | None = None
            for key, value, timestamp_ms, headers in records:
                stamp_ms = timestamp_ms if timestamp_ms >= 0 else now_ms
                # the encoder answers None when the batch is full
                if batch is None or batch.append(batch.count, stamp_ms, key, value, headers) is None:
                    batch = RecordBatch(partition, codec_for(value, key, headers), transactional=self._transactional)
                    batch.append(0, stamp_ms, key, value, headers)
                    self.batches.append(batch)
                batch.count += 1

    @property
    def partitions(self) -> list[TopicPartition]:
        """What it writes to."""
        return list(dict.fromkeys(batch.partition for batch in self.batches))

    def note_end(self, batch: RecordBatch, base_offset: int) -> None:
        """Kafka has this batch, from that offset on; -1 where it does not say."""
        if base_offset >= 0:
            self.ends[batch.partition] = max(self.ends.get(batch.partition, 0), base_offset + batch.count)

    def fail(self, error: BaseException) -> None:
        """Tell the lane, if it still waits; one that is let go without a fault is cancelled."""
        if self.done.done():
            return
        if isinstance(error, Exception):
            self.done.set_exception(error)
        else:
            self.done.cancel()

    def succeed(self, commit_s: float) -> None:
        """The same for its commit, which took so long."""
        if not self.done.done():
            self.done.set_result((self.ends, commit_s))


class Transaction:
    """Some lanes' batches under one producer identity."""

    def __init__(self, producer: ProducerIdentity, batches: Iterable[LaneBatch]) -> None:
        self.producer, self.batches = producer, list(batches)
        self.status = TransactionStatus.WRITING_RECORDS

    def on(self, event: TransactionEvent) -> None:
        """Go on to the state that the event leads to. A pair that the table lacks is a bug: KeyError."""
        self.status = TRANSITIONS[self.status][event]

    @property
    def is_undecided(self) -> bool:
        """Whether it is sure that nobody has decided it: it can be aborted."""
        return self.status in (
            TransactionStatus.WRITING_RECORDS,
            TransactionStatus.WRITING_OFFSETS,
            TransactionStatus.WRITTEN,
        )

    @property
    def partitions(self) -> list[TopicPartition]:
        """What it writes to."""
        return list(dict.fromkeys(partition for batch in self.batches for partition in batch.partitions))

    @property
    def offsets(self) -> dict[TopicPartition, int]:
        """The offsets of all its lanes; the later batch of a lane wins."""
        return {partition: offset for batch in self.batches for partition, offset in batch.offsets.items()}

    def fail(self, error: BaseException) -> None:
        """Tell the lanes."""
        for batch in self.batches:
            batch.fail(error)
