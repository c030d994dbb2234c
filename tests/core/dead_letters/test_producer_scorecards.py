"""Scorecards: each record counts once and for whom it came from; what they tell holds nothing of a person."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_scorer.core.contract import reasons
from stream_scorer.core.contract.batch_decoding import ValidEvent
from stream_scorer.core.contract.columns import COLUMN_NAMES
from stream_scorer.core.contract.observation_events import stage_of, validate_observation
from stream_scorer.core.contract.reasons import Code, Reason, Stage
from stream_scorer.core.dead_letters.producer_notices import ADVICE, FAULTS_LISTED, notice_text
from stream_scorer.core.dead_letters.producer_scorecards import (
    EXAMPLES_MAX,
    FAULTS_MAX,
    OTHERS,
    PRODUCERS_MAX,
    UNNAMED,
    Scorecard,
    ScorecardBuilder,
)
from stream_scorer.core.records.dead_letter import dead_letter
from stream_scorer.core.records.dead_letter_reader import SourcePosition
from stream_scorer.core.records.record import Headers
from stream_scorer.core.records.repartitioning import move
from tests.support.builders import an_event

NOW_MS = 1_800_000_000_000
TOPIC = "stops.observations"


class Read(NamedTuple):
    value: bytes | None = b"{}"
    headers: tuple[tuple[str, bytes], ...] = ()
    offset: int = 7
    timestamp: int = NOW_MS
    key: bytes | None = None


def by(producer: str, *more: tuple[str, bytes]) -> tuple[tuple[str, bytes], ...]:
    return (("client-id", producer.encode()), *more)


def a_letter(record: Read, *given: Reason, stage: Stage | None = None) -> Read:
    """The dead letter of a record, with the contract's own reasons unless others are given."""
    found: tuple[Reason, ...] = given
    if not given:
        examined = validate_observation(record.value)
        assert not isinstance(examined, ValidEvent), "this record is not broken"
        found = examined
    letter = dead_letter(
        record,
        found,
        stage or stage_of(found),
        topic=TOPIC,
        partition=2,
        failed_at_ms=NOW_MS,
        version="1",
        limit_bytes=1 << 20,
    )
    return Read(letter.value, tuple(letter.headers), record.offset, record.timestamp, letter.key)


def cards(inputs: list[Read], letters: list[Read]) -> dict[str, Scorecard]:
    tally = ScorecardBuilder()
    tally.add_inputs(inputs)
    tally.add_letters(2, letters)
    return {card.producer: card for card in tally.cards()}


@pytest.mark.parametrize(
    ("headers", "producer"),
    [
        ((), UNNAMED),
        ((("other", b"x"),), UNNAMED),
        (by("east"), "east"),
        ((("ce_source", b"/west"),), "/west"),
        ((("ce_source", b"/west"), ("client-id", b"east")), "east"),
        ((("client-id", b""), ("ce_source", b"/west")), "/west"),
        ((("client-id", b"\xff"),), "�"),
    ],
    ids=["no headers", "other headers", "client id", "CloudEvents", "both", "empty client id", "not UTF-8"],
)
def test_a_record_is_its_producers(headers: Headers, producer: str) -> None:
    assert list(cards([Read(headers=tuple(headers))], [])) == [producer]


def test_shares_are_of_what_a_producer_sent() -> None:
    broken = Read(an_event(hour=99), by("east"))
    found = cards([broken, Read(headers=by("east")), Read(headers=by("west"))], [a_letter(broken)])
    assert (found["east"].sent, found["east"].broken, found["east"].broken_share) == (2, 1, 0.5)
    assert (found["west"].sent, found["west"].broken_share) == (1, 0.0)


def test_the_most_broken_producer_comes_first() -> None:
    broken = Read(an_event(hour=99), by("east"))
    assert next(iter(cards([Read(headers=by("west"))] * 9 + [broken], [a_letter(broken)]))) == "east"


