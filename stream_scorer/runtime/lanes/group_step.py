"""The step that scores the small batches of several lanes together: one look at their bytes, one question to the model,
one encoding for all of them. Everything in between is `core/observations/plain_batches.py`.

Invariant: a batch that is not plain is left as it was, for `ObservationStep` to score alone; so is the whole group
where the model's answer is of no use, so that its failures are judged in one place.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final

from stream_scorer.core.observations.limits import Limits
from stream_scorer.core.observations.plain_batches import PlainBatch, codes_of_all, score_plain, validate_plain
from stream_scorer.core.observations.score_batch import ScoredBatch
from stream_scorer.core.records.clock import WindowClock
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.lanes.batch import Batch, BatchResult
from stream_scorer.runtime.lanes.shadow_step import Ask
from stream_scorer.runtime.rollout.serving_models import ServingModels

# A group ends with the batch that makes it this large: what a batch costs in itself no longer counts then
GROUP_RECORDS_MAX: Final = 1_000

# A batch, and what has become of it so far
Work = tuple[Batch, BatchResult]


class GroupStep:
    """`ask` asks a model about codes; `scored` is told how many rows a champion has scored."""

    def __init__(
        self,
        names: TopicNames,
        limits: Limits,
        clock: Callable[[], WindowClock],
        *,
        ask: Ask,
        scored: Callable[[int], None],
    ) -> None:
        self._names, self._limits, self._clock = names, limits, clock
        self._ask, self._scored = ask, scored

    async def run(self, group: Sequence[Work]) -> list[tuple[Work, ScoredBatch]]:
        """Score the plain batches of a group; gives those that were, with what becomes of them. A batch's time in a
        step is that of its group."""
        by_models: dict[ServingModels, list[Work]] = {}
        for one in group:
            batch, _ = one
            if batch.observations and batch.models.ids.canary is None:
                by_models.setdefault(batch.models, []).append(one)
        done: list[tuple[Work, ScoredBatch]] = []
        for models, same in by_models.items():
            if len(same) > 1:
                done += await self._score(models, same)
        return done

    async def _score(self, models: ServingModels, group: Sequence[Work]) -> list[tuple[Work, ScoredBatch]]:
        began_s = time.perf_counter()
        found = validate_plain([(batch.partition, batch.observations) for batch, _ in group], self._limits)
        decoded_s = time.perf_counter()
        speaker, loaded = models.champion.speaker, models.champion.loaded
        plain: list[tuple[Work, PlainBatch]] = []
        for one, rows in zip(group, found, strict=True):
            state = one[0].state
            if rows is not None and not any(state.find(rows.ids)):
                number = state.models.number(speaker.model, speaker.role)
                plain.append((one, PlainBatch(one[0].partition, rows, number)))
        if not plain:
            return []
        batches = [batch for _, batch in plain]
        codes = codes_of_all(batches)
        admitted_s = time.perf_counter()
        answer = await self._ask(codes, loaded)
        if isinstance(answer, str):
            return []
        self._scored(len(codes))
        predicted_s = time.perf_counter()
        results = list(
            score_plain(
                batches,
                codes,
                answer,
                topic=self._names.observations,
                speaker=speaker,
                clock=self._clock(),
                limits=self._limits,
            )
        )
        ended_s = time.perf_counter()
        steps_s = {
            "decode": decoded_s - began_s,
            "admit": admitted_s - decoded_s,
            "predict": predicted_s - admitted_s,
            "encode": ended_s - predicted_s,
        }
        for (_, work), _ in plain:
            work.stats.steps_s.update(steps_s)
        return [(one, result) for (one, _), result in zip(plain, results, strict=True)]
