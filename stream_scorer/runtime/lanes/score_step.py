"""The step that scores: it fetches what the lane's state knows, asks the model, and hands on what becomes of a batch.
Everything in between is `core/observations/score_batch.py`."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from aiokafka import TopicPartition

from stream_scorer.core.observations.limits import Limits
from stream_scorer.core.observations.score_batch import ScoredBatch, Scoring, score_batch
from stream_scorer.core.observations.scoring import (
    Codes,
    FailureThreshold,
    ModelFailure,
    Probabilities,
    RecentFailures,
    Scored,
    score,
)
from stream_scorer.core.observations.speakers import CanaryShare
from stream_scorer.core.observations.validation import validate_batch
from stream_scorer.core.records.clock import WindowClock
from stream_scorer.core.records.dead_letter_headers import REPLAYS
from stream_scorer.core.records.prediction import ModelIdentity
from stream_scorer.core.records.record import ConsumedRecord
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.lanes.batch import Batch, BatchResult, Suspension, note_answers
from stream_scorer.runtime.lanes.group_step import GroupStep, Work
from stream_scorer.runtime.lanes.shadow_step import ShadowStep
from stream_scorer.runtime.rollout.serving_models import ServingModel, ServingModels

T = TypeVar("T")
# Of models that are asked at one time, each waits in a thread for its process
THREADS = 8


class ObservationStep:
    """Scores batches with the models that they bring along."""

    def __init__(
        self,
        names: TopicNames,
        limits: Limits,
        brake: FailureThreshold,
        clock_ms: Callable[[], int],
        slack_ms: Callable[[], int] = lambda: 0,
        *,
        shadow_budget_s: float = 1.0,
        only_disagreements: bool = False,
    ) -> None:
        """`slack_ms`: by how much the join window is longer than the settings say; `shadow_budget_s`,
        `only_disagreements`: as in `ShadowStep`."""
        self._names, self._limits, self._brake, self._clock_ms = names, limits, brake, clock_ms
        self._slack_ms = slack_ms
        self._recent = RecentFailures(brake)
        self._executor: ThreadPoolExecutor | None = None
        self._group_step = GroupStep(
            names, limits, self._clock, ask=self.ask, scored=lambda rows: self._recent.add(rows, {})
        )
        self._shadows = ShadowStep(
            names.shadow_predictions,
            self.ask,
            clock_ms,
            budget_s=shadow_budget_s,
            only_disagreements=only_disagreements,
        )

    async def run_group(self, group: Sequence[Work]) -> None:
        """The same as `run` for each, with one pass over all that are plain. Raises `ModelFailure`."""
        together = await self._group_step.run(group) if len(group) > 1 else []
        for (batch, work), scored in together:
            await self._settle(batch, work, scored, None)
        done = {id(batch) for (batch, _), _ in together}
        for batch, work in group:
            if id(batch) not in done:
                await self.run(batch, work)

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
        models, canary = batch.models, canary_share(batch.models)
        scoring = score_batch(
            validated,
            found,
            topic=self._names.observations,
            partition=batch.partition,
            speaker=models.champion.speaker,
            models=batch.state.models,
            clock=self._clock(),
            limits=limits,
            canary=canary,
        )
        await self._settle(batch, work, await self._drive(scoring, models, work), canary)

    async def _settle(self, batch: Batch, work: BatchResult, scored: ScoredBatch, canary: CanaryShare | None) -> None:
        """Hand on what becomes of the batch, and ask shadows about it."""
        self._hand_on(batch, work, scored)
        work.published = scored.published
        if (batch.models.ids.shadows or canary is not None) and scored.published is not None:
            with work.stats.timing("shadow"):
                await self._shadows.run(batch, work, scored.published, canary, batch.models)

    def _clock(self) -> WindowClock:
        return WindowClock(self._clock_ms(), self._limits.join_window_ms + self._slack_ms())

    async def _drive(self, scoring: Scoring, models: ServingModels, work: BatchResult) -> ScoredBatch:
        """Ask the models whatever `scoring` wants to know, until it is done."""
        answer: Scored | None = None
        step = "admit"
        while True:
            try:
                with work.stats.timing(step):
                    question = scoring.send(answer)
            except StopIteration as done:
                result: ScoredBatch = done.value
                return result
            with work.stats.timing("predict"):
                if question.role == "champion":
                    answer = await self._score(question.codes, models.champion.loaded)
                else:
                    answer = await self._score_canary(question.codes, models, work)
            step = "encode"

    async def _score(self, codes: Codes, model: ServingModel) -> Scored:
        if not model.expensive:
            scored = score(codes, model.predict, self._brake)
        else:
            scored = await self._in_thread(score, codes, model.predict, self._brake)
            if (why := model.ended()) is not None:  # which is no fault of the rows
                raise ModelFailure(f"{model.label} does not answer: {why}")
        self._recent.add(len(codes), scored.rejected)
        return scored

    async def _score_canary(self, codes: Codes, models: ServingModels, work: BatchResult) -> Scored | None:
        """What the canary says; None where it fails at any row, and then the lane goes on without it."""
        canary = models.ids.canary
        if canary is None:
            return None
        answer = await self.ask(codes, models.loaded[canary.digest])
        if isinstance(answer, str):
            work.suspensions.append(Suspension(canary.digest, canary.label, answer))
            return None
        return Scored(answer, {})

    async def ask(self, codes: Codes, model: ServingModel) -> Probabilities | str:
        """What a model says of all rows, or why its answer is of no use. Never raises what it raised."""
        try:
            returned = await self._in_thread(model.predict, codes) if model.expensive else model.predict(codes)
            probabilities = np.asarray(returned, dtype=np.float64)
        except Exception as error:  # whatever it raises, the champion has answered
            return f"it raised {type(error).__name__}"
        if probabilities.shape != codes.shape:
            return f"it gave an array of shape {probabilities.shape} for {len(codes)} rows"
        if not bool(((probabilities >= 0.0) & (probabilities <= 1.0)).all()):
            return "it gave a number that is no probability"
        return probabilities

    async def _in_thread(self, ask: Callable[..., T], *about: object) -> T:
        if self._executor is None:
            self._executor = ThreadPoolExecutor(THREADS, "model")
        return await asyncio.get_running_loop().run_in_executor(self._executor, ask, *about)

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
        for speaker, sample in scored.samples:
            noted.scored.append(((speaker.model, speaker.role), sample))
        noted.observations["predicted"] += len(scored.predictions)
        noted.observations["dead_lettered"] += len(scored.rejected)
        noted.observations["redelivered"] += scored.redelivered
        noted.observations["moved"] += sum(map(len, scored.moves.values()))
        noted.predicted_ms, noted.unscored = scored.timestamps_ms, scored.unscored
        noted.count_dead_letters(scored.rejected)
        noted.replayed += count_replayed(batch.observations)

    def close(self) -> None:
        """Let go of the models' threads; what they are at is not waited for."""
        self._shadows.close()
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)


def canary_share(models: ServingModels) -> CanaryShare | None:
    """Whose predictions are the canary's; None without one."""
    canary = models.ids.canary
    if canary is None:
        return None
    return CanaryShare(
        ModelIdentity(canary.label, "canary", canary.threshold), bytes.fromhex(canary.salt), canary.share
    )


def count_replayed(records: Sequence[ConsumedRecord]) -> int:
    """How many records say that an operator sent them again; whoever sends them again says so last."""
    return len([record for record in records if (headers := record.headers) and headers[-1][0] == REPLAYS])
