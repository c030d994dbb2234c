"""What one lane counts for its candidates, and when it says so.

Invariant: a lane with the champion alone counts nothing, asks nothing and writes nothing. A pair's first record stands
in the transaction of the first batch that both models served, so that `from` is known to every later owner; an orderly
stop writes down what is left, and the counts between the last record and a crash are lost, whatever the outcomes said.
"""

import logging
from collections.abc import Iterable
from typing import Final

import numpy as np
from aiokafka import TopicPartition

from stream_scorer.core.contract.smoke_test_ids import smoke_test_indices
from stream_scorer.core.observations.scoring import Codes, Probabilities
from stream_scorer.core.observations.speakers import Published
from stream_scorer.core.outcomes.join import JoinedOutcomes, joined_outcomes
from stream_scorer.core.quality.counts import Model
from stream_scorer.core.records.model_control import ServedModel
from stream_scorer.core.records.model_evidence import ModelEvidence, encode_evidence
from stream_scorer.core.records.model_switch import FirstOffsets
from stream_scorer.core.records.record import ProducerRecord
from stream_scorer.core.records.timestamps import rfc3339
from stream_scorer.core.rollout.evidence_counter import EvidenceCounter, ModelPair, pair_of
from stream_scorer.runtime.lanes.batch import Batch, BatchResult
from stream_scorer.runtime.lanes.shadow_step import Ask
from stream_scorer.runtime.lanes.update_verdicts import with_verdicts
from stream_scorer.runtime.rollout.evidence_topic import EvidenceTopic
from stream_scorer.runtime.rollout.serving_models import ServingModels, models_of

log = logging.getLogger(__name__)

OUTCOMES_A_RECORD: Final = 1_000
RECORD_EVERY_MS: Final = 60_000


