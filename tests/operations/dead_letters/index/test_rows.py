"""Rows of letters: the quick way and the slow way say the same, and nothing in them is about a person."""

from collections.abc import Sequence
from itertools import permutations
from zlib import crc32

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from stream_scorer.core.contract.columns import COLUMN_NAMES
from stream_scorer.core.contract.reasons import Code, Reason
from stream_scorer.core.dead_letters.highlighting import MASK
from stream_scorer.core.records.audit_log import Action, AuditEntry, encode_entry
from stream_scorer.core.records.dead_letter_reader import DeadLetter, Position, SourcePosition, read_letter
from stream_scorer.operations.dead_letters.index.dictionaries import FAULTS_MAX, PRODUCERS_MAX, Dictionaries, Fault
from stream_scorer.operations.dead_letters.index.rows import (
    ACTS,
    LETTERS_SIDE,
    STAGES,
    UNREADABLE,
    Rows,
    act_rows,
    letter_rows,
    place_number,
)
from tests.core.dead_letters.builders import TOPIC, Record, a_record
from tests.support.builders import an_event

SIDES = {TOPIC: 0, "stops.outcomes": 1, "stops.dead-letters": LETTERS_SIDE}
VALUES = st.sampled_from(
    [None, b"", b"{", an_event("a", hour=99), an_event("b", SubjectAge="x", hour=-1), b'{"id": 3}', b"[]"]
)
HEADERS = st.lists(
    st.tuples(st.sampled_from(["client-id", "ce_source", "scorer.errors", "a"]), st.sampled_from([b"p1", b"p2", b""])),
    max_size=3,
)
LETTERS = st.builds(lambda value, headers: a_record(value, headers=headers), VALUES, HEADERS)
FOREIGN = st.builds(
    lambda headers: Record(5, 6, b"k", b"v", headers),
    st.lists(st.tuples(st.sampled_from(["scorer.errors", "a"]), st.binary(max_size=5)), max_size=12),
)


def told(rows: Rows, tables: Dictionaries) -> list[tuple[object, ...]]:
    """What rows say, whatever numbers their tables gave."""
    return [
        (
            *(row[name] for name in ("offset", "failed_ms", "origin", "id", "stage", "truncated")),
            tables.faults.values[row["faults"]],
            tables.producers.values[row["producer"]],
        )
        for row in rows
    ]


@given(st.lists(LETTERS, min_size=1, max_size=5))
def test_many_letters_at_once_say_what_each_says_alone(records: list[Record]) -> None:
    together, alone = Dictionaries(), Dictionaries()
    # a record without a header of ours goes the slow way, and so do those beside it
    slow = letter_rows(2, [*records, Record(9, 9, None, None)], together, SIDES)[:-1]
    quick = letter_rows(2, records, alone, SIDES)
    assert told(quick, alone) == told(slow, together)


@given(st.lists(LETTERS | FOREIGN, min_size=1, max_size=4))
def test_a_row_says_what_the_letter_says(records: list[Record]) -> None:
    tables = Dictionaries()
    for record, row in zip(records, letter_rows(2, records, tables, SIDES), strict=True):
        letter = read_letter(2, record)
        faults: Sequence[Fault] = tables.faults.values[row["faults"]]
        if not isinstance(letter, DeadLetter):
            assert faults == ((UNREADABLE, None),)
            assert row["origin"] == place_number(LETTERS_SIDE, 2, record.offset)
            continue
        assert [code for code, _ in faults] == [reason.code.value for reason in letter.reasons]
        assert row["origin"] == place_number(0, 2, 17)
        assert (row["failed_ms"], STAGES[row["stage"]]) == (letter.failed_ms, letter.stage)
        assert row["id"] == (crc32(letter.id) if letter.id is not None else 0)
        assert tables.producers.values[row["producer"]] == (letter.producer or "")


def test_producers_beyond_a_bound_share_one_number() -> None:
    tables = Dictionaries()
    numbers = {tables.number_of_sender([("client-id", b"%d" % number)]) for number in range(PRODUCERS_MAX + 50)}
    assert len(numbers) == PRODUCERS_MAX + 1
    assert tables.number_of_sender([("client-id", b"7")]) == 7


def test_faults_that_somebody_makes_up_share_one_number_beyond_a_bound() -> None:
    tables = Dictionaries()
    kinds = [Reason(code, field, "") for code in Code for field in COLUMN_NAMES]
    for made_up in list(permutations(kinds, 2))[: FAULTS_MAX + 50]:
        tables.number_of_faults(msgspec.json.encode(made_up))
    assert len(tables.faults) == FAULTS_MAX + 1


def test_a_field_and_a_code_that_nobody_knows_are_masked_in_lists_too() -> None:
    tables = Dictionaries()
    tables.number_of_faults(b'[{"code":"Ms Jones","field":"12 Elm St"},{"code":"out_of_range","field":"hour"}]')
    assert tables.faults.values == [((MASK, MASK), ("out_of_range", "hour"))]


def test_acts_are_rows_and_what_is_no_act_is_passed_over() -> None:
    entry = AuditEntry(
        act=Action.REPLAY,
        who="ann",
        at="2026-11-22T08:00:00.000Z",
        origin=SourcePosition(TOPIC, 2, 17),
        letter=Position(2, 1_017),
        replays=2,
        became=SourcePosition(TOPIC, 3, 5),
    )
    records = [Record(4, 0, None, b"nonsense"), Record(5, 0, None, encode_entry(entry))]
    (row,) = act_rows(records, SIDES)
    assert (row["offset"], row["replays"], ACTS[row["act"]]) == (5, 2, Action.REPLAY)
    assert (row["origin"], row["became"]) == (place_number(0, 2, 17), place_number(0, 3, 5))
    assert not len(act_rows(records[1:], {}))
