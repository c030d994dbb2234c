"""What an observation costs in each part of its way through a worker, without Kafka: the worker's own code on batches
of one lane, one part after the other.

Invariant: each part is the code that the worker runs, on what the part before it gave; a part's figure is its processor
time in the quickest of its runs, so that what else the machine does is left out as far as it can be; that of counting
is a mean.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import numpy as np
from aiokafka import TopicPartition
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from stream_scorer.core.contract.columns import EVENT_BYTES_MAX
from stream_scorer.core.observations.limits import Limits
from stream_scorer.core.observations.score_batch import ScoredBatch, score_batch
from stream_scorer.core.observations.scoring import Codes, FailureThreshold, Scored, score
from stream_scorer.core.observations.validation import ValidatedBatch, validate_batch
from stream_scorer.core.records.clock import WindowClock
from stream_scorer.core.records.model_switch import FirstOffsets
from stream_scorer.core.records.partitioner import partition_of
from stream_scorer.models.registry.model_directory import load_model
from stream_scorer.operations.bench.environment import Say
from stream_scorer.operations.bench.fetch_cost import FetchCost, measure_fetches
from stream_scorer.operations.bench.group_cost import GroupCost, measure_groups
from stream_scorer.operations.sending.event_sources import generated_events
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.kafka.lenient_record_parser import FetchedRecords
from stream_scorer.runtime.lanes.batch import Batch, BatchResult
from stream_scorer.runtime.lanes.score_step import ObservationStep
from stream_scorer.runtime.metrics.registry import Metrics
from stream_scorer.runtime.publishing.producer_identity import ProducerIdentity
from stream_scorer.runtime.publishing.transaction import LaneBatch
from stream_scorer.runtime.rollout.serving_models import ServingModel, ServingModels, local_models
from stream_scorer.runtime.state.pending_writes import PendingWrites
from stream_scorer.runtime.state.restore import open_store
from stream_scorer.runtime.state.rocksdb import shared_memory

# A full batch, and a small one, which shows what a batch costs in itself
BATCHES: Final = (16_384, 4)
# Enough of them for some to be undisturbed
ROUNDS: Final = {16_384: 12, 4: 3_000}
PARTITION: Final = 0
PARTITIONS: Final = 4
EVENTS_MAX: Final = 2_000_000
DAY_MS: Final = 86_400_000
WINDOW_MS: Final = 30 * DAY_MS
DEAD_LETTER_BYTES_MAX: Final = 900_000
PARTS: Final = ("fetch", "decode and validate", "state, look-up", "score", "encode", "append", "state, write", "count")

T = TypeVar("T")


class PathFigures(msgspec.Struct, kw_only=True):
    """Microseconds that an observation takes in each part, by part, in batches of so many records."""

    batch_records: int
    part_us: dict[str, float]


class HotPathFigures(msgspec.Struct, kw_only=True):
    """One for each size of batches; and, for some numbers of lanes, small batches in groups, and a fetch's packing and
    reading."""

    paths: list[PathFigures]
    groups: list[GroupCost]
    fetches: list[FetchCost]


@dataclass
class Stopwatch:
    """The quickest run of each part, in seconds."""

    best_s: dict[str, float] = field(default_factory=dict)

    def time(self, part: str, work: Callable[[], T]) -> T:
        began_s = time.thread_time()
        done = work()
        took_s = time.thread_time() - began_s
        self.best_s[part] = min(took_s, self.best_s.get(part, took_s))
        return done


async def measure_hot_path(model: Path | None, say: Say) -> HotPathFigures:
    """Measure each part, in large and in small batches."""
    from stream_scorer.models.registry.default_model import ensure_default_model

    folder = ensure_default_model(say) if model is None else model
    loaded = load_model(folder)
    served = local_models(ServingModel(loaded.name, loaded.digest, loaded.score, loaded.expensive), loaded.threshold)
    paths = []
    for records in BATCHES:
        say(f"Batches of {records:,} records")
        with tempfile.TemporaryDirectory(prefix="stream-scorer-hot-path-") as state:
            store = await open_store(Path(state), PARTITION, "bench", shared_memory())
            path = HotPath(served, PendingWrites(store))
            try:
                paths.append(path.measure(records))
            finally:
                store.close()
    say("Small batches of many lanes")
    groups = await measure_groups(served, limits_of)
    return HotPathFigures(paths=paths, groups=groups, fetches=measure_fetches())


def limits_of(partitions: int) -> Limits:
    """Limits as the settings have them."""
    return Limits(
        partitions,
        event_bytes_max=EVENT_BYTES_MAX,
        dead_letter_bytes_max=DEAD_LETTER_BYTES_MAX,
        include_observation=False,
        cloudevents=False,
        repeats_are_conflicts=False,
        join_window_ms=WINDOW_MS,
    )


class HotPath:
    """The way through one lane, over generated events without broken ones."""

    def __init__(self, models: ServingModels, state: PendingWrites) -> None:
        self._models, self._champion = models, models.champion
        self._state, self._watch = state, Stopwatch()
        self._names = TopicNames("bench")
        self._limits = limits_of(PARTITIONS)
        self._metrics = Metrics()
        self._metrics.model_loaded(self._champion.speaker.model, self._champion.speaker.role)
        self._brake = FailureThreshold(0.5, 1_000)
        self._step = ObservationStep(self._names, self._limits, self._brake, lambda: time.time_ns() // 1_000_000)
        self._producer = ProducerIdentity("bench", 1, 0)
        # more than are asked for: a quarter of them belongs to this lane
        generated = generated_events(EVENTS_MAX, seed=7, broken_share=0.0, id_prefix="evt-")
        self._events = (event for event in generated if partition_of(event.key or b"", PARTITIONS) == PARTITION)
        self._offset, self._counting_s = 0, 0.0

    def measure(self, records: int) -> PathFigures:
        """Each part, in turns."""
        for fetched in self._fetched(records, ROUNDS[records]):
            self._through_parts(fetched)
        best = self._watch.best_s
        # the mean: small batches wait, and every so often one call counts them all
        best["count"] = self._counting_s / ROUNDS[records]
        return PathFigures(
            batch_records=records, part_us={part: round(best[part] * 1e6 / records, 3) for part in PARTS}
        )

    def _fetched(self, records: int, rounds: int) -> Iterator[bytes]:
        """Record batches as Kafka would hand them out."""
        for _ in range(rounds):
            batch = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, 0, 1 << 30)
            now_ms = time.time_ns() // 1_000_000
            for place in range(records):
                event = next(self._events)
                batch.append(place, now_ms, event.key, event.value, [])
            packed = bytearray(batch.build())
            packed[:8] = self._offset.to_bytes(8, "big")
            self._offset += records
            yield bytes(packed)

    def _through_parts(self, fetched: bytes) -> None:
        watch, state, limits = self._watch, self._state, self._limits
        records = watch.time("fetch", lambda: unpacked(fetched))
        validated = watch.time(
            "decode and validate",
            lambda: validate_batch(
                records, partition=PARTITION, partitions=PARTITIONS, event_bytes_max=limits.event_bytes_max
            ),
        )
        found = watch.time("state, look-up", lambda: state.find(validated.rows.ids))
        codes, scored = self._score(validated)
        result = watch.time("encode", lambda: self._encode(validated, found, codes, scored))
        outputs = {TopicPartition(self._names.predictions, PARTITION): result.predictions}
        offsets = {TopicPartition(self._names.observations, PARTITION): self._offset}
        watch.time("append", lambda: self._append(outputs, offsets))
        state.stage(result.entries)
        watch.time("state, write", lambda: state.commit({self._names.predictions: self._offset}, ()))
        batch, work = (
            Batch(PARTITION, records, (), offsets, state, self._models, FirstOffsets(self._offset, 0)),
            BatchResult(),
        )
        self._step._hand_on(batch, work, result)
        work.stats.steps_s |= {"decode": 0.0, "admit": 0.0, "predict": 0.0, "encode": 0.0, "publish": 0.0}
        began_s = time.thread_time()
        self._metrics.committed(batch, work.stats, time.time_ns() // 1_000_000)
        self._counting_s += time.thread_time() - began_s

    def _score(self, validated: ValidatedBatch) -> tuple[Codes, Scored]:
        codes = np.array(validated.rows.codes, dtype=np.int64)
        return codes, self._watch.time("score", lambda: score(codes, self._champion.loaded.predict, self._brake))

    def _encode(
        self, validated: ValidatedBatch, found: list[bytes | None], codes: Codes, scored: Scored
    ) -> ScoredBatch:
        """Everything of a batch's scoring but the model."""
        scoring = score_batch(
            validated,
            found,
            topic=self._names.observations,
            partition=PARTITION,
            speaker=self._champion.speaker,
            models=self._state.models,
            clock=WindowClock(time.time_ns() // 1_000_000, WINDOW_MS),
            limits=self._limits,
        )
        next(scoring)
        try:
            scoring.send(scored)
        except StopIteration as done:
            result: ScoredBatch = done.value
            return result
        raise AssertionError("all ids are new, so that the model is asked once")

    def _append(self, outputs: Any, offsets: dict[TopicPartition, int]) -> None:
        """Pack the record batches, with their checksums, as they go to Kafka."""
        for batch in LaneBatch(self, outputs, offsets).batches:
            batch.bytes_of(self._producer)


def unpacked(fetched: bytes) -> list[Any]:
    """The records of what was fetched, checked and decoded."""
    reader, records = FetchedRecords(fetched), []
    while (batch := reader.next_batch()) is not None:
        batch.validate_crc()
        records += batch.records()
    return records