def test_a_moved_record_was_sent_once() -> None:
    first = Read(an_event(), by("east"), timestamp=NOW_MS - 5)
    moved = move(first, 3, b"ev-1")
    found = cards([first, Read(moved.value, tuple(moved.headers), timestamp=moved.timestamp_ms)], [])["east"]
    assert (found.sent, found.moved, found.moved_share, found.moved_since_ms) == (1, 1, 1.0, NOW_MS - 5)


def test_what_operators_replay_is_not_the_producers_doing() -> None:
    replayed = Read(an_event(hour=99), by("east", ("scorer.replayed-from", b'{"partition":2,"offset":7}')))
    assert cards([replayed], [a_letter(replayed)]) == {}


@pytest.mark.parametrize("stage", [Stage.SCORE, Stage.OUTPUT])
def test_what_the_model_could_not_score_is_not_the_producers_fault(stage: Stage) -> None:
    record = Read(an_event(), by("east"))
    letter = a_letter(record, reasons.scoring_failed("ValueError: no"), stage=stage)
    assert cards([record], [letter])["east"].broken == 0


def test_letters_of_records_that_are_not_counted_are_not_either() -> None:
    tally = ScorecardBuilder(lambda origin: origin != SourcePosition(TOPIC, 2, 7))
    tally.add_letters(2, [a_letter(Read(an_event(hour=99), offset=7)), a_letter(Read(an_event(hour=99), offset=8))])
    assert [card.broken for card in tally.cards()] == [1]


def test_a_record_that_is_no_letter_is_counted_apart() -> None:
    tally = ScorecardBuilder()
    tally.add_letters(2, [Read(b"whatever")])
    assert (tally.unreadable, tally.cards()) == (1, [])


def test_every_fault_of_a_record_counts_with_when_and_where() -> None:
    records = [
        Read(an_event(hour=99, SubjectAge=5), by("east"), offset=offset, timestamp=NOW_MS + offset)
        for offset in range(5)
    ]
    card = cards(records, [a_letter(record) for record in reversed(records)])["east"]
    assert [(fault.code, fault.field, fault.count) for fault in card.ranked_faults] == [
        (Code.OUT_OF_RANGE, "SubjectAge", 5),
        (Code.OUT_OF_RANGE, "hour", 5),
    ]
    assert {(fault.first_ms, fault.last_ms) for fault in card.ranked_faults} == {(NOW_MS, NOW_MS + 4)}
    assert (card.broken_since_ms, card.broken_last_ms) == (NOW_MS, NOW_MS + 4)
    assert len(card.ranked_faults[0].examples) == EXAMPLES_MAX
    assert str(card.ranked_faults[0].examples[0].origin) == "stops.observations-2@4"


def test_the_most_frequent_fault_is_ranked_first() -> None:
    records = [Read(an_event(hour=99)), Read(b"{"), Read(b"{")]
    card = cards(records, [a_letter(record) for record in records])[UNNAMED]
    assert [fault.code for fault in card.ranked_faults] == [Code.NOT_JSON, Code.OUT_OF_RANGE]


# What may be shown


@pytest.mark.parametrize("column", [*COLUMN_NAMES, "secret"])
def test_a_value_is_masked_as_everywhere(column: str) -> None:
    record = Read(an_event(**{column: "secret"}))
    card = cards([record], [a_letter(record)])[UNNAMED]
    assert "secret" not in "".join(fault.examples[0].message for fault in card.ranked_faults)
    assert "secret" not in notice_text(card)


def test_a_printed_event_is_masked() -> None:
    record = Read(an_event().replace(b'"id"', b'"Id"'))
    card = cards([record], [a_letter(record)])[UNNAMED]
    assert card.ranked_faults[0].code is Code.MISSING_ID
    assert "Stop Sign" not in notice_text(card)
    assert "Field `id` missing from request" in notice_text(card)


# Bounds


