"""The two Faust agents, where events are worked on: whole batches come in over channels, the steps do the work, the
answer goes back.

Invariant: an agent never owns delivery. A batch that fails is settled as failed; its lane aborts and the worker ends.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import faust

from stream_scorer.core.observations.scoring import Codes, Probabilities
from stream_scorer.runtime.lanes.batch import Batch, BatchResult
from stream_scorer.runtime.lanes.join_step import OutcomeStep
from stream_scorer.runtime.lanes.score_step import ObservationStep
from stream_scorer.runtime.rollout.serving_models import ServingModel


@dataclass(slots=True)
class BatchRequest:
    """A batch on its way through the agents, what has become of it so far, and where its lane waits for the answer."""

    batch: Batch
    answer: asyncio.Future[BatchResult]
    work: BatchResult = field(default_factory=BatchResult)


class Agents:
    """Observations are scored first, then outcomes are joined: `score_observations` hands on to `join_outcomes`."""

    def __init__(self, app: faust.App, observations: ObservationStep, outcomes: OutcomeStep) -> None:
        self._observations, self._outcomes = observations, outcomes
        self._to_score, self._to_join = app.channel(), app.channel()
        app.agent(self._to_score, name="score_observations")(self._score_observations)
        app.agent(self._to_join, name="join_outcomes")(self._join_outcomes)

    async def work(self, batch: Batch) -> BatchResult:
        """What becomes of a batch, worked out by the agents. Raises what an agent raised."""
        question = BatchRequest(batch, asyncio.get_running_loop().create_future())
        await self._to_score.put(question)  # type: ignore[arg-type]  # typed for events, takes anything
        return await question.answer

    async def ask(self, codes: Codes, model: ServingModel) -> Probabilities | str:
        """What a model says of codes, or why its answer is of no use, beside the batches under way."""
        return await self._observations.ask(codes, model)

    async def _score_observations(self, questions: faust.StreamT[BatchRequest]) -> None:
        async for question in questions:
            await _settle_failed(question, self._score)

    async def _score(self, question: BatchRequest) -> None:
        await self._observations.run(question.batch, question.work)
        if question.batch.outcomes or question.batch.due:
            await self._to_join.put(question)  # type: ignore[arg-type]
        elif not question.answer.done():
            question.answer.set_result(question.work)

    async def _join_outcomes(self, questions: faust.StreamT[BatchRequest]) -> None:
        async for question in questions:
            await _settle_failed(question, self._join)

    async def _join(self, question: BatchRequest) -> None:
        self._outcomes.run(question.batch, question.work)
        if not question.answer.done():
            question.answer.set_result(question.work)

    def close(self) -> None:
        """Let go of what the steps hold."""
        self._observations.close()


async def _settle_failed(question: BatchRequest, step: Callable[[BatchRequest], Awaitable[None]]) -> None:
    """Run a step; whatever it raises goes to the lane, which raises it, and with it the worker ends."""
    try:
        await step(question)
    except Exception as error:
        if not question.answer.done():
            question.answer.set_exception(error)
