"""A judge that owns partition 0 of an environment, and evidence that makes it decide."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

from stream_scorer.core.records.model_control import ModelControl, environment_of
from stream_scorer.core.records.model_evidence import GROUPS
from stream_scorer.core.rollout.evidence import cell_of
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.kafka.client import client_options
from stream_scorer.runtime.rollout.control_topic import ControlTopic
from stream_scorer.runtime.rollout.evidence_follower import EvidenceFollower
from stream_scorer.runtime.rollout.judge import Judge, write_control
from stream_scorer.runtime.rollout.switch_topic import SwitchTopic
from stream_scorer.runtime.settings.settings import Settings

LANES = 4


def cells(**counts: int) -> list[int]:
    """How many outcomes came of each cell, by champion says, candidate says, outcome; so many in each group."""
    found = [0] * 8
    for said, count in counts.items():
        found[cell_of(*(letter == "t" for letter in said))] = count * GROUPS
    return found


BETTER = cells(ttt=400, ttf=250, fff=800, ftt=400)
WORSE = cells(ttt=400, ttf=250, fff=800, tft=400)


class RunningJudge:
    """A judge that owns partition 0 of an environment, and what it told."""

    def __init__(self, settings: Settings, write: Callable[[ModelControl], Awaitable[int]], **options: bool) -> None:
        kafka, names = client_options(settings.kafka), TopicNames(settings.topics.prefix)
        self.told: list[str] = []
        self.control = ControlTopic(kafka, names.model_control, environment_of(settings.topics.prefix))
        self.switches = SwitchTopic(kafka, names.model_switches)
        self.judge = Judge(
            self.control,
            self.switches,
            EvidenceFollower(kafka, names.model_evidence, LANES),
            write,
            lambda: time.time_ns() // 1_000_000,
            partitions=LANES,
            may_decide=options.get("may_decide", True),
            control_topic=names.model_control,
            retry_wait_s=0.1,
        )
        self.judge.noted = self.told.append

    def decision(self) -> str:
        """The verdict on the only candidate, as far as it was judged."""
        view = self.judge.view
        return "" if view is None else view.candidates[0].verdict.decision()

    def held_up(self) -> str:
        return "" if self.judge.view is None else self.judge.view.held_up

    async def follow(self) -> None:
        while True:
            await self.control.follow()


@asynccontextmanager
async def a_judge(
    settings: Settings, write: Callable[[ModelControl], Awaitable[int]] | None = None, **options: bool
) -> AsyncIterator[RunningJudge]:
    found = RunningJudge(settings, write or writing(settings), **options)
    await asyncio.gather(found.control.start(), found.switches.start())
    tasks = [asyncio.create_task(found.follow()), asyncio.create_task(found.judge.run(lambda: True))]
    try:
        yield found
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for stop in (found.judge.stop, found.control.stop, found.switches.stop):
            with suppress(Exception):
                await stop()


def writing(settings: Settings) -> Callable[[ModelControl], Awaitable[int]]:
    return partial(write_control, client_options(settings.kafka), TopicNames(settings.topics.prefix).model_control)
