"""Which inputs records of output topics came of, whoever wrote them."""

from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_scorer.core.records.output_sources import (
    NamedSource,
    came_of,
    highest_moves,
    letter_source,
    named_sources,
    prediction_source,
    update_source,
)

HOSTILE = [None, b"", b"null", b'{"id":', b"[" * 1_100, b'{"a":' * 5_000, b"\xff", b"{}"]


class Record(NamedTuple):
    value: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    key: bytes | None = b"a"
    offset: int = 0
    timestamp: int = 0


def update(status: str, scored_at: str = "2026-01-02", outcome_at: str = "2026-01-01", offset: int = 7) -> Record:
    text = f'{{"id":"a","status":"{status}","scored_at":"{scored_at}","outcome_at":"{outcome_at}",'
    return Record(f'{text}"source":{{"partition":2,"offset":{offset}}}}}'.encode())


def letter(source: bytes, code: str = "not_json") -> Record:
    return Record(b"x", (("scorer.errors", f'[{{"code":"{code}"}}]'.encode()), ("scorer.source", source)))


def test_a_prediction_names_its_observation() -> None:
    record = Record(b'{"id":"a","scored_at":"x","source":{"partition":2,"offset":7}}')
    assert prediction_source("obs")(record, 2) == NamedSource("obs", 7, True)
    assert prediction_source("obs")(record, 1) is None


@pytest.mark.parametrize(
    ("record", "prompt"),
    [
        (update("awaiting_prediction"), True),
        (update("joined", outcome_at="2026-01-03"), True),
        (update("joined"), False),
        (update("unknown"), False),
    ],
    ids=["waits", "joined at once", "joined after it waited", "given up"],
)
def test_an_update_that_may_have_waited_does_not_come_in_the_order_of_outcomes(record: Record, prompt: bool) -> None:
    assert update_source("out")(record, 2) == NamedSource("out", 7, prompt)


def test_a_letter_names_one_of_the_inputs() -> None:
    read = letter_source(("obs", "out"))
    assert read(letter(b'{"topic":"out","partition":2,"offset":9}'), 2) == NamedSource("out", 9, True)
    assert read(letter(b'{"topic":"out","partition":2,"offset":9}', "unknown_id"), 2) == NamedSource("out", 9, False)
    assert read(letter(b'{"topic":"other","partition":2,"offset":9}'), 2) is None
    assert read(letter(b'{"topic":"out","partition":3,"offset":9}'), 2) is None


def test_a_moved_record_names_where_it_was() -> None:
    moved = Record(b"x", (("scorer.moved-from", b'{"partition":2,"offset":5}'),))
    later = Record(b"y", (("scorer.moved-from", b'{"partition":2,"offset":7}'),))
    other = Record(b"z", (("scorer.moved-from", b'{"partition":1,"offset":4}'),))
    assert highest_moves([later, moved, other, Record(b"")], 0) == {2: (7, later), 1: (4, other)}
    assert highest_moves([later, other], 2) == {1: (4, other)}  # none is moved to where it was


def test_the_highest_counts_and_others_are_counted() -> None:
    read = update_source("out")
    highest = update("joined", offset=9)
    said = named_sources([highest, update("joined", offset=3), Record(b"[]")], 2, read)
    assert (said.highest, said.prompt, said.unreadable) == ({"out": (9, highest)}, frozenset(), 1)


def test_an_output_does_not_come_of_another_record_at_its_offset() -> None:
    event, other = Record(b'{"id":"a"}'), Record(b'{"id":"b"}', key=b"b")
    source = (("scorer.source", b""),)
    moved = (("scorer.moved-from", b""),)
    for output in (Record(b"{}"), Record(event.value, source), Record(b'{"id"', source), Record(event.value, moved)):
        assert came_of(output, event)
    for output in (Record(b"{}"), Record(event.value, source), Record(event.value, moved)):
        assert not came_of(output, other)


@pytest.mark.parametrize(
    "read",
    [prediction_source("obs"), update_source("out"), letter_source(("obs",))],
    ids=["prediction", "update", "letter"],
)
@given(st.sampled_from(HOSTILE) | st.binary())
def test_whatever_a_stranger_wrote_says_nothing(read: Any, value: bytes | None) -> None:
    headers = tuple((name, value or b"") for name in ("scorer.errors", "scorer.source", "scorer.moved-from"))
    assert read(Record(value, headers), 0) is None
    assert highest_moves([Record(value, headers)], 0) == {}
