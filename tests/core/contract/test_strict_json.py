"""What is JSON, where it stops being so, and that no bytes take long or raise."""

import json
import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream_scorer.core.contract.reasons import Code, Reason
from stream_scorer.core.contract.strict_json import parse
from tests.core.contract.independent_validator import faults, judge_observation

DEEP_ENOUGH = 64


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(None, "no value (byte 0)", id="no value"),
        pytest.param(b"", "empty value (byte 0)", id="an empty value"),
        pytest.param(b" \n", "Expecting value (byte 2)", id="blanks"),
        pytest.param(b'{"id": "\xff"}', "not UTF-8 (byte 8)", id="a byte that UTF-8 never has"),
        pytest.param(b'{"a": "\xed\xa0\x80"}', "not UTF-8 (byte 7)", id="a surrogate in UTF-8"),
        pytest.param(b'{"a": "\xc3', "not UTF-8 (byte 7)", id="UTF-8 cut short"),
        pytest.param(
            b'\xef\xbb\xbf{"a": 1}',
            "a byte-order mark before it, send UTF-8 without one (byte 0)",
            id="a byte order mark",
        ),
        pytest.param('{"a": 1}'.encode("utf-16"), "text in UTF-16, send UTF-8 (byte 0)", id="UTF-16"),
        pytest.param(
            b'\0\0\0\0\x07{"a": 1}',
            "a schema registry's frame before it, schema 7, which worker.schema_registry_frames accepts (byte 0)",
            id="a schema registry's frame",
        ),
        pytest.param(b"\0\0\0\0\x07\x06a", "a zero byte, as binary formats have, send JSON (byte 0)", id="Avro"),
        pytest.param('{"é€😀": x}'.encode(), "Expecting value (byte 14)", id="positions count bytes, not characters"),
        pytest.param(b'{"a": 1}x', "Extra data (byte 8)", id="trailing bytes"),
        pytest.param(b'{"a": 1}\x00', "Extra data (byte 8)", id="a trailing zero byte"),
        pytest.param(b"{}{}", "Extra data (byte 2)", id="two events in one"),
        pytest.param(b'{"a": NaN}', "NaN is not a JSON value (byte 6)", id="NaN"),
        pytest.param(b'{"a": Infinity}', "Infinity is not a JSON value (byte 6)", id="Infinity"),
        pytest.param(b'{"a": [0, -Infinity]}', "-Infinity is not a JSON value (byte 10)", id="-Infinity"),
        pytest.param(b'{"a": "\\ud800"}', "lone surrogate (byte 7)", id="a lone high surrogate"),
        pytest.param(b'{"\\uDC00": 1}', "lone surrogate (byte 2)", id="a lone low surrogate in a key"),
        pytest.param(b'"\\ud83d\\ud83d\\ude00"', "lone surrogate (byte 1)", id="a lone one before a pair"),
        pytest.param(b'"\\\\\\ud83dx"', "lone surrogate (byte 3)", id="a lone one behind an escaped backslash"),
        pytest.param(b'{"a": ' + b"9" * 4_301 + b"}", "integer of more than 4300 digits (byte 6)", id="4,301 digits"),
        pytest.param(
            b'{"a": -' + b"9" * 4_301 + b"}", "integer of more than 4300 digits (byte 6)", id="a sign and 4,301 digits"
        ),
        pytest.param(b"9" * 5_000 + b".", "integer of more than 4300 digits (byte 0)", id="a point and nothing behind"),
        pytest.param(b"[" * 10_000, "nested deeper than 64 (byte 64)", id="open nesting, 10,000 deep"),
        pytest.param(b"[" * 10_000 + b"]" * 10_000, "nested deeper than 64 (byte 64)", id="closed nesting"),
        pytest.param(b'{"a":' * 10_000, "nested deeper than 64 (byte 320)", id="open objects, 10,000 deep"),
        pytest.param(b'{"a": 1,}', "Expecting property name enclosed in double quotes (byte 8)", id="a comma too many"),
        pytest.param(b'{"a": 01}', "Expecting ',' delimiter (byte 7)", id="a leading zero"),
        pytest.param(b'{"a": "\t"}', "Invalid control character at (byte 7)", id="a bare tab"),
        pytest.param(b'{"a": "\\x"}', "Invalid \\escape (byte 7)", id="an escape that JSON lacks"),
        pytest.param(b'{"a": "b', "Unterminated string starting at (byte 6)", id="an open string"),
        pytest.param(b"{'a': 1}", "Expecting property name enclosed in double quotes (byte 1)", id="single quotes"),
        pytest.param(b"\x80\x04\x95", "not UTF-8 (byte 0)", id="binary"),
    ],
)
def test_what_is_not_json_says_why_and_at_which_byte(value: bytes | None, expected: str) -> None:
    verdict = judge_observation(value)
    assert faults(verdict) == [("not_json", None, f"Event is not valid JSON: {expected}")]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(b"[" * DEEP_ENOUGH + b"]" * DEEP_ENOUGH, None, id="64 deep"),
        pytest.param(b"[" + b"[]," * 100 + b"[]]", [[] for _ in range(101)], id="wide, not deep"),
        pytest.param(b'"' + b"[{" * 100 + b'"', "[{" * 100, id="brackets in a string"),
        pytest.param(b'["\\"[\\\\", 1]', ['"[\\', 1], id="escaped quotes"),
        pytest.param(b'"\\\\ud800"', "\\ud800", id="no escape, for its backslash is escaped"),
        pytest.param(b'"\\ud83d\\ude00\\u00e9"', "😀é", id="a pair of surrogates"),
        pytest.param(b'"NaN -Infinity"', "NaN -Infinity", id="NaN in a string"),
        pytest.param(b"9" * 4_300, int("9" * 4_300), id="4,300 digits"),
        pytest.param(b"9" * 5_000 + b".5", float("inf"), id="5,000 digits and a fraction are no integer"),
        pytest.param(b"9" * 5_000 + b"E0", float("inf"), id="5,000 digits and an exponent are no integer"),
        pytest.param(b"0." + b"3" * 5_000, 1 / 3, id="5,000 digits behind the point"),
        pytest.param(b"1e999", float("inf"), id="beyond the range of a double"),
        pytest.param(b"-0", 0, id="-0"),
        pytest.param(b"\r\n\t 1 ", 1, id="blanks around"),
        pytest.param(b'{"a": 1, "a": 2}', {"a": 2}, id="the last of two keys"),
    ],
)
def test_what_is_json_is_read(value: bytes, expected: object) -> None:
    parsed = parse(value)
    assert not isinstance(parsed, Reason)
    assert expected is None or (parsed == expected and type(parsed) is type(expected))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
