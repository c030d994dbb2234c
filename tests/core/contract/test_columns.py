"""The contract of observation events: what is allowed, what is not, and in exactly which words."""

import json
import math
from typing import Any

import pytest

from stream_scorer.core.contract.columns import COLUMN_NAMES, COLUMNS, EVENT_BYTES_MAX, Column
from stream_scorer.core.contract.observation_events import stage_of
from stream_scorer.core.contract.reasons import Code, Reason, Stage
from tests.core.contract.independent_validator import codes, faults, judge_observation
from tests.support.builders import an_event, an_observation

STATUTES = (
    "'Stop Sign','Other','Speed Related','Cell Phone','Traffic Control Signal','Defective Lights','Moving Violation',"
    "'Registration','Display of Plates','Equipment Violation','Window Tint','Suspended License','Seatbelt',"
    "'Other/Error','STC Violation','Administrative Offense','Unlicensed Operation'"
)
DAYS = "'Monday','Tuesday','Wednesday','Thursday','Friday','Saturday','Sunday'"
AGE_IS_NO_INTEGER = [("not_an_integer", "SubjectAge", "Field `SubjectAge` is not an integer")]
AGE_IS_OUT_OF_RANGE = [("out_of_range", "SubjectAge", "Field `SubjectAge` is not between 10 and 100")]
HOUR_IS_OUT_OF_RANGE = [("out_of_range", "hour", "Field `hour` is not between 0 and 24")]
NO_OBJECTS: tuple[object, ...] = ("text", [], None, 1, True)
INVALID_ID = [("invalid_id", "id", "Field `id` is not a non-empty string of at most 200 bytes")]


