"""Faults marked in place: the bytes stay what they are, and each mark stands on what its reason names."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_scorer.core.contract.reasons import conflict
from stream_scorer.core.dead_letters.highlighting import highlights, segments
from stream_scorer.core.dead_letters.json_spans import ByteSpan
from tests.core.dead_letters.builders import reasons_of
from tests.support.builders import an_event

# text that is nearly JSON finds more than any bytes do
NEARLY_JSON = st.text(alphabet='{}[]":,\\ abid1é\n', max_size=60).map(str.encode)


def marked(value: bytes) -> list[tuple[str, str]]:
    """The code of each mark, and what it stands on; `^` where it stands on nothing."""
    reasons = reasons_of(value)
    found = highlights(value, reasons)
    return [
        (reasons[mark.reason].code.value, value[mark.begin : mark.end].decode(errors="replace") or "^")
        for mark in found
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(an_event(hour=99), [("out_of_range", "99")], id="a number"),
        pytest.param(an_event(StatuteReason="Stop sign"), [("invalid_value", '"Stop sign"')], id="a text"),
        pytest.param(
            an_event(extra=[1, {"a": 2}]), [("unrecognized_columns", '"extra": [1, {"a": 2}]')], id="a column too many"
        ),
        pytest.param(b'{"observation": 3}', [("observation_not_an_object", "3"), ("missing_id", "^")], id="missing"),
        pytest.param(
            b'{"id": "", "observation": 3}', [("invalid_id", '""'), ("observation_not_an_object", "3")], id="id"
        ),
        pytest.param(b'{"id": "a",}', [("not_json", "}")], id="the byte where JSON ends"),
        pytest.param(b'{"id": "\xff"}', [("not_json", "�")], id="a byte that is not UTF-8"),
        pytest.param(b"[1]", [("not_an_object", "[1]")], id="all of it"),
        pytest.param(b"", [("not_json", "^")], id="nothing"),
        pytest.param(
            '{"é": "日本", "id": "", "observation": {"hour": "日"}}'.encode(),
            [("invalid_id", '""'), ("not_an_integer", '"日"'), ("missing_columns", "^")],
            id="behind characters of several bytes",
        ),
    ],
)
def test_a_mark_stands_on_what_its_reason_names(value: bytes, expected: list[tuple[str, str]]) -> None:
    assert marked(value) == expected


def test_of_a_name_that_stands_twice_the_last_is_marked_because_it_counts() -> None:
    value = an_event(hour=99).replace(b'"hour": 99', b'"hour": 98, "hour": 99')
    (mark,) = highlights(value, reasons_of(value))
    assert value[mark.begin - 20 : mark.end] == b'"hour": 98, "hour": 99'


def test_a_conflict_marks_the_id_and_every_column_that_differs() -> None:
    value = an_event("ev-1", hour=3)
    found = highlights(value, [conflict("ev-1", 5, ["SubjectAge", "hour"])])
    assert [value[mark.begin : mark.end] for mark in found] == [b'"ev-1"', b"20", b"3"]


@given(value=st.binary(max_size=60) | NEARLY_JSON | st.just(an_event(hour=77, x="é")))
def test_the_pieces_are_the_bytes_whatever_they_are(value: bytes) -> None:
    reasons = reasons_of(value)
    found = highlights(value, reasons)
    assert {mark.reason for mark in found} <= set(range(len(reasons)))
    cut = segments(value, found)
    assert "".join(piece.text for piece in cut) == "".join(
        value[begin:end].decode(errors="backslashreplace")
        for begin, end in _runs(len(value), {edge for mark in found for edge in (mark.begin, mark.end)})
    )
    assert {number for piece in cut for number in piece.reasons} == {mark.reason for mark in found}


def _runs(size: int, edges: set[int]) -> list[tuple[int, int]]:
    ordered = sorted({0, size} | edges)
    return list(itertools.pairwise(ordered))


def test_a_masked_piece_says_only_that_it_is_there() -> None:
    value = b'{"id": "a", "observation": "Ms Jones"}'
    cut = segments(value, highlights(value, reasons_of(value)), [ByteSpan(27, 37)])
    assert [(piece.text, piece.reasons, piece.masked) for piece in cut] == [
        ('{"id": "a", "observation": ', (), False),
        ("•••", (0,), True),
        ("}", (), False),
    ]
