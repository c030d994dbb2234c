"""Filters and fixes as forms."""

from urllib.parse import parse_qsl

import pytest
from multidict import MultiDict

from stream_scorer.core.contract.reasons import Stage
from stream_scorer.core.dead_letters.named_fixes import NamedFix
from stream_scorer.errors import SettingsError
from stream_scorer.operations.console.forms.filter_form import filled_fields, filter_of, in_words, query_of
from stream_scorer.operations.console.forms.fix_form import FixFields
from stream_scorer.operations.dead_letters.query.filters import WAITING, Filter, State

NOW_MS = 1_795_000_000_000


# Filters


def test_nothing_filled_in_is_every_letter_that_waits() -> None:
    assert filter_of(filled_fields(MultiDict({"code": "", "state": ""}))) == Filter()


def test_every_field_of_the_form_narrows() -> None:
    given = MultiDict(
        code="out_of_range",
        field="hour",
        stage="contract",
        since="2026-11-22T08:00",
        until="2026-11-22T09:00:30",
        partition="3",
        id="ev-1",
        producer="north",
        text="between",
        state="replayed",
    )
    assert filter_of(filled_fields(given)) == Filter(
        code="out_of_range",
        field="hour",
        stage=Stage.CONTRACT,
        since_ms=1_795_334_400_000,
        until_ms=1_795_338_030_000,
        partition=3,
        id="ev-1",
        producer="north",
        text="between",
        states=frozenset((State.REPLAYED,)),
    )


def test_the_last_hour_ends_now() -> None:
    assert filter_of({"within": "1h"}, NOW_MS).since_ms == NOW_MS - 3_600_000


def test_an_address_says_the_same_as_its_form() -> None:
    given = MultiDict([("text", "a&b=ü <"), ("state", "open"), ("state", "discarded")])
    fields = filled_fields(given)
    assert filled_fields(MultiDict(parse_qsl(query_of(fields)))) == fields
    assert "a%26b%3D" in query_of(fields)
    assert fields["state"] == ["open", "discarded"]
    assert "open or discarded" in in_words(fields)


@pytest.mark.parametrize(
    "given", [{"since": "yesterday"}, {"stage": "moon"}, {"partition": "-1"}, {"partition": "٣"}, {"within": "1y"}]
)
def test_what_cant_be_understood_is_told(given: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=next(iter(given))):
        filter_of(dict(given))


def test_both_waiting_states_are_the_same_as_none() -> None:
    given = MultiDict([("state", "open"), ("state", "parked")])
    assert filter_of(filled_fields(given)).states == WAITING


# Fixes


def test_a_fix_says_itself_again_word_by_word() -> None:
    given = MultiDict(
        [
            ("fix", "match-case"),
            ("fix", "no-such-fix"),
            ("set_column", ""),
            ("set_value", "lost"),
            ("set_column", "hour"),
            ("set_value", "3"),
            ("patch", " [] "),
        ]
    )
    fields = FixFields(given)
    assert fields.named == [NamedFix.MATCH_CASE]
    assert fields.fix().sets == (("hour", 3),)
    assert FixFields(MultiDict(fields.pairs())).fix() == fields.fix()


def test_an_empty_form_mends_nothing() -> None:
    assert FixFields(MultiDict(patch="  ")).is_empty
    assert not FixFields().fix()


@pytest.mark.parametrize(
    "given",
    [
        MultiDict(patch="{"),
        MultiDict(patch="[" * 50_000),
        MultiDict(set_column="hour", set_value="late"),
        MultiDict(set_column="x", set_value=""),
    ],
)
def test_a_fix_that_is_none_is_told(given: MultiDict[str]) -> None:
    with pytest.raises(SettingsError):
        FixFields(given).fix()
