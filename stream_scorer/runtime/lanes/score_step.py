"""The step that scores: observation records of a batch in; predictions, dead letters, moves and new entries out.

Invariant: an id is scored once within the join window; who comes again is redelivered or a conflict.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from aiokafka import TopicPartition
from numpy.typing import NDArray

from stream_scorer.core.contract.reasons import Code, Reason, Stage
from stream_scorer.core.contract.smoke_test_ids import smoke_test_indices
from stream_scorer.core.dead_letters.rejection import RejectedRecord, bury
from stream_scorer.core.observations.deduplication import Batch as Arrivals
from stream_scorer.core.observations.deduplication import (
    DeduplicationResult,
    deduplicate_observations,
    deduplicate_repeats,
)
from stream_scorer.core.observations.prediction_records import predict
from stream_scorer.core.observations.scoring import (
    Codes,
    FailureThreshold,
    Probabilities,
    RecentFailures,
    Scored,
    score,
)
from stream_scorer.core.observations.validation import ValidObservations, validate_batch
from stream_scorer.core.outcomes.batch_join import join_buffered
from stream_scorer.core.quality.counts import Decisions
from stream_scorer.core.records.clock import WindowClock
from stream_scorer.core.records.dead_letter import REPLAYS
from stream_scorer.core.records.record import ConsumedRecord, rfc3339
from stream_scorer.core.state.entry_columns import pack_predictions
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.lanes.batch import Batch, BatchResult, note_answers
from stream_scorer.runtime.lanes.served_model import Limits, ServedModel

STAGE_OF_REFUSAL = {
    Code.CONFLICT: Stage.CONFLICT,
    Code.SCORING_FAILED: Stage.SCORE,
    Code.INVALID_OUTPUT: Stage.OUTPUT,
}


class ScoringResult(NamedTuple):
    """What the state and the model say of a batch's rows; every row stands in one place. `accepted`: ascending, with
    `probabilities` of the same length; `waiting`: those of them whose outcome came first; `refused`: row -> why;
    `redelivered`: how many are known already."""

    accepted: Sequence[int]
    probabilities: NDArray[np.float64]
    waiting: Sequence[int] = ()
    refused: Mapping[int, Reason] = {}
    redelivered: int = 0


class ObservationStep:
    """Scores batches with the model that it serves."""

    def __init__(self, names: TopicNames, limits: Limits, brake: FailureThreshold, clock_ms: Callable[[], int]) -> None:
        self._names, self._limits, self._brake, self._clock_ms = names, limits, brake, clock_ms
        self._recent = RecentFailures(brake)
        self._executor: ThreadPoolExecutor | None = None

    def serve(self, model: ServedModel) -> None:
        """Score with this model from the next batch on."""
        self._model = model
        if model.expensive and self._executor is None:
            self._executor = ThreadPoolExecutor(1, "model")

    async def run(self, batch: Batch, work: BatchResult) -> None:
        """Add to `work` what becomes of the batch's observations. Raises `ModelAtFault`."""
        if not batch.observations:
            return
        limits, partition, steps_s = self._limits, batch.partition, work.noted.steps_s
        began_s = time.perf_counter()
        sorted_ = validate_batch(
            batch.observations,
            partition=partition,
            partitions=limits.partitions,
            event_bytes_max=limits.event_bytes_max,
            second_look=work.noted.timing("validate"),
        )
        steps_s["decode"] = _lap(began_s) - steps_s.get("validate", 0.0)
        began_s = time.perf_counter()
        rows = sorted_.rows
        clock = WindowClock(self._clock_ms(), limits.join_window_ms)
        found = batch.state.find(rows.ids)
        admission = deduplicate_observations(
            Arrivals(rows.ids, rows.codes, rows.offsets),
            found,
            window_starts_ms=clock.window_starts_ms,
            repeats_are_conflicts=limits.repeats_are_conflicts,
        )
        steps_s["admit"] = _lap(began_s)
        began_s = time.perf_counter()
        verdict = await self._judge(rows, admission)
        steps_s["predict"] = _lap(began_s)
        began_s = time.perf_counter()
        rejected = sorted_.rejected + [
            RejectedRecord(rows.records[row], (reason,), STAGE_OF_REFUSAL[reason.code])
            for row, reason in verdict.refused.items()
        ]
        self._publish(batch, work, rows, verdict, rejected, clock)
        self._keep(batch, work, rows, verdict, found, clock)
        for owner, records in sorted_.moved.items():
            work.publish(TopicPartition(self._names.observations, owner), records)
        ends = work.noted.observations
        ends["dead_lettered"] += len(rejected)
        ends["redelivered"] += verdict.redelivered
        ends["moved"] += sum(map(len, sorted_.moved.values()))
        work.noted.buried(rejected)
        work.noted.replayed += count_replayed(batch.observations)
        work.noted.unscored = [
            rows.ids[row] for row, reason in verdict.refused.items() if reason.code is not Code.CONFLICT
        ]
        steps_s["encode"] = _lap(began_s)

    async def _judge(self, rows: ValidObservations, admission: DeduplicationResult) -> ScoringResult:
        scored = await self._score(
            [rows.codes[row] for row in admission.new] if len(admission.new) < len(rows.ids) else rows.codes
        )
        if len(admission.new) == len(rows.ids) and not scored.rejected:
            return ScoringResult(admission.new, scored.probabilities, admission.waiting)  # nearly every batch
        arrivals = Arrivals(rows.ids, rows.codes, rows.offsets)
        accepted: dict[int, float] = {}
        refused: dict[int, Reason] = {}
        waiting: list[int] = []
        redelivered = 0
        while True:
            redelivered += len(admission.redelivered)
            refused.update(admission.conflicts)
            failed = {admission.new[place]: reason for place, reason in scored.rejected.items()}
            refused.update(failed)
            answers = zip(admission.new, scored.probabilities.tolist(), strict=True)
            accepted.update((row, probability) for row, probability in answers if row not in failed)
            waiting += [row for row in admission.waiting if row not in failed]
            if not admission.repeats:
                break
            # a repeat of one that failed is the first of its id in turn
            admission = deduplicate_repeats(
                arrivals, admission, failed, repeats_are_conflicts=self._limits.repeats_are_conflicts
            )
            scored = await self._score([rows.codes[row] for row in admission.new])
        in_order = sorted(accepted)
        probabilities = np.array([accepted[row] for row in in_order], dtype=np.float64)
        return ScoringResult(in_order, probabilities, sorted(waiting), dict(sorted(refused.items())), redelivered)

    async def _score(self, codes: Sequence[int]) -> Scored:
        if not codes:
            return Scored(np.empty(0), {})
        array = np.array(codes, dtype=np.int64)
        if not self._model.expensive:
            scored = score(array, self._model.predict, self._brake)
        else:
            loop = asyncio.get_running_loop()
            scored = await loop.run_in_executor(self._executor, score, array, self._model.predict, self._brake)
        self._recent.add(len(codes), scored.rejected)
        return scored

    def _publish(
        self,
        batch: Batch,
        work: BatchResult,
        rows: ValidObservations,
        verdict: ScoringResult,
        rejected: Sequence[RejectedRecord],
        clock: WindowClock,
    ) -> None:
        partition, names, speaker = batch.partition, self._names, self._model.speaker
        accepted = rows.at(verdict.accepted)
        predictions = predict(
            accepted,
            verdict.probabilities.tolist(),
            partition=partition,
            speaker=speaker,
            scored_at=rfc3339(clock.now_ms),
            with_observation=self._limits.include_observation,
            cloud_events_of=names.observations if self._limits.cloudevents else None,
        )
        work.publish(TopicPartition(names.predictions, partition), predictions)
        letters = [
            bury(one, names.observations, partition, clock.now_ms, self._limits.dead_letter_bytes_max)
            for one in sorted(rejected, key=lambda one: one.record.offset)
        ]
        work.publish(TopicPartition(names.dead_letters, partition), letters)
        work.noted.observations["predicted"] += len(predictions)
        work.noted.predicted_ms = [record.timestamp for record in accepted.records]

    def _keep(
        self,
        batch: Batch,
        work: BatchResult,
        rows: ValidObservations,
        verdict: ScoringResult,
        found: Sequence[bytes | None],
        clock: WindowClock,
    ) -> None:
        """Note the entries of what was scored, and answer the outcomes that came before their observations."""
        speaker, models = self._model.speaker, batch.state.models
        accepted = rows.at(verdict.accepted)
        if not accepted.ids:
            return
        codes = np.array(accepted.codes, dtype=np.int64)
        decisions = verdict.probabilities >= speaker.threshold
        entries = pack_predictions(
            codes,
            verdict.probabilities,
            decisions,
            models.number(speaker.model, speaker.role),
            accepted.offsets,
            clock.event_ms_each(np.array(work.noted.predicted_ms, dtype=np.int64)),
            clock.now_ms,
        )
        work.entries.update(zip(accepted.ids, entries, strict=True))
        self._count(work, accepted.ids, codes, decisions, verdict.probabilities)
        if verdict.waiting:
            ids = [rows.ids[row] for row in verdict.waiting]
            scored = [entry for id_ in ids if (entry := work.entries[id_]) is not None]
            waited = [entry for row in verdict.waiting if (entry := found[row]) is not None]
            answers = join_buffered(ids, scored, waited, partition=batch.partition, models=models)
            note_answers(work, answers, TopicPartition(self._names.outcome_updates, batch.partition))

    def _count(
        self, work: BatchResult, ids: Sequence[bytes], codes: Codes, decisions: Decisions, probabilities: Probabilities
    ) -> None:
        """Note what figures of quality and drift stand on, without smoke tests."""
        if smoke := smoke_test_indices(ids):
            others = np.ones(len(ids), dtype=np.bool_)
            others[smoke] = False
            codes, decisions, probabilities = codes[others], decisions[others], probabilities[others]
        model = self._model.speaker.model, self._model.speaker.role
        work.noted.counted.count_predictions(model, codes, decisions)
        work.noted.scored.append((model, codes, probabilities))

    def close(self) -> None:
        """Let go of the model's thread; what it is at is not waited for."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)


def count_replayed(records: Sequence[ConsumedRecord]) -> int:
    """How many records say that an operator sent them again; whoever sends them again says so last."""
    return len([record for record in records if (headers := record.headers) and headers[-1][0] == REPLAYS])


def _lap(began_s: float) -> float:
    return time.perf_counter() - began_s