def raw(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def with_literal(column: str, literal: str) -> bytes:
    """A valid event with one column written as JSON text that Python would not write."""
    return an_event(**{column: "<here>"}).replace(b'"<here>"', literal.encode())


def with_id(literal: str) -> bytes:
    return an_event(id="<here>").replace(b'"<here>"', literal.encode())


def invalid(column: str, printed: str, allowed: str) -> list[tuple[str, str, str]]:
    return [("invalid_value", column, f"Invalid value provided for {column}: {printed}. Allowed values are: {allowed}")]


def race(printed: str) -> list[tuple[str, str, str]]:
    return invalid("SubjectRaceCode", printed, "'W','B','A','I'")


def resident(printed: str) -> list[tuple[str, str, str]]:
    return invalid("ResidentIndicator", printed, "'True','False'")


def test_the_table_has_ten_columns_in_their_order() -> None:
    assert tuple(an_observation()) == COLUMN_NAMES


def test_the_domains_multiply_to_a_28_bit_number() -> None:
    product = math.prod(len(column.domain) for column in COLUMNS)
    assert product == 155_937_600
    assert 2**27 < product <= 2**28


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
def test_every_value_of_a_domain_is_accepted(column: Column) -> None:
    for value in column.domain:
        assert faults(judge_observation(an_event(**{column.name: value}))) == []


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        pytest.param(an_event(SubjectAge=10), [], id="the lowest age"),
        pytest.param(an_event(SubjectAge=100), [], id="the highest age"),
        pytest.param(an_event(SubjectAge=9), AGE_IS_OUT_OF_RANGE, id="below the lowest age"),
        pytest.param(an_event(SubjectAge=101), AGE_IS_OUT_OF_RANGE, id="above the highest age"),
        pytest.param(an_event(SubjectAge=0), AGE_IS_OUT_OF_RANGE, id="age 0 is out of range and not missing"),
        pytest.param(an_event(SubjectAge=-20), AGE_IS_OUT_OF_RANGE, id="a negative age"),
        pytest.param(with_literal("SubjectAge", "9" * 4_300), AGE_IS_OUT_OF_RANGE, id="an age of 4,300 digits"),
        pytest.param(an_event(SubjectAge=2**63), AGE_IS_OUT_OF_RANGE, id="an age beyond 63 bits"),
        pytest.param(an_event(hour=24), [], id="hour 24"),
        pytest.param(an_event(hour=25), HOUR_IS_OUT_OF_RANGE, id="hour 25"),
        pytest.param(an_event(hour=-1), HOUR_IS_OUT_OF_RANGE, id="hour -1"),
        pytest.param(with_literal("hour", "-0"), [], id="-0 is 0"),
        pytest.param(an_event(SubjectAge=True), AGE_IS_NO_INTEGER, id="true is not an integer"),
        pytest.param(with_literal("SubjectAge", "20.0"), AGE_IS_NO_INTEGER, id="20.0 is not an integer"),
        pytest.param(with_literal("SubjectAge", "2e1"), AGE_IS_NO_INTEGER, id="2e1 is not an integer"),
        pytest.param(with_literal("SubjectAge", "1e999"), AGE_IS_NO_INTEGER, id="1e999 is not an integer"),
        pytest.param(an_event(SubjectAge="20"), AGE_IS_NO_INTEGER, id="text is not an integer"),
        pytest.param(an_event(SubjectAge=None), AGE_IS_NO_INTEGER, id="null is not an integer"),
        pytest.param(an_event(SubjectAge=[20]), AGE_IS_NO_INTEGER, id="a list is not an integer"),
        pytest.param(an_event(ResidentIndicator=1), resident("1"), id="1 is not a boolean"),
        pytest.param(an_event(ResidentIndicator=0), resident("0"), id="0 is not a boolean"),
        pytest.param(with_literal("ResidentIndicator", "1.0"), resident("1.0"), id="1.0 is not a boolean"),
        pytest.param(an_event(ResidentIndicator="true"), resident("true"), id="text is not a boolean"),
        pytest.param(an_event(ResidentIndicator=None), resident("None"), id="null is not a boolean"),
        pytest.param(an_event(SubjectRaceCode="t"), race("t"), id="a text outside the domain"),
        pytest.param(an_event(SubjectRaceCode=""), race(""), id="an empty category"),
        pytest.param(an_event(SubjectRaceCode=None), race("None"), id="null is no category"),
        pytest.param(an_event(SubjectRaceCode=True), race("True"), id="true is no category"),
        pytest.param(an_event(SubjectRaceCode=1), race("1"), id="a number is no category"),
        pytest.param(an_event(SubjectRaceCode=["W"]), race("['W']"), id="a list is no category"),
        pytest.param(an_event(SubjectRaceCode={"a": None}), race("{'a': None}"), id="an object is no category"),
        pytest.param(an_event(SubjectRaceCode="x" * 200), race("x" * 200), id="a value of 200 characters is whole"),
        pytest.param(an_event(SubjectRaceCode="é" * 201), race("é" * 200 + "…"), id="a value of 201 characters is cut"),
        pytest.param(
            an_event(StatuteReason="Stop sign"), invalid("StatuteReason", "Stop sign", STATUTES), id="case matters"
        ),
        pytest.param(
            an_event(StatuteReason="Stop Sign "), invalid("StatuteReason", "Stop Sign ", STATUTES), id="spaces matter"
        ),
        pytest.param(an_event(day_of_week="Mon"), invalid("day_of_week", "Mon", DAYS), id="a day cut short"),
    ],
)
def test_a_value_gets_exactly_these_reasons(event: bytes, expected: list[tuple[str, str, str]]) -> None:
    assert faults(judge_observation(event)) == expected


def test_hour_zero_is_midnight_and_valid() -> None:
    assert faults(judge_observation(an_event(hour=0))) == []


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        ('"a"', b"a"),
        ('"' + "a" * 200 + '"', b"a" * 200),
        ('"' + "€" * 66 + 'ab"', ("€" * 66 + "ab").encode()),
        ('"\\u00e9\\ud83d\\ude00"', "é😀".encode()),
        ('" "', b" "),
        ('"\\u0000"', b"\0"),
        ("5", b"5"),
        ("0", b"0"),
        ("-0", b"0"),
        ("-5", b"-5"),
        ("123456789012345678901234567890", b"123456789012345678901234567890"),
        ("9" * 200, b"9" * 200),
    ],
    ids=[
        "text",
        "200 bytes",
        "200 bytes in 68 characters",
        "escapes",
        "a blank",
        "a zero byte",
        "a whole number",
        "zero",
        "negative zero",
        "a negative number",
        "a number beyond 64 bits",
        "a number of 200 digits",
    ],
)
def test_an_id_becomes_these_bytes(literal: str, expected: bytes) -> None:
    assert judge_observation(with_id(literal))[0] == expected


