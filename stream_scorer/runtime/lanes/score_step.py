"""The step that scores: it fetches what the lane's state knows, asks the model, and hands on what becomes of a batch.
Everything in between is `core/observations/score_batch.py`."""

import asyncio
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor

from aiokafka import TopicPartition

from stream_scorer.core.observations.limits import Limits
from stream_scorer.core.observations.score_batch import ScoredBatch, score_batch
from stream_scorer.core.observations.scoring import Codes, FailureThreshold, RecentFailures, Scored, score
from stream_scorer.core.observations.validation import validate_batch
from stream_scorer.core.records.clock import WindowClock
from stream_scorer.core.records.dead_letter_headers import REPLAYS
from stream_scorer.core.records.record import ConsumedRecord
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.lanes.batch import Batch, BatchResult, note_answers
from stream_scorer.runtime.lanes.served_model import ServedModel


class ObservationStep:
    """Scores batches with the model that it serves."""

    def __init__(
        self,
        names: TopicNames,
        limits: Limits,
        brake: FailureThreshold,
        clock_ms: Callable[[], int],
        slack_ms: Callable[[], int] = lambda: 0,
    ) -> None:
        """`slack_ms`: by how much the join window is longer than the settings say."""
        self._names, self._limits, self._brake, self._clock_ms = names, limits, brake, clock_ms
        self._slack_ms = slack_ms
        self._recent = RecentFailures(brake)
        self._executor: ThreadPoolExecutor | None = None

    def serve(self, model: ServedModel) -> None:
        """Score with this model from the next batch on."""
        self._model = model
        if model.expensive and self._executor is None:
            self._executor = ThreadPoolExecutor(1, "model")

    async def run(self, batch: Batch, work: BatchResult) -> None:
        """Add to `work` what becomes of the batch's observations. Raises `ModelFailure`."""
        if not batch.observations:
            return
        limits, steps_s = self._limits, work.stats.steps_s
        began_s = time.perf_counter()
        validated = validate_batch(
            batch.observations,
            partition=batch.partition,
            partitions=limits.partitions,
            event_bytes_max=limits.event_bytes_max,
            framed=limits.schema_registry_frames,
            second_look=work.stats.timing("validate"),
        )
        steps_s["decode"] = time.perf_counter() - began_s - steps_s.get("validate", 0.0)
        with work.stats.timing("admit"):
            found = batch.state.find(validated.rows.ids)
        scoring = score_batch(
            validated,
            found,
            topic=self._names.observations,
            partition=batch.partition,
            speaker=self._model.speaker,
            models=batch.state.models,
            clock=WindowClock(self._clock_ms(), limits.join_window_ms + self._slack_ms()),
            limits=limits,
        )
        self._hand_on(batch, work, await self._drive(scoring, work))

    async def _drive(self, scoring: Generator[Codes, Scored, ScoredBatch], work: BatchResult) -> ScoredBatch:
        """Ask the model whatever `scoring` wants to know, until it is done."""
        advance, scored, step = scoring.__next__, None, "admit"
        while True:
            try:
                with work.stats.timing(step):
                    codes = advance() if scored is None else scoring.send(scored)
            except StopIteration as done:
                result: ScoredBatch = done.value
                return result
            with work.stats.timing("predict"):
                scored = await self._score(codes)
            step = "encode"

    async def _score(self, codes: Codes) -> Scored:
        if not self._model.expensive:
            scored = score(codes, self._model.predict, self._brake)
        else:
            loop = asyncio.get_running_loop()
            scored = await loop.run_in_executor(self._executor, score, codes, self._model.predict, self._brake)
        self._recent.add(len(codes), scored.rejected)
        return scored

    def _hand_on(self, batch: Batch, work: BatchResult, scored: ScoredBatch) -> None:
        """Add what becomes of the batch to what is published, kept and counted."""
        names, partition, noted = self._names, batch.partition, work.stats
        work.add_output(TopicPartition(names.predictions, partition), scored.predictions)
        work.add_output(TopicPartition(names.dead_letters, partition), scored.dead_letters)
        for owner, records in scored.moves.items():
            work.add_output(TopicPartition(names.observations, owner), records)
        work.entries.update(scored.entries)
        if scored.joined is not None:
            note_answers(work, scored.joined, TopicPartition(names.outcome_updates, partition))
        if scored.sample is not None:
            model = self._model.speaker.model, self._model.speaker.role
            noted.counted.count_predictions(model, scored.sample.codes, scored.sample.decisions)
            noted.scored.append((model, scored.sample.codes, scored.sample.probabilities))
        noted.observations["predicted"] += len(scored.predictions)
        noted.observations["dead_lettered"] += len(scored.rejected)
        noted.observations["redelivered"] += scored.redelivered
        noted.observations["moved"] += sum(map(len, scored.moves.values()))
        noted.predicted_ms, noted.unscored = scored.timestamps_ms, scored.unscored
        noted.count_dead_letters(scored.rejected)
        noted.replayed += count_replayed(batch.observations)

    def close(self) -> None:
        """Let go of the model's thread; what it is at is not waited for."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)


def count_replayed(records: Sequence[ConsumedRecord]) -> int:
    """How many records say that an operator sent them again; whoever sends them again says so last."""
    return len([record for record in records if (headers := record.headers) and headers[-1][0] == REPLAYS])
