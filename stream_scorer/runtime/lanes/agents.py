"""The two Faust agents, where events are worked on: groups of whole batches come in over channels, the steps do the
work, the answers go back.

A group holds the batches of all lanes that have one at about the same time: until the agent takes it, others come in.
So small batches, one for each of many lanes, cost about as much as one; a large batch is a group of its own.

Invariant: an agent never owns delivery. A group that fails is settled as failed; its lanes abort and the worker ends.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import faust

from stream_scorer.core.observations.scoring import Codes, Probabilities
from stream_scorer.runtime.lanes.batch import Batch, BatchResult
from stream_scorer.runtime.lanes.group_step import GROUP_RECORDS_MAX
from stream_scorer.runtime.lanes.join_step import OutcomeStep
from stream_scorer.runtime.lanes.score_step import ObservationStep
from stream_scorer.runtime.rollout.serving_models import ServingModel


@dataclass(slots=True)
class BatchRequest:
    """A batch on its way through the agents, what has become of it so far, and where its lane waits for the answer."""

    batch: Batch
    answer: asyncio.Future[BatchResult]
    work: BatchResult = field(default_factory=BatchResult)

    @property
    def has_outcomes(self) -> bool:
        """Whether there is anything to be joined or given up."""
        return bool(self.batch.outcomes or self.batch.due)


class Agents:
    """Observations are scored first, then outcomes are joined: `score_observations` hands on to `join_outcomes`."""

    def __init__(self, app: faust.App, observations: ObservationStep, outcomes: OutcomeStep) -> None:
        self._observations, self._outcomes = observations, outcomes
        self._to_score, self._to_join = app.channel(), app.channel()
        # goes to the agent already, which has not taken it yet
        self._open_group: list[BatchRequest] | None = None
        app.agent(self._to_score, name="score_observations")(self._score_observations)
        app.agent(self._to_join, name="join_outcomes")(self._join_outcomes)

    async def work(self, batch: Batch) -> BatchResult:
        """What becomes of a batch, worked out by the agents. Raises what an agent raised."""
        question = BatchRequest(batch, asyncio.get_running_loop().create_future())
        group = self._open_group
        if group is not None:
            group.append(question)
        else:
            group = self._open_group = [question]
        if sum([one.batch.records for one in group]) >= GROUP_RECORDS_MAX:
            self._open_group = None
        if group[0] is question:
            await self._to_score.put(group)  # type: ignore[arg-type]  # typed for events, takes anything
        return await question.answer

    async def ask(self, codes: Codes, model: ServingModel) -> Probabilities | str:
        """What a model says of codes, or why its answer is of no use, beside the batches under way."""
        return await self._observations.ask(codes, model)

    async def _score_observations(self, groups: faust.StreamT[list[BatchRequest]]) -> None:
        async for group in groups:
            if group is self._open_group:
                self._open_group = None
            await _settle_failed(group, self._score)

    async def _score(self, group: Sequence[BatchRequest]) -> None:
        await self._observations.run_group([(question.batch, question.work) for question in group])
        _answer([question for question in group if not question.has_outcomes])
        if to_join := [question for question in group if question.has_outcomes]:
            await self._to_join.put(to_join)  # type: ignore[arg-type]

    async def _join_outcomes(self, groups: faust.StreamT[list[BatchRequest]]) -> None:
        async for group in groups:
            await _settle_failed(group, self._join)

    async def _join(self, group: Sequence[BatchRequest]) -> None:
        for question in group:
            self._outcomes.run(question.batch, question.work)
        _answer(group)

    def close(self) -> None:
        """Let go of what the steps hold."""
        self._observations.close()


def _answer(group: Sequence[BatchRequest]) -> None:
    for question in group:
        if not question.answer.done():
            question.answer.set_result(question.work)


async def _settle_failed(
    group: Sequence[BatchRequest], step: Callable[[Sequence[BatchRequest]], Awaitable[None]]
) -> None:
    """Run a step; whatever it raises goes to every lane of the group, which raises it, and with it the worker ends."""
    try:
        await step(group)
    except Exception as error:
        for question in group:
            if not question.answer.done():
                question.answer.set_exception(error)