@pytest.mark.parametrize(
    "literal",
    [
        '""',
        '"' + "a" * 201 + '"',
        '"' + "€" * 67 + '"',
        "9" * 201,
        "-" + "9" * 200,
        "9" * 4300,
        "5.0",
        "5e0",
        "true",
        "null",
        '["a"]',
        '{"a": "b"}',
    ],
    ids=[
        "empty",
        "201 bytes",
        "201 bytes in 67 characters",
        "a number of 201 digits",
        "a number of 200 digits and a sign",
        "a number of 4,300 digits",
        "5.0 is not whole",
        "5e0 is not whole",
        "true is not a whole number",
        "null",
        "a list",
        "an object",
    ],
)
def test_what_is_no_id_gets_invalid_id(literal: str) -> None:
    assert faults(judge_observation(with_id(literal))) == INVALID_ID


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        pytest.param(b"[]", [("not_an_object", None, "Event is not a JSON object")], id="a list"),
        pytest.param(b'"text"', [("not_an_object", None, "Event is not a JSON object")], id="a text"),
        pytest.param(b"null", [("not_an_object", None, "Event is not a JSON object")], id="null"),
        pytest.param(b"9", [("not_an_object", None, "Event is not a JSON object")], id="a number"),
        pytest.param(
            b"{}",
            [
                ("missing_id", "id", "Field `id` missing from request: {}"),
                ("missing_observation", "observation", "Field `observation` missing from request: {}"),
            ],
            id="an empty object",
        ),
        pytest.param(
            raw(observation=None, other=[1.5, True, "é'\n"]),
            [
                (
                    "missing_id",
                    "id",
                    """Field `id` missing from request: {'observation': None, 'other': [1.5, True, "é'\\n"]}""",
                ),
                ("observation_not_an_object", "observation", "Field `observation` is not a JSON object"),
            ],
            id="no id, and null for the observation",
        ),
        *(
            pytest.param(
                raw(id="a", observation=given),
                [("observation_not_an_object", "observation", "Field `observation` is not a JSON object")],
                id=f"{given!r} for the observation",
            )
            for given in NO_OBJECTS
        ),
        pytest.param(
            raw(id="", observation={"SubjectAge": 20}),
            [
                *INVALID_ID,
                (
                    "missing_columns",
                    "observation",
                    "Missing columns: {'InterventionReasonCode', 'ResidentIndicator', 'SearchAuthorizationCode', "
                    "'StatuteReason', 'SubjectEthnicityCode', 'SubjectRaceCode', 'SubjectSexCode', "
                    "'day_of_week', 'hour'}",
                ),
            ],
            id="an empty id and nine columns missing",
        ),
        pytest.param(
            an_event(SomeRandomColumn=1),
            [
                (
                    "unrecognized_columns",
                    "observation",
                    "Unrecognized columns provided: {'SomeRandomColumn'}",
                )
            ],
            id="a column too many",
        ),
        pytest.param(
            an_event(b=1, a=2, **{"it's": 3}),
            [("unrecognized_columns", "observation", """Unrecognized columns provided: {'a', 'b', "it's"}""")],
            id="columns too many are sorted and printed like a set",
        ),
    ],
)
def test_an_event_gets_exactly_these_reasons(event: bytes, expected: list[tuple[str, str | None, str]]) -> None:
    assert faults(judge_observation(event)) == expected


def test_missing_columns_are_sorted_by_name() -> None:
    columns = an_observation()
    del columns["SubjectSexCode"], columns["SubjectEthnicityCode"]
    (fault,) = faults(judge_observation(raw(id="a", observation=columns)))
    assert fault[2] == "Missing columns: {'SubjectEthnicityCode', 'SubjectSexCode'}"