class LaneEvidence:
    """One for each lane. `updates`: the topic of outcome updates, which get verdicts; `ask` asks a model about codes;
    `worker`: how this worker calls itself in records."""

    def __init__(self, partition: int, topic: EvidenceTopic, updates: str, ask: Ask, worker: str) -> None:
        self._updates = TopicPartition(updates, partition)
        self._partition, self._topic, self._ask, self._worker = partition, topic, ask, worker
        self._models: ServingModels | None = None
        self._serving: list[EvidenceCounter] = []
        self._counters: dict[ModelPair, EvidenceCounter] = {}
        self._recorded: dict[ModelPair, ModelEvidence | None] = {}
        self._unrecorded: set[ModelPair] = set()
        self._outcomes = 0
        self._recorded_ms = 0
        self.topic = topic.topic

    async def open(self, models: ServingModels) -> None:
        """Look up what the lane's former owners have counted for these models."""
        pairs = {pair_of(models.ids.champion, candidate) for candidate in _candidates(models)}
        unknown = pairs - self._recorded.keys() - self._counters.keys()
        if unknown:
            found = await self._topic.last(self._partition, unknown)
            self._recorded |= {pair: found.get(pair) for pair in unknown}

    async def count(self, batch: Batch, work: BatchResult, next_: FirstOffsets, now_ms: int) -> list[ProducerRecord]:
        """Count what became of a batch; what is published with it, most often nothing. `next_`: the offsets behind the
        batch."""
        due = False
        if batch.models is not self._models:
            due = await self._switch(batch, now_ms)
        if self._serving:
            await self._count_scored(batch.models, work)
            await self._count_outcomes(batch.models, work)
            await self._add_verdicts(batch.models, work)
        elif not due:
            return []
        if not due and self._outcomes < OUTCOMES_A_RECORD and now_ms - self._recorded_ms < RECORD_EVERY_MS:
            return []
        return self.unrecorded(next_, now_ms)

    def unrecorded(self, next_: FirstOffsets, now_ms: int) -> list[ProducerRecord]:
        """Records of all that was counted since the last ones; what a lane publishes when it stops. `next_`: the
        offsets behind what was counted."""
        counted = [counter for pair, counter in self._counters.items() if pair in self._unrecorded]
        self._unrecorded, self._outcomes, self._recorded_ms = set(), 0, now_ms
        at = rfc3339(now_ms)
        records = [counter.record(self._partition, next_, self._worker, at) for counter in counted]
        return [ProducerRecord(record.key, encode_evidence(record), now_ms) for record in records]

    async def _switch(self, batch: Batch, now_ms: int) -> bool:
        """Count for the models of this batch from now on; whether a record is due, of new pairs or of those that are
        not served any more."""
        await self.open(batch.models)
        self._models = batch.models
        due = bool(self._unrecorded)
        before, self._serving = self._serving, []
        for candidate in _candidates(batch.models):
            pair = pair_of(batch.models.ids.champion, candidate)
            if (counter := self._counters.get(pair)) is None:
                recorded = self._recorded.pop(pair, None)
                counter = self._counters[pair] = EvidenceCounter(pair, batch.first, recorded)
                if recorded is None:
                    self._unrecorded.add(pair)
                    due = True
            counter.resume(batch.first)
            self._serving.append(counter)
        for counter in before:
            if counter not in self._serving:
                counter.pause(batch.first)
        if not self._recorded_ms:
            self._recorded_ms = now_ms
        return due

    async def _count_scored(self, models: ServingModels, work: BatchResult) -> None:
        """Count the stops that were predicted just now. A former champion that is asked in a process of its own is not
        asked about them: nobody waits for what it says, and its coverage is not judged."""
        published = work.published
        if published is None:
            return
        others = _without_smoke_tests(published)
        for counter in self._serving:
            candidate = counter.pair.candidate
            answer: Probabilities | str | None = work.shadow_answers.get(candidate.digest)
            if models.ids.canary is not None and candidate.digest == models.ids.canary.digest:
                answer = published.canary
            elif answer is None and models.ids.previous is not None:
                loaded = models.loaded[candidate.digest]
                if candidate.digest == models.ids.previous.digest and not loaded.expensive:
                    answer = await self._ask(published.codes, loaded)
            if answer is not None and not isinstance(answer, str):
                codes, said = published.codes[others], answer[others]
                counter.count_scored(codes, published.champion[others], said)
                if (shadow := _as_shadow(models, candidate)) is not None:
                    work.stats.counted.count_predictions(shadow, codes, said >= candidate.threshold)
                    work.stats.shadow_scored.append((shadow, codes, said))
                self._unrecorded.add(counter.pair)

    async def _count_outcomes(self, models: ServingModels, work: BatchResult) -> None:
        """Count the outcomes that were joined just now, each once, for the pairs that served its observation; what
        corrects one that was counted is noted beside it."""
        outcomes = joined_outcomes(work.joined)
        earliest = min(counter.first.observations for counter in self._serving)
        outcomes = outcomes.at(outcomes.offsets >= earliest)
        if not len(outcomes.codes):
            return
        champion = await self._answer(outcomes.codes, models, models.ids.champion)
        if champion is None:
            return
        self._outcomes += int(outcomes.is_first.sum())
        for counter in self._serving:
            own = counter.covers(outcomes.offsets)
            counted: JoinedOutcomes = outcomes.at(own)
            candidate = await self._answer(counted.codes, models, counter.pair.candidate)
            if candidate is None:
                work.stats.shadows_missing += len(counted.codes)
                continue
            first, later = counted.is_first, ~counted.is_first
            said = champion[own]
            counter.count_outcomes(counted.codes[first], said[first], candidate[first], counted.actual[first])
            counter.count_corrections(counted.codes[later], said[later], candidate[later], counted.actual[later])
            if (shadow := _as_shadow(models, counter.pair.candidate)) is not None:
                decisions = candidate >= counter.pair.candidate.threshold
                work.stats.counted.count_joined(
                    shadow, counted.codes[first], candidate[first], decisions[first], counted.actual[first]
                )
            self._unrecorded.add(counter.pair)

    async def _add_verdicts(self, models: ServingModels, work: BatchResult) -> None:
        """Let the batch's outcome updates say what each model would have said."""

        async def answer(codes: Codes, model: ServedModel) -> Probabilities | None:
            loaded = models.loaded[model.digest]
            said = loaded.ended() or await self._ask(codes, loaded)
            return None if isinstance(said, str) else said

        if updates := work.outputs.get(self._updates):
            work.outputs[self._updates] = await with_verdicts(updates, work.entries, self._serving, answer)

    async def _answer(self, codes: Codes, models: ServingModels, model: ServedModel) -> Probabilities | None:
        loaded = models.loaded[model.digest]
        answer = loaded.ended() or await self._ask(codes, loaded)
        if isinstance(answer, str):
            log.warning("%s outcomes are not counted for %s: %s", len(codes), loaded.label, answer)
            return None
        return answer


def _candidates(models: ServingModels) -> Iterable[ServedModel]:
    return models_of(models.ids)[1:]


def _as_shadow(models: ServingModels, candidate: ServedModel) -> Model | None:
    """How metrics name a shadow; None for another candidate, whose published predictions are counted as such."""
    digests = {shadow.digest for shadow in models.ids.shadows}
    return (candidate.label, "shadow") if candidate.digest in digests else None


def _without_smoke_tests(published: Published) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """The rows of stops."""
    others = np.ones(len(published.codes), dtype=np.bool_)
    others[smoke_test_indices(published.rows.ids)] = False
    return others
