"""Batches of observation events: one outcome for every value, the two looks agree, and what passes keeps its order."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_scorer.core.contract.batch_decoding import REFUSED
from stream_scorer.core.contract.columns import COLUMNS
from stream_scorer.core.contract.observation_code import encode_columns
from stream_scorer.core.contract.observation_events import decode_event, decode_observations
from tests.core.contract.independent_validator import codes, judge_observation
from tests.support.builders import an_event, an_observation

OBSERVATIONS = st.fixed_dictionaries({column.name: st.sampled_from(column.domain) for column in COLUMNS})
IDS = st.text(min_size=1, max_size=50) | st.integers()
EVENTS = st.fixed_dictionaries(
    {"id": IDS, "observation": OBSERVATIONS},
    optional={"extra": st.none() | st.text() | st.lists(st.floats(allow_nan=False, allow_infinity=False))},
)
SCALARS = st.none() | st.booleans() | st.integers(-1, 120) | st.floats() | st.text(max_size=5)
VALUES = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(st.text(max_size=3), SCALARS, max_size=2)
BYTES = st.binary(max_size=4) | st.sampled_from(
    [b'"', b"{", b"}", b"\\u", b"\\ud800", b"NaN", b"1.0", b"-0", b",", b"[" * 65]
)


def encode(event: object) -> bytes:
    return json.dumps(event).encode()


@st.composite
def mutated_events(draw: st.DrawFn) -> bytes:
    """A valid event after a few accidents: to its fields, to its columns, to its bytes."""
    event: dict[str, Any] = draw(EVENTS)
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.sampled_from([event, event.get("observation")]))
        if not isinstance(place, dict) or not place:
            continue
        name = draw(st.sampled_from(sorted(place)) | st.text(max_size=5))
        if draw(st.booleans()):
            place.pop(name, None)
        else:
            place[name] = draw(VALUES)
    value = bytearray(json.dumps(event, ensure_ascii=draw(st.booleans())).encode(errors="surrogatepass"))
    for _ in range(draw(st.integers(0, 2))):
        start = draw(st.integers(0, len(value)))
        value[start : start + draw(st.integers(0, 3))] = draw(BYTES)
    return bytes(value)


@given(EVENTS)
def test_a_valid_event_gives_its_id_and_its_number(event: dict[str, Any]) -> None:
    verdict = judge_observation(encode(event))
    assert verdict == (str(event["id"]).encode(), encode_columns(event["observation"]))


@given(st.binary() | mutated_events())
def test_whatever_bytes_come_exactly_one_outcome_goes_out_and_both_looks_agree(value: bytes) -> None:
    assert judge_observation(value)


@given(mutated_events())
def test_what_the_typed_decoder_takes_the_second_look_takes_too(value: bytes) -> None:
    try:
        event = decode_event(value)
    except REFUSED:
        return
    verdict = judge_observation(value)
    too_long = len(str(event.id).encode()) > 200
    assert codes(verdict) == (["invalid_id"] if too_long else [])


@given(st.lists(st.none() | EVENTS.map(encode) | mutated_events() | st.binary(max_size=20), max_size=30))
def test_a_batch_gives_what_its_values_give_alone_in_their_order(values: list[bytes | None]) -> None:
    batch = decode_observations(values)
    accepted = list(zip(batch.positions, batch.ids, batch.codes, strict=True))
    verdicts = [(position, judge_observation(value)) for position, value in enumerate(values)]
    assert accepted == [(position, *verdict) for position, verdict in verdicts if not codes(verdict)]
    assert batch.rejected == [(position, verdict) for position, verdict in verdicts if codes(verdict)]


@pytest.mark.parametrize(
    "literal",
    [b"NaN", b'"\\ud800"', b'"\xff"', b"9" * 4_301, b"[" * 64 + b"]" * 64, b"01", b'{"a":}', b'"\x00"'],
    ids=[
        "NaN",
        "lone surrogate",
        "not UTF-8",
        "4,301 digits",
        "nesting",
        "leading zero",
        "no value",
        "control character",
    ],
)
def test_a_field_that_the_contract_does_not_know_must_be_json_too(literal: bytes) -> None:
    assert codes(judge_observation(an_event()[:-1] + b', "more": ' + literal + b"}")) == ["not_json"]


def test_an_empty_batch_gives_nothing() -> None:
    assert decode_observations([]) == ([], [], [], [])


def test_events_that_need_the_second_look_keep_their_place() -> None:
    extra = [encode({"id": id_, "observation": an_observation(), "note": 1}) for id_ in "ace"]
    batch = decode_observations([extra[0], an_event("b"), extra[1], b"", an_event("d"), extra[2], an_event(5)])
    assert batch.ids == [b"a", b"b", b"c", b"d", b"e", b"5"]
    assert batch.positions == [0, 1, 2, 4, 5, 6]
    assert [position for position, _ in batch.rejected] == [3]


def test_an_id_too_long_in_bytes_only_is_set_aside_and_its_neighbours_pass() -> None:
    batch = decode_observations(
        [an_event("a"), an_event("€" * 67), an_event("b"), an_event("€" * 66), an_event("€" * 100)]
    )
    assert batch.ids == [b"a", b"b", ("€" * 66).encode()]
    assert [(position, codes(reasons)) for position, reasons in batch.rejected] == [
        (1, ["invalid_id"]),
        (4, ["invalid_id"]),
    ]


@pytest.mark.parametrize("tombstones", [[], [None, b""]], ids=["alone", "with empty values"])
def test_an_event_above_the_limit_is_set_aside_and_its_neighbours_pass(tombstones: list[bytes | None]) -> None:
    limit_bytes = len(an_event("a"))
    batch = decode_observations([an_event("a"), an_event("ab"), an_event("c"), *tombstones], limit_bytes)
    assert batch.ids == [b"a", b"c"]
    assert codes(batch.rejected[0][1]) == ["too_large"]
    assert len(batch.rejected) == 1 + len(tombstones)
