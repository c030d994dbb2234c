"""The Faust agents, where events are worked on: whole batches come in over channels, the pure core does the work, the answer goes back.

Law: an agent never owns delivery. A batch that fails is settled as failed; its lane aborts and the worker ends.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import faust
import numpy as np
from aiokafka import TopicPartition

import stream_scorer
from stream_scorer.core.dead_letters import dead_letter
from stream_scorer.core.observing import Rejected, Sorted, put_together, sort_out
from stream_scorer.core.predictions import Speaker
from stream_scorer.core.records import Outgoing, Publishable, rfc3339
from stream_scorer.core.scoring import Brake, Predict, RecentFailures, Scored, score
from stream_scorer.runtime.lanes import Batch, Work
from stream_scorer.runtime.metrics import Metrics
from stream_scorer.runtime.topics import TopicNames


@dataclass(frozen=True)
class ServedModel:
    """The model as the worker needs it. `expensive`: it is asked in a thread of its own, so that heartbeats go on."""

    speaker: Speaker
    predict: Predict
    expensive: bool


@dataclass(frozen=True)
class Limits:
    """What the worker's settings say about records."""

    partitions: int
    event_bytes_max: int
    dead_letter_bytes_max: int
    include_observation: bool


@dataclass(slots=True)
class Question:
    """A batch on its way through an agent, and where its lane waits for the answer."""

    batch: Batch
    answer: asyncio.Future[Work]


class Scorer:
    """Asks the agents on behalf of the lanes, and answers on behalf of the agents."""

    def __init__(
        self,
        app: faust.App,
        *,
        names: TopicNames,
        limits: Limits,
        brake: Brake,
        metrics: Metrics,
        clock_ms: Callable[[], int],
    ) -> None:
        self._names, self._limits, self._metrics, self._clock_ms = names, limits, metrics, clock_ms
        self._brake = brake
        self._recent = RecentFailures(brake)
        self._executor: ThreadPoolExecutor | None = None
        self._questions = app.channel()
        app.agent(self._questions, name="score_observations")(self._answer_all)

    def serve(self, model: ServedModel) -> None:
        """Score with this model from the next batch on."""
        self._model = model
        if model.expensive and self._executor is None:
            self._executor = ThreadPoolExecutor(1, "model")

    async def work(self, batch: Batch) -> Work:
        """What becomes of a batch, worked out by the agent. Raises what the agent raised."""
        answer: asyncio.Future[Work] = asyncio.get_running_loop().create_future()
        await self._questions.put(Question(batch, answer))
        return await answer

    async def _answer_all(self, questions: faust.StreamT[Question]) -> None:
        async for question in _values(questions):
            try:
                work = await self._score_observations(question.batch)
            except Exception as error:
                if not question.answer.done():
                    question.answer.set_exception(error)  # the lane raises it, and with it the worker ends
            else:
                if not question.answer.done():
                    question.answer.set_result(work)

    async def _score_observations(self, batch: Batch) -> Work:
        partition, limits, metrics = batch.partition, self._limits, self._metrics
        started_s = time.perf_counter()
        rows = sort_out(
            batch.observations, partition=partition, partitions=limits.partitions, event_bytes_max=limits.event_bytes_max
        )
        decoded_s = time.perf_counter()
        scored = await self._score(rows)
        scored_s = time.perf_counter()
        now_ms = self._clock_ms()
        predicted = put_together(
            rows,
            scored.probabilities,
            scored.rejected,
            partition=partition,
            speaker=self._model.speaker,
            scored_at=rfc3339(now_ms),
            with_observation=limits.include_observation,
        )
        rejected = rows.rejected + predicted.rejected
        rejected.sort(key=lambda one: one.record.offset)
        names = self._names
        outputs: dict[TopicPartition, Sequence[Publishable]] = {
            TopicPartition(names.predictions, partition): predicted.records,
            TopicPartition(names.dead_letters, partition): [self._bury(one, partition, now_ms) for one in rejected],
        }
        for owner, records in rows.moved.items():
            outputs[TopicPartition(names.observations, owner)] = records
        encoded_s = time.perf_counter()
        metrics.step("decode", decoded_s - started_s)
        metrics.step("predict", scored_s - decoded_s)
        metrics.step("encode", encoded_s - scored_s)

        def counted() -> None:
            metrics.committed(
                batch,
                predictions=predicted.records,
                rejected=rejected,
                moved=sum(map(len, rows.moved.values())),
                committed_at_ms=self._clock_ms(),
                publish_s=time.perf_counter() - encoded_s,
            )

        return Work(outputs, counted)

    async def _score(self, rows: Sorted) -> Scored:
        codes = np.array(rows.codes, dtype=np.int64)
        if not len(codes):
            return Scored(np.empty(0), {})
        if not self._model.expensive:
            scored = score(codes, self._model.predict, self._brake)
        else:
            loop = asyncio.get_running_loop()
            scored = await loop.run_in_executor(self._executor, score, codes, self._model.predict, self._brake)
        self._recent.add(len(codes), scored.rejected)
        return scored

    def _bury(self, one: Rejected, partition: int, now_ms: int) -> Outgoing:
        return dead_letter(
            one.record,
            one.reasons,
            one.stage,
            topic=self._names.observations,
            partition=partition,
            failed_at_ms=now_ms,
            version=stream_scorer.__version__,
            limit_bytes=self._limits.dead_letter_bytes_max,
        )

    def close(self) -> None:
        """Let go of the model's thread; what it is at is not waited for."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)


async def _values(stream: faust.StreamT[Question]) -> AsyncIterator[Question]:
    async for value in stream:
        yield value
