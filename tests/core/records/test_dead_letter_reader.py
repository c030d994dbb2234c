"""Dead letters read back: the record as it was, our headers apart from those that a producer made look like ours."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_scorer.core.contract.reasons import Stage
from stream_scorer.core.records.dead_letter_reader import (
    DeadLetter,
    Position,
    SourcePosition,
    UnreadableDeadLetter,
    claimed_replays,
    id_of,
    producer_of,
    read_letter,
    replay_headers,
)
from tests.core.dead_letters.builders import TOPIC, Record, a_letter, a_record, reasons_of, unreadable
from tests.support.builders import an_event

ANY_HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["scorer.errors", "scorer.source", "scorer.stage", "scorer.replays", "client-id", "a"]),
        st.binary(max_size=40),
    ),
    max_size=6,
)


@given(value=st.none() | st.binary(max_size=200), key=st.none() | st.binary(max_size=20), headers=ANY_HEADERS)
def test_a_letter_gives_back_the_record_that_it_was_made_of(
    value: bytes | None, key: bytes | None, headers: list[tuple[str, bytes]]
) -> None:
    letter = a_letter(value, key=key, headers=headers)
    assert (letter.value, letter.key, letter.headers) == (value, key, tuple(headers))
    assert (letter.origin, letter.place) == (SourcePosition(TOPIC, 2, 17), Position(2, 1_017))
    assert letter.reasons == reasons_of(value)
    assert (letter.stage, letter.version, letter.failed_ms) == (Stage.CONTRACT, "1.2", 1_795_365_418_142)


@given(value=st.none() | st.binary(max_size=50), headers=ANY_HEADERS)
def test_any_record_is_read_and_never_raises(value: bytes | None, headers: list[tuple[str, bytes]]) -> None:
    assert isinstance(read_letter(0, Record(1, 2, None, value, headers)), DeadLetter | UnreadableDeadLetter)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("scorer.source", b"{}", id="no source"),
        pytest.param("scorer.source", b'{"topic":"t","partition":-1,"offset":0}', id="no partition"),
        pytest.param("scorer.errors", b"[]", id="no reason"),
        pytest.param("scorer.errors", b'[{"code":"new","field":null,"message":""}]', id="a code of another version"),
        pytest.param("scorer.stage", b"\xff", id="no stage"),
        pytest.param("scorer.stage", b"Jane Planted", id="words of a stranger"),
        pytest.param("scorer.errors", b'[{"code":"Jane Planted","field":null,"message":""}]', id="a stranger's code"),
    ],
)
def test_a_record_that_says_nothing_readable_of_itself_is_unreadable(name: str, value: bytes) -> None:
    record = a_record(b"x")
    headers = [(header, value if header == name else said) for header, said in record.headers]
    why = unreadable(record._replace(headers=headers)).why
    assert why.startswith("not written by stream-scorer: ")
    assert "Jane" not in why


def test_a_record_that_was_cut_says_so() -> None:
    letter = a_letter(b"x" * 70_000, limit_bytes=1_000)
    assert letter.truncation is not None
    assert (letter.truncation.bytes, len(letter.value or b"")) == (70_000, 65_536)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        pytest.param("2@17", Position(2, 17), id="a place"),
        pytest.param(" 2@17 ", Position(2, 17), id="with blanks"),
        pytest.param("2-17", None, id="another sign"),
        pytest.param("@17", None, id="no partition"),
        pytest.param("-2@17", None, id="a negative partition"),
        pytest.param("٢@17", Position(2, 17), id="digits of another script"),
    ],
)
def test_places_are_read_as_they_are_printed(text: str, place: Position | None) -> None:
    assert Position.parse(text) == place


@pytest.mark.parametrize(
    ("value", "id_"),
    [
        pytest.param(an_event("ev-1"), b"ev-1", id="a whole event"),
        pytest.param(b'{"id": 7}', b"7", id="a whole number"),
        pytest.param(rb'{"\u0069d": "esc"}', b"esc", id="a name with escapes"),
        pytest.param(b'{"id": true}', b"key", id="a boolean is none"),
        pytest.param(b"no JSON", b"key", id="no JSON"),
        pytest.param(None, b"key", id="no value"),
        pytest.param(b'{"id": "\\ud800"}', b"key", id="a lone surrogate"),
    ],
)
def test_the_id_is_the_event_s_or_else_the_key(value: bytes | None, id_: bytes) -> None:
    assert id_of(value, b"key") == id_


def test_the_producer_is_who_the_last_header_of_the_first_kind_names() -> None:
    headers = [("ce_source", b"cloud"), ("client-id", b"one"), ("client-id", b"tw\xffo")]
    assert producer_of(headers) == "tw�o"
    assert producer_of(headers[:1]) == "cloud"
    assert producer_of([("other", b"x")]) is None


def test_a_replayed_record_carries_its_own_headers_and_ours_behind_them() -> None:
    own = [("a", b"1"), ("scorer.moved-from", b"{}"), ("scorer.replays", b"1"), ("__streams.errors.topic", b"mine")]
    headers = replay_headers(a_letter(b"x", headers=own), 2)
    assert headers[:2] == [("a", b"1"), ("__streams.errors.topic", b"mine")]
    assert [name for name, _ in headers[2:]] == ["scorer.replayed-from", "scorer.replays"]
    assert msgspec.json.decode(headers[2][1]) == {"partition": 2, "offset": 17}
    assert claimed_replays(headers) == 2


@pytest.mark.parametrize(
    ("headers", "replays"),
    [
        pytest.param([], 0, id="none"),
        pytest.param([("scorer.replays", b"3")], 0, id="a count without where from"),
        pytest.param([("scorer.replayed-from", b"{}"), ("scorer.replays", b"3")], 3, id="as we write them"),
        pytest.param([("scorer.replayed-from", b"{}"), ("scorer.replays", b"-3")], 0, id="negative"),
        pytest.param([("scorer.replayed-from", b"{}"), ("scorer.replays", "٣".encode())], 0, id="other digits"),
        pytest.param([("scorer.replayed-from", b"{}"), ("scorer.replays", b"9" * 99)], 0, id="beyond all bounds"),
    ],
)
def test_how_often_a_record_was_replayed_is_read_from_its_headers(
    headers: list[tuple[str, bytes]], replays: int
) -> None:
    assert claimed_replays(headers) == replays
