"""What somebody who reads the output topics with `read_committed` sees of the demo, as it happens; the worker is
never asked.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from stream_scorer.core.contract.smoke_test_ids import is_smoke_id
from stream_scorer.core.records.dead_letter_headers import ERRORS
from stream_scorer.core.records.decode import decode_or_none
from stream_scorer.core.records.record import last_header
from stream_scorer.operations.reading.group_offsets import GroupPosition
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.kafka.client import client_options
from stream_scorer.runtime.settings.settings import Settings

HISTORY_S = 60
RECENT_LATENCIES = 2_000
LAST_PREDICTIONS = 40
LAG_POLL_S = 0.5
POLL_MS = 50


class PredictionSeen(msgspec.Struct, gc=False):
    """Of a prediction's value, what is shown."""

    id: str
    prediction: bool
    proba: float
    model: str


class UpdateSeen(msgspec.Struct, gc=False):
    """Of an outcome update's value, what is shown."""

    status: str
    revision: int = 1
    prediction: bool | None = None
    true_class: bool | None = None


class ReasonSeen(msgspec.Struct, gc=False):
    """Of a reason, what may be shown: its message could quote the payload."""

    code: str
    field: str | None = None


class TimedPrediction(NamedTuple):
    """A prediction and how long after its observation's timestamp it could be read."""

    prediction: PredictionSeen
    latency_ms: float


@dataclass
class LiveCounts:
    """Everything that was seen so far."""

    predictions: Counter[int] = field(default_factory=Counter)  # by partition
    dead_letters: Counter[int] = field(default_factory=Counter)  # by partition
    reasons: Counter[tuple[str, str | None]] = field(default_factory=Counter)
    updates: Counter[str] = field(default_factory=Counter)  # by status; a correction is not another `joined`
    waiting: dict[int, int] = field(default_factory=dict)  # records that are not committed yet, by partition
    latencies_ms: deque[float] = field(default_factory=deque)
    recent_ms: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT_LATENCIES))
    last: deque[TimedPrediction] = field(default_factory=lambda: deque(maxlen=LAST_PREDICTIONS))
    positives: int = 0  # `prediction: true`
    judged: int = 0  # of those, how many have an outcome
    right: int = 0  # of those, how many were right
    per_second: deque[int] = field(default_factory=lambda: deque([0], maxlen=HISTORY_S))
    model: str = ""
    by_model: Counter[str] = field(default_factory=Counter)  # predictions by the model that was published
    first_prediction_at: float | None = None

    @property
    def rate(self) -> float:
        """Predictions a second over the last five whole seconds."""
        whole = list(self.per_second)[-6:-1]
        return sum(whole) / len(whole) if whole else 0.0

    def note_prediction(self, partition: int, prediction: PredictionSeen, latency_ms: float) -> None:
        self.first_prediction_at = self.first_prediction_at or time.monotonic()
        self.predictions[partition] += 1
        self.per_second[-1] += 1
        self.positives += prediction.prediction
        self.model = prediction.model
        self.by_model[prediction.model] += 1
        self.latencies_ms.append(latency_ms)
        self.recent_ms.append(latency_ms)
        self.last.append(TimedPrediction(prediction, latency_ms))

    def note_dead_letter(self, partition: int, reasons: Iterable[ReasonSeen]) -> None:
        self.dead_letters[partition] += 1
        self.reasons.update((reason.code, reason.field) for reason in reasons)

    def note_update(self, update: UpdateSeen) -> None:
        is_correction = update.status == "joined" and update.revision > 1
        self.updates["corrected" if is_correction else update.status] += 1
        if update.status == "joined" and update.prediction:
            # a correction tells the other class than the revision before it
            self.judged += not is_correction
            self.right += 1 if update.true_class else -1 if is_correction else 0


class Watcher:
    """Reads the output topics from their beginning and keeps `seen` up to date; runs until cancelled."""

    def __init__(self, settings: Settings, partitions: int) -> None:
        self.seen = LiveCounts()
        self._kafka, self._names, self._group = settings.kafka, TopicNames(settings.topics.prefix), settings.group_name
        self._partitions = partitions
        self._decode_prediction = msgspec.json.Decoder(PredictionSeen).decode
        self._decode_update = msgspec.json.Decoder(UpdateSeen).decode
        self._decode_reasons = msgspec.json.Decoder(list[ReasonSeen]).decode

    async def run(self) -> None:
        """Read and count."""
        consumer = AIOKafkaConsumer(
            **client_options(self._kafka),
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            fetch_max_wait_ms=100,
        )
        await consumer.start()
        try:
            topics = (self._names.predictions, self._names.dead_letters, self._names.outcome_updates)
            consumer.assign([TopicPartition(topic, p) for topic in topics for p in range(self._partitions)])
            await asyncio.gather(self._read(consumer), self._tick(), self._watch_lag())
        finally:
            await consumer.stop()

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            fetched = await consumer.getmany(timeout_ms=POLL_MS)
            now_ms = time.time() * 1000
            for lane, records in fetched.items():
                for record in records:
                    self._note(lane, record, now_ms)

    def _note(self, lane: TopicPartition, record: ConsumerRecord, now_ms: float) -> None:
        if lane.topic == self._names.predictions:
            prediction = decode_or_none(self._decode_prediction, record.value)
            # those of the warm-up say nothing of the demo
            if prediction is not None and not is_smoke_id(record.key or b""):
                self.seen.note_prediction(lane.partition, prediction, max(now_ms - record.timestamp, 0.0))
        elif lane.topic == self._names.dead_letters:
            reasons = decode_or_none(self._decode_reasons, last_header(record.headers, ERRORS))
            self.seen.note_dead_letter(lane.partition, reasons or ())
        elif (update := decode_or_none(self._decode_update, record.value)) is not None:
            self.seen.note_update(update)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(1)
            self.seen.per_second.append(0)

    async def _watch_lag(self) -> None:
        """How many observations of each partition are behind the group's committed offset. (Moves leave a marker
        each, which counts here.)
        """
        lanes = [TopicPartition(self._names.observations, partition) for partition in range(self._partitions)]
        async with GroupPosition(self._kafka, self._group) as position:
            while True:
                ends, committed = await position.ends(lanes), await position.committed(lanes)
                self.seen.waiting = {lane.partition: max(ends[lane] - committed.get(lane, 0), 0) for lane in lanes}
                await asyncio.sleep(LAG_POLL_S)
