"""What records say of an id: found however the id is written, told without what is said of people."""

from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_scorer.core.audit.id_timeline import RecordKind, chronological, id_matcher, sighting
from stream_scorer.core.contract import reasons
from stream_scorer.core.contract.reasons import Stage
from stream_scorer.core.records.dead_letter import dead_letter
from tests.support.builders import an_event, an_observation, an_outcome

NOW_MS = 1_800_000_000_000


class Read(NamedTuple):
    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    offset: int = 7
    timestamp: int = NOW_MS


@pytest.mark.parametrize(
    ("id_", "value"),
    [
        ("ev-1", an_event("ev-1")),
        ("5", an_event(5)),
        ("é", '{"id":"é"}'.encode()),
        ("é", b'{"id":"\\u00e9"}'),
        ("a/b", b'{"id":"a\\/b"}'),
        ("last", b'{"id":"first","id":"last"}'),
        ("x", b'{"id":"x"'),
        ('"', b'{"id":"\\""}'),
    ],
    ids=["plain", "number", "UTF-8", "escape", "slash", "twice", "cut off", "quote"],
)
def test_an_id_is_found_in_a_value_however_it_is_written(id_: str, value: bytes) -> None:
    assert id_matcher(id_.encode())([Read(value)])


@pytest.mark.parametrize(
    "value",
    [an_event("ev-12"), an_event("xev-1"), b'{"other":"ev-1","id":"b"}', b"ev-1", b"", None],
    ids=["longer", "ends so", "in another field", "bare text", "empty", "null"],
)
def test_a_record_that_merely_has_these_letters_is_not_found(value: bytes | None) -> None:
    assert not id_matcher(b"ev-1")([Read(value, key=b"other")])


def test_a_record_is_found_by_its_key_whatever_its_value() -> None:
    assert id_matcher(b"ev-1")([Read(b"\xff", b"ev-1"), Read(None, b"ev-1")])


def test_an_observation_is_told_without_its_columns() -> None:
    seen = sighting(RecordKind.OBSERVATION, "t", 0, Read(an_event("ev-1")), 1)
    assert seen.details == {"contract": "kept"}


def test_a_broken_observation_is_told_by_codes_and_fields_without_the_values() -> None:
    seen = sighting(RecordKind.OBSERVATION, "t", 0, Read(an_event("ev-1", SubjectAge=999)), 1)
    assert seen.details == {"contract": "broken", "faults": ["out_of_range (SubjectAge)"]}


def test_an_observation_elsewhere_is_told_where_it_belongs() -> None:
    homes = {
        sighting(RecordKind.OBSERVATION, "t", partition, Read(an_event("ev-1")), 4).details.get("belongs_on_partition")
        for partition in range(4)
    }
    assert len(homes) == 2
    assert None in homes


def test_a_moved_record_is_told_whence() -> None:
    read = Read(an_event("ev-1"), headers=(("scorer.moved-from", b'{"partition":3,"offset":9}'),))
    assert sighting(RecordKind.OBSERVATION, "t", 0, read, 1).details["moved_from"] == {"partition": 3, "offset": 9}


def test_a_dead_letter_is_told_by_codes_without_messages() -> None:
    record = Read(an_event("ev-1", SubjectAge=999))
    letter = dead_letter(
        record,
        [reasons.out_of_range("SubjectAge", 10, 100), reasons.not_an_integer("hour")],
        Stage.CONTRACT,
        topic="t",
        partition=2,
        failed_at_ms=NOW_MS,
        version="1",
        limit_bytes=1 << 20,
    )
    key, value, _, headers = letter
    details = sighting(RecordKind.DEAD_LETTER, "d", 2, Read(value, key, tuple(headers)), 4).details
    assert details["faults"] == ["out_of_range (SubjectAge)", "not_an_integer (hour)"]
    assert details["stage"] == "contract"
    assert details["source"]["offset"] == record.offset


def test_an_update_is_told_without_the_observation() -> None:
    update = {"id": "ev-1", "status": "joined", "true_class": True, "observation": an_observation(), "delay_s": 1.5}
    details = sighting(RecordKind.OUTCOME_UPDATE, "u", 0, Read(msgspec.json.encode(update), b"ev-1"), 4).details
    assert details == {"status": "joined", "true_class": True, "delay_s": 1.5}


def test_records_come_in_order_of_time_and_inputs_before_what_came_of_them() -> None:
    late = sighting(RecordKind.OUTCOME, "o", 0, Read(an_outcome("a"), timestamp=NOW_MS + 1), 1)
    prediction = sighting(RecordKind.PREDICTION, "p", 0, Read(b"{}", offset=0), 1)
    observation = sighting(RecordKind.OBSERVATION, "i", 0, Read(an_event("a")), 1)
    assert chronological([late, prediction, observation]) == [observation, prediction, late]


@given(
    st.sampled_from(RecordKind),
    st.none() | st.binary(max_size=40),
    st.none() | st.binary(max_size=10),
    st.lists(
        st.tuples(st.sampled_from(["scorer.errors", "scorer.source", "scorer.moved-from"]), st.binary(max_size=20))
    ),
)
def test_whatever_bytes_come_in_something_is_said_and_nothing_raised(
    what: RecordKind, value: bytes | None, key: bytes | None, headers: list[tuple[str, bytes]]
) -> None:
    read = Read(value, key, tuple(headers), timestamp=-1)
    id_matcher(b"a")([read])
    assert msgspec.json.encode(sighting(what, "t", 0, read, 4))
