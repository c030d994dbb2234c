"""Producers that never stop: generated stops with their outcomes, at a steady rate, in a world that can be changed
while they send.
"""

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from stream_scorer.models.synthetic.generator import Generator
from stream_scorer.models.synthetic.invalid_events import FAULTS
from tests.support.builders import an_event, an_outcome
from tests.support.kafka_environment import Topics

Observation = dict[str, Any]


def untouched(observation: Observation) -> Observation:
    return observation


@dataclass
class Producers:
    """What the producers send. `change`: what they say of each stop; `truth`: what a search finds, by observation and
    what the generator found."""

    topics: Topics
    rate: int = 400
    broken_share: float = 0.05
    outcome_share: float = 0.7
    change: Callable[[Observation], Observation] = untouched
    truth: Callable[[Observation, bool], bool] = lambda observation, found: found
    headers: list[tuple[str, bytes]] = field(default_factory=list)

    async def send(self) -> None:
        """Send until cancelled. At first every kind of fault once, so that none is news later."""
        await self.topics.observe(*(break_it(json.loads(an_event(f"broken-{code}"))) for code, break_it in FAULTS))
        generator, dice, number = Generator(11), random.Random(11), 0
        at_once = self.rate // 10
        while True:
            events, outcomes = [], []
            for event in generator.events(at_once, self.broken_share, f"batch-{number}-"):
                if event.broken is not None:
                    events.append(event.value)
                    continue
                said = json.loads(event.value)
                said["observation"] = self.change(said["observation"])
                events.append(json.dumps(said).encode())
                if dice.random() < self.outcome_share:
                    outcomes.append(an_outcome(event.id, self.truth(said["observation"], event.true_class)))
            await self.topics.observe(*events, headers=self.headers)
            await self.topics.report(*outcomes, headers=self.headers)
            number += 1
            await asyncio.sleep(0.1)


@asynccontextmanager
async def producing(topics: Topics, **how: Any) -> AsyncIterator[Producers]:
    """Producers at work, until the end of the block."""
    producers = Producers(topics, **how)
    sending = asyncio.create_task(producers.send())
    try:
        yield producers
    finally:
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sending
