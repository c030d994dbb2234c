"""Answers to many events are taken in the order of the events."""

from collections.abc import Sequence

import pytest

from stream_scorer.client.asking_together import Tell
from stream_scorer.client.ordered_answers import OrderedAnswers
from stream_scorer.client.results import TimedOut
from stream_scorer.errors import OutageError


async def backwards(values: Sequence[bytes], tell: Tell) -> None:
    for number in reversed(range(len(values))):
        tell(number, TimedOut(None, values[number].decode()))


async def test_answers_come_in_the_order_of_the_events() -> None:
    answers = OrderedAnswers(backwards)
    answers.begin([b"a", b"b"])
    answers.begin([b"c"])
    taken = []
    while answers.waiting:
        taken.append(await answers.next())
    assert taken == [TimedOut(None, why) for why in "abc"]


async def test_what_an_event_is_told_instead_of_an_answer_is_raised_in_its_place() -> None:
    async def ask(values: Sequence[bytes], tell: Tell) -> None:
        tell(0, TimedOut(None, "first"))
        raise OutageError("Kafka is away")

    answers = OrderedAnswers(ask)
    answers.begin([b"a", b"b"])
    assert await answers.next() == TimedOut(None, "first")
    with pytest.raises(OutageError):
        await answers.next()
    await answers.stop()
    assert answers.waiting == 0