def test_more_producers_than_are_kept_share_a_card() -> None:
    found = cards([Read(headers=by(f"p{number}")) for number in range(PRODUCERS_MAX + 50)], [])
    assert len(found) <= PRODUCERS_MAX + 1
    assert sum(card.sent for card in found.values()) == PRODUCERS_MAX + 50
    assert found[OTHERS].sent > 1


# Kinds of faults that a stranger's letters can have in a producer's name
KINDS = [(code, field) for code in Code for field in COLUMN_NAMES]


def test_a_producer_has_no_more_faults_than_are_kept() -> None:
    letters = [
        a_letter(Read(offset=number), Reason(code, field, "x"), stage=Stage.CONTRACT)
        for number, (code, field) in enumerate(KINDS[: FAULTS_MAX + 20])
    ]
    card = cards([], letters)[UNNAMED]
    assert (len(card.faults), card.broken) == (FAULTS_MAX, FAULTS_MAX + 20)


# The message


def test_the_message_says_how_many_since_when_and_what_to_do() -> None:
    broken = Read(an_event(StatuteReason="Stop sign"), by("east"), offset=11)
    fine = Read(an_event(), by("east"), timestamp=NOW_MS + 60_000)
    moved = move(fine, 3, b"ev-1")
    again = Read(moved.value, tuple(moved.headers), timestamp=moved.timestamp_ms)
    said = notice_text(cards([broken, fine, again], [a_letter(broken)])["east"])
    assert said.startswith("To east\n")
    assert "Of 2 records that you sent from 2027-01-15T08:00:00Z to 2027-01-15T08:01:00Z, 1 (50.00%) broke" in said
    assert "invalid_value in StatuteReason: 1 record, 2027-01-15T08:00:00Z to 2027-01-15T08:00:00Z" in said
    assert "stops.observations-2@11: Invalid value provided for StatuteReason: •••\n" in said
    assert said.count("Allowed values are: 'Stop Sign'") == 1
    assert "1 of your records (50.00%)" in said
    assert "murmur2_random" in said


def test_a_producer_without_faults_is_told_so_and_nothing_else() -> None:
    said = notice_text(cards([Read(headers=by("east"))], [])["east"])
    assert "0 (0.00%) broke the contract." in said
    assert "What to do" not in said


def test_of_many_kinds_of_faults_the_first_are_told() -> None:
    letters = [
        a_letter(Read(offset=number), Reason(code, field, "x"), stage=Stage.CONTRACT)
        for number, (code, field) in enumerate(KINDS[: FAULTS_LISTED + 2])
    ]
    assert "… and 2 more kinds of faults." in notice_text(cards([], letters)[UNNAMED])


def test_every_fault_of_a_producer_has_advice() -> None:
    assert set(Code) - set(ADVICE) == {Code.SCORING_FAILED, Code.INVALID_OUTPUT}


def test_a_hostile_name_stays_on_its_line() -> None:
    said = notice_text(cards([Read(headers=by("east\n\x1b[31mFrom: you"))], [])["east\n\x1b[31mFrom: you"])
    assert said.splitlines()[0] == "To east��[31mFrom: you"


@given(
    st.lists(
        st.builds(
            Read,
            st.none() | st.binary(max_size=30),
            st.lists(
                st.tuples(
                    st.sampled_from(["client-id", "scorer.errors", "scorer.moved-from", "scorer.source"]),
                    st.binary(max_size=20),
                ),
                max_size=3,
            ).map(tuple),
            st.integers(0, 1 << 40),
            st.integers(-1, (1 << 63) - 1),
        ),
        max_size=5,
    )
)
def test_whatever_comes_in_every_producer_gets_a_message(records: list[Read]) -> None:
    tally = ScorecardBuilder()
    tally.add_inputs(records)
    tally.add_letters(0, records)
    tally.add_letters(0, [a_letter(record, reasons.not_an_object(), stage=Stage.DECODE) for record in records])
    assert all(notice_text(card) for card in tally.cards())
