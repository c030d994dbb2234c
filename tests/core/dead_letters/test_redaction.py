"""What is masked: everything that an event says of a person, wherever a producer put it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_scorer.core.contract import reasons
from stream_scorer.core.dead_letters.highlighting import highlights, segments
from stream_scorer.core.dead_letters.named_fixes import NamedFix
from stream_scorer.core.dead_letters.redaction import masked_headers, masked_key, masked_reason, masked_spans
from stream_scorer.core.dead_letters.repair import Fix, apply_fix, parse_fix
from tests.core.dead_letters.builders import reasons_of
from tests.support.builders import an_event

SECRET = "Ms Jones, 12 Elm St"


def seen(value: bytes) -> str:
    """All that is shown of a value and of its reasons to who has not asked for more."""
    found = reasons_of(value)
    cut = segments(value, highlights(value, [masked_reason(reason) for reason in found]), masked_spans(value))
    return "".join(piece.text for piece in cut) + "".join(repr(masked_reason(reason)) for reason in found)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(an_event(SubjectRaceCode=SECRET), id="a column"),
        pytest.param(an_event(**{SECRET: 1}), id="the name of a column too many"),
        pytest.param(an_event(hour=[SECRET]), id="within a list"),
        pytest.param(json.dumps({"id": "a", "observation": SECRET}).encode(), id="in place of the observation"),
        pytest.param(json.dumps({"id": [SECRET], "observation": {}}).encode(), id="in place of the id"),
        pytest.param(json.dumps({SECRET: 1, "id": "a"}).encode(), id="a field's name"),
        pytest.param(json.dumps({"name": SECRET, "observation": {}}).encode(), id="a field that nobody asked for"),
        pytest.param(json.dumps({"true_class": SECRET}).encode(), id="an outcome's class"),
        pytest.param(json.dumps(SECRET).encode(), id="no object"),
        pytest.param(b"<name>" + SECRET.encode(), id="no JSON"),
        pytest.param(b"\xff" + SECRET.encode(), id="not UTF-8"),
        pytest.param(an_event(SubjectRaceCode=f"x. Allowed values are: {SECRET}"), id="a value like our own message"),
        pytest.param(an_event(SubjectRaceCode=f"{SECRET}\nx: y"), id="a value of several lines"),
    ],
)
def test_nothing_of_a_person_is_seen(value: bytes) -> None:
    assert SECRET not in seen(value)
    assert "Elm" not in seen(value)


@given(st.text(alphabet="aZéß日:.\n'\"\\", min_size=4))
def test_no_value_of_a_column_is_seen_whatever_it_is(text: str) -> None:
    assert "zz9" not in seen(an_event(StatuteReason=f"zz9{text}9zz"))


def seen_mended(value: bytes, fix: Fix) -> str:
    """All that is shown of a value as a fix makes it."""
    mended = apply_fix(value, fix)
    assert isinstance(mended, bytes)
    return "".join(piece.text for piece in segments(mended, (), masked_spans(mended, value)))


@pytest.mark.parametrize("op", ["copy", "move"])
@pytest.mark.parametrize(
    "path", ["/id", "/true_class", "/new", "/observation/hour", "/observation/new", "/observation", ""]
)
@pytest.mark.parametrize(
    ("begin", "value"),
    [
        pytest.param("/observation/StatuteReason", an_event("ev-1", StatuteReason=SECRET), id="a column"),
        pytest.param("/observation/driver", an_event("ev-1", driver={"id": SECRET}), id="an object with an id"),
        pytest.param("/0", json.dumps([{"id": SECRET}]).encode(), id="within a list"),
        pytest.param("/person", json.dumps({"id": [1], "person": SECRET}).encode(), id="an event without a valid id"),
        pytest.param("/person", json.dumps({"person": {"id": SECRET}}).encode(), id="an event without an id"),
    ],
)
def test_nothing_of_a_person_is_seen_where_a_patch_puts_it(op: str, path: str, begin: str, value: bytes) -> None:
    fix = parse_fix(patch=json.dumps([{"op": op, "from": begin, "path": path}]))
    assert isinstance(fix, Fix)
    if isinstance(apply_fix(value, fix), bytes):  # not every path is one in every value
        assert "Jones" not in seen_mended(value, fix)
        assert "Elm" not in seen_mended(value, fix)


def test_an_id_that_a_named_fix_made_of_another_field_is_not_seen() -> None:
    value = json.dumps({"ID": SECRET, "observation": {}}).encode()
    assert seen_mended(value, Fix(named=(NamedFix.MATCH_CASE,))) == '{"observation":{},"id":•••}'


def test_a_number_that_became_the_id_is_not_seen() -> None:
    fix = parse_fix(patch='[{"op": "copy", "from": "/observation/SubjectAge", "path": "/id"}]')
    assert isinstance(fix, Fix)
    assert '"id":•••' in seen_mended(an_event("ev-1", SubjectAge=73), fix)


def test_the_id_that_a_fix_left_alone_is_seen() -> None:
    assert '"id":"ev-7"' in seen_mended(an_event("ev-7"), Fix(sets=(("hour", 3),)))


def test_shape_id_and_names_of_the_table_are_seen() -> None:
    shown = seen(an_event("ev-7", hour=99))
    assert '"id": "ev-7"' in shown
    assert '"hour": •••' in shown
    assert "Field `hour` is not between 0 and 24" in shown


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        pytest.param(
            reasons.invalid_value("hour", SECRET, (1, 2)),
            "Invalid value provided for hour: •••. Allowed values are: '1','2'",
            id="a value",
        ),
        pytest.param(reasons.unrecognized_columns([SECRET]), "Unrecognized columns provided: •••", id="names"),
        pytest.param(
            reasons.scoring_failed(SECRET), "Model could not score this observation: •••", id="what a model quotes"
        ),
        pytest.param(reasons.too_large(9, 8), "Event of ••• bytes is larger than 8", id="a size"),
        pytest.param(reasons.not_json("Expecting value", 9), "Event is not valid JSON: •••", id="a position"),
        pytest.param(reasons.invalid_output(0.7), "Model returned ••• as the probability", id="what a model said"),
        pytest.param(reasons.out_of_range("hour", 0, 24), "Field `hour` is not between 0 and 24", id="nothing quoted"),
        pytest.param(reasons.missing_columns(["hour"]), "Missing columns: {'hour'}", id="names of the contract"),
        *[
            pytest.param(reasons.Reason(code, None, f"{SECRET}: {SECRET}"), "•••", id=f"a stranger's {code}")
            for code in reasons.Code
        ],
    ],
)
def test_of_a_reason_the_sentence_is_kept_and_what_it_quotes_is_not(reason: reasons.Reason, message: str) -> None:
    assert masked_reason(reason).message == message


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        pytest.param(
            reasons.conflict(f"{SECRET}' already exists", 3, ()),
            "Observation ID: '•••' already exists",
            id="a conflict",
        ),
        pytest.param(reasons.unknown_id(SECRET), 'Observation ID: "•••" does not exist', id="an unknown one"),
    ],
)
def test_an_id_that_may_not_be_shown_is_not_quoted_either(reason: reasons.Reason, message: str) -> None:
    assert masked_reason(reason, with_id=False).message == message
    assert masked_reason(reason).message == reason.message


def test_details_that_nobody_foresaw_are_left_out() -> None:
    reason = reasons.Reason(reasons.Code.CONFLICT, SECRET, "", {"columns": ["hour"], "first_offset": 3, "who": SECRET})
    masked = masked_reason(reason)
    # in which columns it differs compares two values that are masked
    assert (masked.details, masked.field) == ({"first_offset": 3}, "•••")


def test_headers_about_the_transport_are_seen_and_others_are_not() -> None:
    headers = [("client-id", b"p1"), ("traceparent", b"00-1"), ("driver", SECRET.encode()), (SECRET, b"")]
    masked = [("client-id", "p1"), ("traceparent", "00-1"), ("•••", "•••"), ("•••", "•••")]
    assert masked_headers(headers) == masked
    assert masked_headers([("content-type", SECRET.encode())]) == [("content-type", "•••")]


def test_a_key_is_seen_where_it_is_the_event_s_own_id() -> None:
    assert masked_key(b"ev-1", b"ev-1") == "ev-1"
    assert masked_key(SECRET.encode(), b"ev-1") == "•••"
    assert masked_key(None, b"ev-1") is None
