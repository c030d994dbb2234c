"""The step that asks shadows: on the observations that were just predicted, within a budget, for records that nobody
acts on.

Invariant: whatever a shadow does, the batch is published without it; what it fails at three times is suspended.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

from aiokafka import TopicPartition

from stream_scorer.core.observations.scoring import Codes, Probabilities
from stream_scorer.core.observations.shadow_records import Candidate, shadow_records, with_other_speaker
from stream_scorer.core.observations.speakers import CanaryShare, Published
from stream_scorer.core.records.model_control import ServedModel
from stream_scorer.core.records.timestamps import rfc3339
from stream_scorer.errors import ModelError
from stream_scorer.runtime.lanes.batch import Batch, BatchResult, Suspension
from stream_scorer.runtime.rollout.serving_models import ServingModel, ServingModels

log = logging.getLogger(__name__)

STRIKES_MAX: Final = 3

# A candidate's probabilities for codes, or why its answer is of no use; it never raises what the model raised
Ask = Callable[[Codes, ServingModel], Awaitable[Probabilities | str]]


class ShadowStep:
    """Asks all shadows at once. `topic`: of shadow predictions; `ask` asks one; `budget_s`: within which all must have
    answered; `only_disagreements`: whether a record is written only where one decides otherwise."""

    def __init__(
        self, topic: str, ask: Ask, clock_ms: Callable[[], int], *, budget_s: float, only_disagreements: bool
    ) -> None:
        self._topic, self._ask, self._clock_ms = topic, ask, clock_ms
        self._budget_s, self._only_disagreements = budget_s, only_disagreements
        # by control record and digest: another control record is another chance
        self._strikes: Counter[tuple[int | None, str]] = Counter()
        self._restarting: dict[str, asyncio.Task[None]] = {}

    async def run(
        self, batch: Batch, work: BatchResult, published: Published, canary: CanaryShare | None, models: ServingModels
    ) -> None:
        """Add to `work` what the shadows would have said, and which of them the lane goes on without."""
        asked: dict[asyncio.Task[Probabilities | str], ServedModel] = {}
        for shadow in models.ids.shadows:
            if self._strikes[models.control_offset, shadow.digest] >= STRIKES_MAX:
                reason = f"it failed {STRIKES_MAX} times"
                work.suspensions.append(Suspension(shadow.digest, shadow.label, reason))
            elif self._is_there(loaded := models.loaded[shadow.digest]):
                asked[asyncio.ensure_future(self._ask(published.codes, loaded))] = shadow
            else:
                work.stats.shadows_missing += len(published.codes)
        answers = await self._answers(asked, models, work, len(published.codes))
        speaker = None if canary is None else canary.speaker
        champion = models.champion.speaker
        records = shadow_records(
            published,
            champion,
            speaker,
            with_other_speaker(published, champion, speaker, answers),
            partition=batch.partition,
            scored_at=rfc3339(self._clock_ms()),
            only_disagreements=self._only_disagreements,
        )
        work.add_output(TopicPartition(self._topic, batch.partition), records)
        work.stats.shadow_predictions += len(records)

    async def _answers(
        self,
        asked: dict[asyncio.Task[Probabilities | str], ServedModel],
        models: ServingModels,
        work: BatchResult,
        rows: int,
    ) -> list[Candidate]:
        if not asked:
            return []
        _, late = await asyncio.wait(asked, timeout=self._budget_s)
        for task in late:  # killed, it answers at once that it is gone
            await asyncio.to_thread(models.loaded[asked[task].digest].close)
        answers = []
        for task, shadow in asked.items():
            answer = f"no answer within {self._budget_s:.1f} s" if task in late else task.result()
            if isinstance(answer, str):
                self._strike(shadow, models, answer)
                work.stats.shadows_missing += rows
            else:
                answers.append(Candidate(shadow.label, shadow.threshold, answer))
                work.shadow_answers[shadow.digest] = answer
        if late:
            await asyncio.wait(late)
        return answers

    def _is_there(self, model: ServingModel) -> bool:
        """Whether it can be asked; one that has ended is started again meanwhile."""
        restarting = self._restarting.get(model.digest)
        if restarting is not None and not restarting.done():
            return False
        if model.ended() is None:
            return True
        self._restarting[model.digest] = asyncio.create_task(_restart(model))
        return False

    def _strike(self, shadow: ServedModel, models: ServingModels, why: str) -> None:
        self._strikes[models.control_offset, shadow.digest] += 1
        strikes = self._strikes[models.control_offset, shadow.digest]
        log.warning("shadow %s failed (%s of %s): %s", shadow.label, strikes, STRIKES_MAX, why)
        if strikes >= STRIKES_MAX:
            models.loaded[shadow.digest].close()

    def close(self) -> None:
        """Let go of what is being started."""
        for task in self._restarting.values():
            task.cancel()


async def _restart(model: ServingModel) -> None:
    try:
        await asyncio.to_thread(model.restart)
    except ModelError as error:
        log.warning("shadow %s can't be started again: %s", model.label, error)