PIECES = st.sampled_from(
    [
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b"\\",
        b":",
        b",",
        b"\\u",
        b"d800",
        b"\\udc00",
        b"0",
        b"-",
        b".",
        b"e",
        b"9",
        b"1" * 300,
        b"NaN",
        b"Infinity",
        b"true",
        b"null",
        b" ",
        b"\n",
        b"\x00",
        b"\xff",
        b"\xc3\xa9",
        b"\xef\xbb\xbf",
        b"a",
        b"[" * 70,
    ]
)


@given(JSON)
def test_what_python_writes_is_read_back_the_same(value: object) -> None:
    for ascii_only in (True, False):
        assert repr(parse(json.dumps(value, ensure_ascii=ascii_only).encode())) == repr(value)


@given(st.binary() | st.lists(PIECES, max_size=30).map(b"".join))
@example(b'"\\ud800\\udc00"')
@example(b"9" * 4_301 + b".")
def test_any_bytes_are_json_or_one_reason(value: bytes) -> None:
    parsed = parse(value)
    if isinstance(parsed, Reason):
        assert parsed.code is Code.NOT_JSON
        position = int(parsed.message.rpartition("(byte ")[2].rstrip(")"))
        assert 0 <= position <= len(value)
    else:
        assert repr(parsed) == repr(json.loads(value))


@pytest.mark.parametrize(
    "piece",
    [
        b"[",
        b"[]",
        b'"',
        b'"\\',
        b'\\"',
        b"\\",
        b"9",
        b"9.",
        b"-",
        b"-9",
        b"9e",
        b"{",
        b'{"a":',
        b"N",
        b"\\ud83d",
        b'"",',
    ],
    ids=repr,
)
def test_a_megabyte_of_the_same_is_decided_at_once(piece: bytes) -> None:
    """Anything that tried again from every byte would take hours here, and the time limit of tests would end it."""
    for value in (piece * (2**20 // len(piece)), b'{"id": "' + piece * (2**20 // len(piece))):
        assert isinstance(parse(value), (Reason, int))


def test_a_python_that_allows_fewer_digits_says_so_and_does_not_raise() -> None:
    program = "from stream_scorer.core.contract.strict_json import parse; print(parse(b'9' * 1000).message)"
    command = [sys.executable, "-X", "int_max_str_digits=640", "-c", program]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.startswith("Event is not valid JSON: Exceeds the limit (640")
