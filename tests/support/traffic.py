"""What producers send in a day, in small: observations, some of them broken, sent again or contradicted, and outcomes
that come late, early, twice, corrected or for nothing.
"""

import asyncio
import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Literal, NamedTuple

from stream_scorer.models.synthetic.generator import Generator
from tests.support.builders import an_outcome
from tests.support.kafka_environment import Topics

Side = Literal["observations", "outcomes"]


class Sent(NamedTuple):
    """An event, and when it is its turn."""

    turn: int
    side: Side
    value: bytes


def traffic(observations: int, *, seed: int = 1, id_prefix: str = "ev-", outcomes: bool = True) -> list[Sent]:
    """The events of so many stops, in the order in which they are sent."""
    sent: list[Sent] = []
    for number, event in enumerate(Generator(seed).events(observations, 0.03, id_prefix)):
        sent.append(Sent(number, "observations", event.value))
        if event.broken is None:
            sent += _again(number, event.value)
        if outcomes:
            sent += _outcomes(number, event.id, event.true_class)
    return sorted(sent, key=lambda one: one.turn)


def _again(number: int, value: bytes) -> Iterator[Sent]:
    if number % 20 == 0:
        yield Sent(number + 40, "observations", value)
    if number % 25 == 1:
        other = json.loads(value)
        other["observation"]["hour"] = (other["observation"]["hour"] + 1) % 25
        yield Sent(number + 300, "observations", json.dumps(other).encode())


def _outcomes(number: int, id_: str, true_class: bool) -> Iterator[Sent]:
    if number % 3 == 0:
        yield Sent(number + 30, "outcomes", an_outcome(id_, true_class))
    if number % 30 == 1:
        yield Sent(number - 200, "outcomes", an_outcome(id_, true_class))
    if number % 30 == 3:
        yield Sent(number + 200, "outcomes", an_outcome(id_, not true_class))
    if number % 30 == 6:
        yield Sent(number + 100, "outcomes", an_outcome(id_, true_class))
    if number % 100 == 8:
        yield Sent(number, "outcomes", an_outcome(f"{id_}-of-nothing", true_class))
    if number % 100 == 9:
        yield Sent(number, "outcomes", b'{"id": "%s", "true_class": "yes"}' % id_.encode())


async def send(topics: Topics, events: Sequence[Sent]) -> None:
    """Send them all at once; both topics keep their order."""
    for side in ("observations", "outcomes"):
        await topics.send(getattr(topics.names, side), [event.value for event in events if event.side == side])


async def feed(topics: Topics, events: Sequence[Sent], *, pause_s: float = 0.05, at_once: int = 100) -> None:
    """Send them bit by bit, for as long as it takes."""
    rest = iter(events)
    while bit := list(islice(rest, at_once)):
        await send(topics, bit)
        await asyncio.sleep(pause_s)
