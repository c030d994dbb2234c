"""Bytes to a JSON value, or to the one reason why they are none.

Invariant: on any bytes linear in time, and never raises.
"""

import codecs
import json
import re

import msgspec

from stream_scorer.core.contract import reasons
from stream_scorer.core.contract.columns import DEPTH_MAX, INTEGER_DIGITS_MAX
from stream_scorer.core.contract.reasons import Reason
from stream_scorer.core.contract.schema_frame import FRAME_BYTES, schema_frame_of

# Python's own parser has the last word: it says where the fault is, and of a key that stands twice the last one wins.
PYTHON_PARSER = json.JSONDecoder()
# Four times as fast, and where it accepts, it gives what Python's gives.
FAST_PARSER = msgspec.json.Decoder()

_FIRST_OF_PREAMBLES = frozenset(b"\x00\xef\xff\xfe")
# What must be seen before anything recursive reads the text. An unclosed string runs to the end, so that no quote is
# tried twice; `++` and `*+` give nothing back, for the same reason.
TOKEN = re.compile(
    r"""
      "(?: [^"\\]++ | \\. )*+ (?: " | \\?\Z )
    | (?P<opening> [\[{] )
    | (?P<closing> [\]}] )
    | -? (?P<integer> [0-9]++ ) (?P<fraction> \.[0-9]++ )? (?P<exponent> [eE][+-]?[0-9]++ )?
    | (?P<constant> NaN | -?Infinity )
    """,
    re.VERBOSE | re.DOTALL,
)
# The escapes of a text, taken two by two where they are a surrogate pair; what is left over in `lone` has no partner.
ESCAPE = re.compile(
    r"\\(?: u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2} | (?P<lone> u[dD][89a-fA-F][0-9a-fA-F]{2} ) | . )",
    re.VERBOSE | re.DOTALL,
)


def parse_object(value: bytes | None) -> dict[str, object] | Reason:
    """The JSON object that the bytes are, or why they are none."""
    parsed = parse(value)
    return parsed if isinstance(parsed, (dict, Reason)) else reasons.not_an_object()


def parse(value: bytes | None) -> object | Reason:
    """The JSON value that the bytes are, or why they are none, with the position of the byte at fault."""
    if not value:
        return reasons.not_json("no value" if value is None else "empty value", 0)
    if (preamble := preamble_of(value)) is not None:
        return reasons.not_json(preamble, 0)
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        return reasons.not_json("not UTF-8", error.start)
    parsed: object
    if within_limits := is_within_limits_at_sight(value):
        try:
            parsed = FAST_PARSER.decode(value)
            return parsed
        except (msgspec.DecodeError, ValueError):
            pass  # Python's parser decides, and says where
    suspect = not within_limits or "NaN" in text or "Infinity" in text
    if suspect and (beyond := first_beyond_limits(text)) is not None:
        fault, character = beyond
        return reasons.not_json(fault, byte_position(text, character))
    try:
        parsed = PYTHON_PARSER.decode(text)
        return parsed
    except json.JSONDecodeError as error:
        return reasons.not_json(error.msg, byte_position(text, error.pos))
    except ValueError as error:  # PYTHONINTMAXSTRDIGITS may allow integers fewer digits than the contract does
        return reasons.not_json(str(error), 0)


def preamble_of(value: bytes) -> str | None:
    """What a value begins with that belongs to its transport and not to JSON; None for nearly all."""
    if value[0] in _FIRST_OF_PREAMBLES:
        if value.startswith(codecs.BOM_UTF8):
            return "a byte-order mark before it, send UTF-8 without one"
        if value.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "text in UTF-16, send UTF-8"
        if schema_frame_of(value) and value[FRAME_BYTES:].lstrip().startswith(b"{"):
            number = int.from_bytes(value[1:FRAME_BYTES], "big")
            return f"a schema registry's frame before it, schema {number}, which worker.schema_registry_frames accepts"
        if value[0] == 0:
            return "a zero byte, as binary formats have, send JSON"
    return None


def byte_position(text: str, character: int) -> int:
    """Where a character begins in the text's UTF-8."""
    return len(text[:character].encode())


def is_within_limits_at_sight(value: bytes) -> bool:
    """True when the bytes can't be too deep, or hold a lone surrogate or too long an integer; False says nothing."""
    openings = value.count(b"{") + value.count(b"[")
    return openings <= DEPTH_MAX and len(value) <= INTEGER_DIGITS_MAX and b"\\" not in value


def first_beyond_limits(text: str) -> tuple[str, int] | None:
    """What Python's parser would let pass, or die of, and the character where it stands."""
    found = filter(None, (first_bad_token(text), first_lone_surrogate(text)))
    return min(found, key=lambda beyond: beyond[1], default=None)


def first_bad_token(text: str) -> tuple[str, int] | None:
    depth = 0
    for token in TOKEN.finditer(text):
        kind = token.lastgroup
        if kind == "opening":
            depth += 1
            if depth > DEPTH_MAX:
                return f"nested deeper than {DEPTH_MAX}", token.start()
        elif kind == "closing":
            depth -= 1
        elif kind == "constant":
            return f"{token[0]} is not a JSON value", token.start()
        elif kind == "integer" and len(token["integer"]) > INTEGER_DIGITS_MAX:
            return f"integer of more than {INTEGER_DIGITS_MAX} digits", token.start()
    return None


def first_lone_surrogate(text: str) -> tuple[str, int] | None:
    for escape in ESCAPE.finditer(text):
        if escape["lone"]:
            return "lone surrogate", escape.start()
    return None
