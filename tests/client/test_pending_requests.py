"""Answers find the questions that they answer: by where the record lies, whenever they come, and nobody else's do."""

import asyncio
from typing import NamedTuple

import msgspec
import pytest

from stream_scorer.client.pending_requests import EARLY_MAX, PendingRequest, PendingRequests
from stream_scorer.client.results import Answer, Predicted, Rejected
from stream_scorer.core.contract import reasons
from stream_scorer.core.contract.reasons import Stage
from stream_scorer.core.records.dead_letter import dead_letter
from stream_scorer.core.records.prediction import Prediction
from stream_scorer.core.records.record import Source

TOPIC = "stops.observations"
NOW_MS = 1_800_000_000_000


class Read(NamedTuple):
    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    offset: int = 7
    timestamp: int = NOW_MS


def a_prediction(id_: str, source: Source) -> Read:
    said = Prediction(id_, True, 0.7, 0.5, "model@0123456789ab", "champion", 5, source, "2026-11-22T08:00:00.000Z")
    return Read(msgspec.json.encode(said), id_.encode())


def a_letter(source: Source, *, topic: str = TOPIC, headers: tuple[tuple[str, bytes], ...] = ()) -> Read:
    record = Read(b"[]", headers=headers, offset=source.offset)
    letter = dead_letter(
        record,
        [reasons.not_an_object()],
        Stage.DECODE,
        topic=topic,
        partition=source.partition,
        failed_at_ms=NOW_MS,
        version="1",
        limit_bytes=1 << 20,
    )
    return Read(letter.value, letter.key, tuple(letter.headers), offset=99)


class Asked:
    """Questions, and the one that is asked."""

    def __init__(self, *, home: int | None = 0) -> None:
        self.questions = PendingRequests(TOPIC)
        self.answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.question = PendingRequest(self.answered, b"a", 5, home)
        self.questions.add(self.question)

    @property
    def answer(self) -> Answer | None:
        return self.answered.result() if self.answered.done() else None


@pytest.fixture
async def asked() -> Asked:
    return Asked()


async def test_a_prediction_answers_the_record_that_it_names(asked: Asked) -> None:
    asked.questions.place(asked.question, Source(0, 3))
    asked.questions.take_predictions([a_prediction("a", Source(0, 2)), a_prediction("a", Source(1, 3))])
    assert asked.answer is None
    asked.questions.take_predictions([a_prediction("a", Source(0, 3))])
    assert isinstance(asked.answer, Predicted)
    assert asked.answer.prediction.source == Source(0, 3)


async def test_a_dead_letter_answers_the_record_that_it_names(asked: Asked) -> None:
    asked.questions.place(asked.question, Source(0, 3))
    asked.questions.take_letters(0, [a_letter(Source(0, 2)), a_letter(Source(0, 3), topic="stops.outcomes")])
    assert asked.answer is None
    asked.questions.take_letters(0, [a_letter(Source(0, 3))])
    assert asked.answer == Rejected((reasons.not_an_object(),), Stage.DECODE, Source(0, 3), Source(0, 99))


async def test_what_a_producer_writes_into_headers_answers_nobody(asked: Asked) -> None:
    asked.questions.place(asked.question, Source(0, 3))
    forged = tuple(a_letter(Source(0, 3)).headers)
    asked.questions.take_letters(0, [a_letter(Source(0, 8), headers=forged)])
    assert asked.answer is None


async def test_an_answer_before_the_acknowledgement_is_kept(asked: Asked) -> None:
    asked.questions.take_predictions([a_prediction("a", Source(0, 2)), a_prediction("a", Source(0, 3))])
    asked.questions.place(asked.question, Source(0, 3))
    assert isinstance(asked.answer, Predicted)


async def test_a_letter_before_the_acknowledgement_is_kept(asked: Asked) -> None:
    asked.questions.take_letters(0, [a_letter(Source(0, 3)), a_letter(Source(0, 4))])
    asked.questions.place(asked.question, Source(0, 3))
    assert isinstance(asked.answer, Rejected)


async def test_the_answer_to_a_moved_record_is_kept_until_the_move_was_followed() -> None:
    asked = Asked(home=2)
    asked.questions.place(asked.question, Source(0, 3))
    asked.questions.take_predictions([a_prediction("a", Source(2, 8))])
    assert asked.answer is None
    asked.questions.place(asked.question, Source(2, 8))
    assert isinstance(asked.answer, Predicted)
    assert asked.answer.moved_from == Source(0, 3)


async def test_what_is_no_prediction_is_passed_over(asked: Asked) -> None:
    asked.questions.place(asked.question, Source(0, 3))
    asked.questions.take_predictions([Read(None, b"a"), Read(b"\xff", b"a"), Read(b"{}", b"a")])
    asked.questions.take_letters(0, [Read(b"whatever")])
    assert asked.answer is None


async def test_answers_that_come_early_are_kept_within_a_bound(asked: Asked) -> None:
    asked.questions.take_predictions(a_prediction("a", Source(0, offset)) for offset in range(EARLY_MAX + 10))
    asked.questions.place(asked.question, Source(0, 5))
    assert asked.answer is None
    asked.questions.place(asked.question, Source(0, EARLY_MAX + 5))
    assert isinstance(asked.answer, Predicted)


async def test_who_waits_no_more_is_forgotten(asked: Asked) -> None:
    asked.questions.place(asked.question, Source(0, 3))
    asked.questions.remove(asked.question)
    asked.questions.take_predictions([a_prediction("a", Source(0, 3))])
    assert (asked.answer, len(asked.questions)) == (None, 0)


async def test_the_same_id_twice_keeps_both_apart(asked: Asked) -> None:
    other = PendingRequest(asyncio.get_running_loop().create_future(), b"a", 5, 0)
    asked.questions.add(other)
    asked.questions.place(asked.question, Source(0, 3))
    asked.questions.place(other, Source(0, 4))
    asked.questions.remove(asked.question)
    asked.questions.take_predictions([a_prediction("a", Source(0, 4))])
    assert other.answer.done()
    assert asked.answer is None


async def test_a_failure_reaches_everybody_who_waits(asked: Asked) -> None:
    asked.questions.fail(ConnectionError("gone"))
    with pytest.raises(ConnectionError):
        await asked.answered
