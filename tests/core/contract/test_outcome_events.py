"""The contract of outcome events."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_scorer.core.contract.outcome_events import decode_outcomes
from tests.core.contract.independent_validator import codes, faults, judge_outcome
from tests.support.builders import an_outcome


@pytest.mark.parametrize(
    ("literal", "expected"), [("true", True), ("false", False), ("1", True), ("0", False), ("-0", False)]
)
def test_a_boolean_or_0_or_1_is_a_class(literal: str, expected: bool) -> None:
    event = an_outcome("a", "<here>").replace(b'"<here>"', literal.encode())
    assert judge_outcome(event) == (b"a", expected)
    assert type(decode_outcomes([event]).classes[0]) is bool


@pytest.mark.parametrize(
    ("literal", "printed"),
    [
        ("1.0", "1.0"),
        ("0.0", "0.0"),
        ("2", "2"),
        ("-1", "-1"),
        ("null", "None"),
        ('"true"', "true"),
        ('"x"', "x"),
        ("[]", "[]"),
        ('{"a": 1}', "{'a': 1}"),
        ("1e0", "1.0"),
        ('"' + "x" * 201 + '"', "x" * 200 + "…"),
    ],
)
def test_anything_else_is_none_and_is_printed(literal: str, printed: str) -> None:
    message = f"Invalid value provided for true_class: {printed}. Allowed values are: 'True','False'"
    event = an_outcome("a", "<here>").replace(b'"<here>"', literal.encode())
    assert faults(judge_outcome(event)) == [("invalid_true_class", "true_class", message)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"", ["not_json"]),
        (None, ["not_json"]),
        (b"[" * 10_000, ["not_json"]),
        (b"[]", ["not_an_object"]),
        (b"{}", ["missing_id", "missing_true_class"]),
        (b'{"id": ""}', ["invalid_id", "missing_true_class"]),
        (b'{"id": true, "true_class": 5}', ["invalid_id", "invalid_true_class"]),
        (b'{"id": "' + b"a" * 201 + b'", "true_class": 1}', ["invalid_id"]),
        (b'{"id": "' + b"a" * 2**20 + b'", "true_class": 1}', ["invalid_id"]),
        (b'{"id": 5, "true_class": 1, "when": "now"}', []),
        (b'{"id": 5, "true_class": "x", "true_class": 1}', []),
    ],
    ids=[
        "empty",
        "no value",
        "nesting",
        "a list",
        "an empty object",
        "an empty id",
        "both wrong",
        "an id of 201 bytes",
        "an id of a megabyte",
        "a field more",
        "a key twice",
    ],
)
def test_every_fault_of_an_outcome_is_reported_in_order(value: bytes | None, expected: list[str]) -> None:
    assert codes(judge_outcome(value)) == expected


def test_what_is_missing_is_said_with_the_event() -> None:
    message = "Field `true_class` missing from request: {'id': 'a', 'hit': None}"
    assert faults(judge_outcome(b'{"id": "a", "hit": null}')) == [("missing_true_class", "true_class", message)]


LITERALS = st.sampled_from(["1", "0", "true", "2", "null", '""', '"a"', "1.0", '"\\ud800"', "NaN", "{", "[]"])


@given(st.lists(st.tuples(st.sampled_from(["id", "true_class", "x"]), LITERALS)), st.binary(max_size=2))
def test_whatever_bytes_come_exactly_one_outcome_goes_out(fields: list[tuple[str, str]], tail: bytes) -> None:
    event = "{" + ", ".join(f'"{name}": {literal}' for name, literal in fields) + "}"
    assert judge_outcome(event.encode() + tail)


def test_a_batch_keeps_the_order_of_what_passes() -> None:
    values = [an_outcome("a"), b"", json.dumps({"id": 2, "true_class": 0, "more": 1}).encode(), an_outcome("c", 1)]
    batch = decode_outcomes(values)
    assert (batch.positions, batch.ids, batch.classes) == ([0, 2, 3], [b"a", b"2", b"c"], [True, False, True])
    assert [position for position, _ in batch.rejected] == [1]
