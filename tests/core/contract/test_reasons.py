"""The words of reasons that no event alone can have, and the order of all."""

import msgspec
import pytest

from stream_scorer.core.contract import reasons
from stream_scorer.core.contract.reasons import Code, Reason, Stage


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        pytest.param(
            reasons.conflict("a'b", 17, ["hour", "SubjectAge"]),
            {
                "code": "conflict",
                "field": "id",
                "message": "Observation ID: 'a'b' already exists",
                "details": {"first_offset": 17, "columns": ["hour", "SubjectAge"]},
            },
            id="conflict",
        ),
        pytest.param(
            reasons.scoring_failed(ValueError("no such day")),
            {
                "code": "scoring_failed",
                "field": None,
                "message": "Model could not score this observation: ValueError: no such day",
            },
            id="scoring_failed",
        ),
        pytest.param(
            reasons.scoring_failed("x" * 201),
            {
                "code": "scoring_failed",
                "field": None,
                "message": f"Model could not score this observation: {'x' * 200}…",
            },
            id="scoring_failed, cut",
        ),
        pytest.param(
            reasons.invalid_output(float("nan")),
            {"code": "invalid_output", "field": None, "message": "Model returned nan as the probability"},
            id="invalid_output",
        ),
        pytest.param(
            reasons.unknown_id("a"),
            {"code": "unknown_id", "field": "id", "message": 'Observation ID: "a" does not exist'},
            id="unknown_id",
        ),
    ],
)
def test_a_reason_is_written_exactly_so(reason: Reason, expected: dict[str, object]) -> None:
    assert msgspec.json.decode(msgspec.json.encode(reason)) == expected
    assert msgspec.json.decode(msgspec.json.encode(reason), type=Reason) == reason


def test_reasons_come_in_the_order_of_the_codes_and_within_a_code_as_they_came() -> None:
    mixed = [Reason(code, field, "") for field in "ab" for code in reversed(Code)]
    assert reasons.in_order(mixed) == tuple(Reason(code, field, "") for code in Code for field in "ab")


def test_the_sets_of_codes_and_stages_are_closed() -> None:
    """They are labels of metrics and part of what producers build on: a change here is a change of the contract."""
    assert ",".join(Code) == (
        "not_json,too_large,batch_too_large,batch_unreadable,not_an_object,missing_id,invalid_id,"
        "missing_observation,observation_not_an_object,"
        "missing_columns,unrecognized_columns,invalid_value,not_an_integer,out_of_range,conflict,scoring_failed,"
        "invalid_output,missing_true_class,invalid_true_class,unknown_id"
    )
    assert ",".join(Stage) == "decode,contract,conflict,score,output,outcome"