def test_every_fault_is_reported_by_code_and_within_a_code_by_column() -> None:
    columns = an_observation(
        day_of_week=8, hour="noon", SubjectAge=5, ResidentIndicator="no", SubjectRaceCode="t", Weather="rain"
    )
    del columns["SubjectSexCode"]
    verdict = judge_observation(raw(observation=columns))
    assert [(code, field) for code, field, _ in faults(verdict)] == [
        ("missing_id", "id"),
        ("missing_columns", "observation"),
        ("unrecognized_columns", "observation"),
        ("invalid_value", "SubjectRaceCode"),
        ("invalid_value", "ResidentIndicator"),
        ("invalid_value", "day_of_week"),
        ("not_an_integer", "hour"),
        ("out_of_range", "SubjectAge"),
    ]


def test_a_printed_event_is_cut_at_2_000_characters() -> None:
    (fault,) = faults(judge_observation(raw(observation=an_observation(), note="n" * 5_000)))
    printed = fault[2].removeprefix("Field `id` missing from request: ")
    assert printed == str({"observation": an_observation(), "note": "n" * 5_000})[:2_000] + "…"


def test_a_list_of_names_is_cut_at_20_and_a_name_at_200_characters() -> None:
    names: dict[str, Any] = {f"x{number:02}": 1 for number in range(20)} | {"y" * 201: 1}
    (fault,) = faults(judge_observation(an_event(**names)))
    assert fault[2] == "Unrecognized columns provided: {" + ", ".join(f"'{name}'" for name in list(names)[:20]) + ", …}"
    (fault,) = faults(judge_observation(an_event(**{"y" * 201: 1})))
    assert fault[2] == "Unrecognized columns provided: {'" + "y" * 200 + "…'}"


def test_fields_beside_id_and_observation_are_allowed() -> None:
    event = raw(id="a", observation=an_observation(), source={"system": "x", "deep": [[[1]]]})
    assert judge_observation(event) == judge_observation(an_event(id="a"))


def test_of_a_key_that_stands_twice_the_last_one_wins() -> None:
    inner = json.dumps(an_observation())[1:]
    twice = f'{{"id": [], "id": "a", "observation": 1, "observation": {{"SubjectAge": "old", "hour": 99, {inner}}}'
    assert judge_observation(twice.encode()) == judge_observation(an_event(id="a"))
    last_is_wrong = an_event(id="a")[:-1] + b', "id": ""}'
    assert faults(judge_observation(last_is_wrong)) == INVALID_ID


def test_an_escaped_key_is_the_same_key() -> None:
    assert judge_observation(an_event().replace(b'"hour"', b'"\\u0068our"')) == judge_observation(an_event())


@pytest.mark.parametrize("size", [EVENT_BYTES_MAX, EVENT_BYTES_MAX + 1])
def test_an_event_is_too_large_only_beyond_the_limit(size: int) -> None:
    verdict = judge_observation(an_event().ljust(size))
    expected = [("too_large", None, f"Event of {size} bytes is larger than 65536")]
    assert faults(verdict) == (expected if size > EVENT_BYTES_MAX else [])


def test_a_megabyte_of_one_string_is_too_large_and_where_the_limit_allows_it_not_an_object() -> None:
    value = b'"' + b"a" * 2**20 + b'"'
    assert faults(judge_observation(value)) == [
        ("too_large", None, f"Event of {len(value)} bytes is larger than 65536")
    ]
    assert codes(judge_observation(value, limit_bytes=2**21)) == ["not_an_object"]


@pytest.mark.parametrize("code", list(Code)[:14], ids=str)
def test_faults_of_the_bytes_stop_at_decode_and_the_others_at_contract(code: Code) -> None:
    of_bytes = {Code.NOT_JSON, Code.TOO_LARGE, Code.BATCH_TOO_LARGE, Code.BATCH_UNREADABLE, Code.NOT_AN_OBJECT}
    in_decode = code in of_bytes
    assert stage_of((Reason(code, None, ""),)) is (Stage.DECODE if in_decode else Stage.CONTRACT)
