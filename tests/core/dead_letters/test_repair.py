"""Mending: a fix changes what it names and nothing else, and what can't be mended comes back as words."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_scorer.core.contract.batch_decoding import ValidEvent
from stream_scorer.core.contract.observation_events import validate_observation
from stream_scorer.core.dead_letters.named_fixes import NamedFix
from stream_scorer.core.dead_letters.repair import Fix, FixError, apply_fix, parse_fix
from tests.support.builders import an_event, an_observation

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
EVERY_FIX = parse_fix(named=list(NamedFix), sets=["hour=3", "StatuteReason=Other", "ResidentIndicator=true"])


def a_fix(**how: Any) -> Fix:
    made = parse_fix(**how)
    assert isinstance(made, Fix)
    return made


@pytest.mark.parametrize(
    ("named", "changes"),
    [
        pytest.param("trim-spaces", {"StatuteReason": " Stop Sign "}, id="spaces"),
        pytest.param("match-case", {"StatuteReason": "STOP sign"}, id="case"),
        pytest.param("match-case", {"SubjectRaceCode": "b", "day_of_week": "TUESDAY"}, id="case of several"),
        pytest.param("integers-from-text", {"SubjectAge": "20", "hour": " +0 "}, id="integers"),
        pytest.param("integers-from-floats", {"SubjectAge": 20.0, "hour": 0.0}, id="floats"),
        pytest.param("integers-from-floats", {"SubjectAge": "20.0", "hour": " 0. "}, id="floats as text"),
        pytest.param("drop-unrecognized", {"extra": 1, "SubjectName": "x"}, id="columns too many"),
    ],
)
def test_a_named_fix_makes_the_event_valid_again(named: str, changes: dict[str, Any]) -> None:
    broken = an_event(**changes)
    assert not isinstance(validate_observation(broken), ValidEvent)
    mended = apply_fix(broken, a_fix(named=[named]))
    assert isinstance(mended, bytes)
    assert validate_observation(mended) == validate_observation(an_event())


@pytest.mark.parametrize(
    ("fixes", "observation"),
    [
        pytest.param(["match-case"], {"SUBJECTAGE": 20}, id="a name's case"),
        pytest.param(["trim-spaces"], {" SubjectAge ": 20}, id="a name's spaces"),
        pytest.param(["match-case", "trim-spaces"], {" subjectAGE": 20}, id="both"),
    ],
)
def test_names_of_columns_are_mended_too(fixes: list[str], observation: dict[str, Any]) -> None:
    fields = {name: value for name, value in an_observation().items() if name != "SubjectAge"} | observation
    mended = apply_fix(json.dumps({"id": "ev-1", "observation": fields}).encode(), a_fix(named=fixes))
    assert validate_observation(mended if isinstance(mended, bytes) else None) == validate_observation(an_event())


def test_a_name_is_not_mended_onto_one_that_is_there() -> None:
    value = an_event(subjectage=30)
    assert apply_fix(value, a_fix(named=["match-case"])) == value


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        pytest.param({"SubjectAge": "20.0"}, "integers-from-text", id="a fraction is not an integer"),
        pytest.param({"SubjectAge": "twenty"}, "integers-from-text", id="nor is a word"),
        pytest.param({"SubjectAge": 20.0}, "integers-from-text", id="nor a float"),
        pytest.param({"SubjectAge": 20.5}, "integers-from-floats", id="half a year"),
        pytest.param({"SubjectAge": "20.5"}, "integers-from-floats", id="half a year as text"),
        pytest.param({"SubjectAge": True}, "integers-from-floats", id="a flag is not a float"),
        pytest.param({"SubjectAge": 1e300}, "integers-from-floats", id="beyond what a float tells apart"),
        pytest.param({"StatuteReason": 20.0}, "integers-from-floats", id="no column of numbers"),
        pytest.param({"StatuteReason": "Stop Signs"}, "match-case", id="another word"),
        pytest.param({"SubjectRaceCode": None}, "trim-spaces", id="null"),
    ],
)
def test_what_is_not_plain_is_left_as_it_is(changes: dict[str, Any], named: str) -> None:
    value = an_event(**changes)
    assert apply_fix(value, a_fix(named=[named])) is value


def test_bytes_that_a_fix_does_not_change_keep_their_blanks_and_their_doubles() -> None:
    value = b'{ "id" : "a",\n "observation": {"hour": 1, "hour": 2}, "n": 1.0e2, "true_class": 1}'
    assert apply_fix(value, a_fix(named=list(NamedFix))) is value
    assert apply_fix(value, Fix()) is value


def test_one_and_true_are_not_the_same() -> None:
    value = b'{"id":"a","true_class":1}'
    assert apply_fix(value, a_fix(sets=["true_class=true"])) == b'{"id":"a","true_class":true}'


def test_a_json_patch_comes_first_and_values_that_are_set_last() -> None:
    moved = '[{"op": "move", "from": "/observation/age", "path": "/observation/SubjectAge"}]'
    fields = {name: value for name, value in an_observation().items() if name != "SubjectAge"} | {"age": " 44", "x": 1}
    fix = a_fix(patch=moved, named=["integers-from-text", "drop-unrecognized"], sets=["hour=7"])
    mended = apply_fix(json.dumps({"id": "ev-1", "observation": fields}).encode(), fix)
    assert isinstance(mended, bytes)
    assert json.loads(mended)["observation"] == an_observation(SubjectAge=44, hour=7)


@pytest.mark.parametrize(
    ("patch", "why"),
    [
        pytest.param(
            '[{"op": "remove", "path": "/observation/nothing"}]', "the patch can't be applied", id="no such member"
        ),
        pytest.param('[{"op": "test", "path": "/id", "value": "x"}]', "the patch can't be applied", id="failing test"),
        pytest.param('[{"op": "add", "path": "/id/x", "value": 1}]', "the patch can't be applied", id="into a text"),
    ],
)
def test_a_patch_that_does_not_fit_is_words(patch: str, why: str) -> None:
    found = apply_fix(an_event(), a_fix(patch=patch))
    assert isinstance(found, FixError)
    assert found.why.startswith(why)


SECRET = "Ms Jones, 12 Elm St"
PERSONAL = an_event(SECRET, StatuteReason=SECRET, SubjectAge=[SECRET], day_of_week={SECRET: SECRET})
POINTERS = (
    *("", "/id", "/observation", "/observation/StatuteReason", "/observation/StatuteReason/0"),
    *("/observation/SubjectAge", "/observation/SubjectAge/0", "/observation/SubjectAge/7", "/observation/SubjectAge/-"),
    *("/observation/SubjectAge/x", "/observation/day_of_week/x", "/observation/hour/x", "/nothing", "/nothing/x"),
)


@pytest.mark.parametrize("path", POINTERS)
@pytest.mark.parametrize("op", ["add", "remove", "replace", "move", "copy", "test"])
def test_why_a_patch_does_not_fit_quotes_the_patch_and_nothing_of_the_letter(op: str, path: str) -> None:
    for begin in POINTERS:
        patch = [{"op": "test", "path": "", "value": json.loads(PERSONAL)}]
        patch.append({"op": op, "path": path, "from": begin, "value": 0})
        found = apply_fix(PERSONAL, a_fix(patch=json.dumps(patch)))
        if isinstance(found, FixError):
            assert f"operation 2 ({op} {path!r})" in found.why
            assert "Jones" not in found.why
            assert "Elm" not in found.why


def test_a_test_of_the_whole_letter_does_not_tell_it() -> None:
    found = apply_fix(PERSONAL, a_fix(patch='[{"op": "test", "path": "", "value": 0}]'))
    assert found == FixError(
        "the patch can't be applied: operation 1 (test ''): the value there is another one, or missing"
    )


def test_a_patch_that_doubles_the_letter_again_and_again_is_stopped() -> None:
    copies = ",".join(f'{{"op": "copy", "from": "", "path": "/{number}"}}' for number in range(40))
    found = apply_fix(an_event(), a_fix(patch=f"[{copies}]"))
    assert isinstance(found, FixError)
    assert "copies more than 1,048,576 bytes" in found.why
    # nor is one whose size can't be told
    found = apply_fix(an_event(), a_fix(patch=f'[{{"op": "add", "path": "/endless", "value": 1e999}},{copies}]'))
    assert isinstance(found, FixError)
    assert "operation 2 (copy '/0'): the patch copies a value that JSON can't represent" in found.why


def test_a_letter_that_a_patch_nests_too_deep_is_words() -> None:
    nested = json.loads('{"x": ' * 50 + "{}" + "}" * 50)
    patch = json.dumps([{"op": "add", "path": "/x" * depth, "value": nested} for depth in range(1, 1_250, 50)])
    assert isinstance(apply_fix(an_event(), a_fix(patch=patch)), FixError)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(None, id="no value"),
        pytest.param(b"{", id="no JSON"),
        pytest.param(b"[1]", id="no object"),
        pytest.param(b'{"id": "a", "observation": "x"}', id="no observation to set a column in"),
    ],
)
def test_what_has_no_columns_can_not_be_mended(value: bytes | None) -> None:
    assert isinstance(apply_fix(value, a_fix(sets=["hour=3"])), FixError)


@pytest.mark.parametrize(
    "how",
    [
        pytest.param({"patch": "{"}, id="a patch that is no JSON"),
        pytest.param({"patch": '{"op": "add"}'}, id="a patch that is no list"),
        pytest.param({"patch": '[{"op": "paint", "path": "/id"}]'}, id="no such operation"),
        pytest.param({"patch": '[{"op": "add", "path": "id", "value": 1}]'}, id="no pointer"),
        pytest.param({"patch": "[1]"}, id="no operation"),
        pytest.param({"patch": '[{"op": "add", "path": "/id"}]'}, id="nothing to add"),
        pytest.param({"patch": '[{"op": "move", "path": "/id"}]'}, id="nowhere to move from"),
        pytest.param({"patch": '[{"op": "copy", "path": "/id", "from": 1}]'}, id="a number to copy from"),
        pytest.param({"patch": "[" * 50_000}, id="a patch of open brackets"),
        pytest.param({"patch": "[" * 50_000 + "]" * 50_000}, id="a patch that is nested deep"),
        pytest.param({"patch": '[{"op": "add", "path": "/id", "value": NaN}]'}, id="not a number"),
        pytest.param({"patch": '[{"op": "add", "path": "/id", "value": "\\ud800"}]'}, id="half a character"),
        pytest.param({"patch": "\udcff"}, id="bytes that are no text"),
        pytest.param({"named": ["trim"]}, id="unknown fix"),
        pytest.param({"sets": ["hour"]}, id="no value"),
        pytest.param({"sets": ["Hour=1"]}, id="no such column"),
        pytest.param({"sets": ["hour=one"]}, id="no whole number"),
        pytest.param({"sets": ["ResidentIndicator=yes"]}, id="neither true nor false"),
    ],
)
def test_a_fix_that_makes_no_sense_is_refused_in_words(how: dict[str, Any]) -> None:
    found = parse_fix(**how)
    assert isinstance(found, FixError)
    assert len(found.why) < 500
    assert "patch" not in how or found.why.startswith("not a JSON Patch (RFC 6902): ")


@given(st.binary(max_size=60) | JSON_VALUES.map(lambda value: json.dumps(value).encode()))
def test_mending_any_bytes_gives_bytes_or_words(value: bytes) -> None:
    assert isinstance(EVERY_FIX, Fix)
    mended = apply_fix(value, EVERY_FIX)
    if isinstance(mended, bytes):
        json.loads(mended)
        assert apply_fix(mended, EVERY_FIX) == mended


@given(JSON_VALUES)
def test_mending_any_observation_gives_bytes_or_words(observation: object) -> None:
    mended = apply_fix(json.dumps({"id": "a", "observation": observation}).encode(), a_fix(named=list(NamedFix)))
    assert isinstance(mended, bytes)
    assert json.loads(mended)["id"] == "a"


def test_what_a_fix_does_is_said_without_the_values() -> None:
    fix = a_fix(
        patch='[{"op": "add", "path": "/observation/SubjectAge", "value": 33}]', named=["match-case"], sets=["hour=5"]
    )
    assert fix.said() == "patch (add /observation/SubjectAge), match-case, set hour"
