"""What is read from files is sent as it stands there."""

import json
from pathlib import Path

import pytest

from stream_scorer.core.contract.columns import COLUMN_NAMES
from stream_scorer.core.contract.observation_events import decode_observations
from stream_scorer.core.dead_letters.named_fixes import NamedFix
from stream_scorer.core.dead_letters.repair import NO_FIX, Fix
from stream_scorer.errors import InputFileError
from stream_scorer.models.stops_csv.stops import FileCounts, StopsFile
from stream_scorer.operations.sending.event_sources import (
    SourceEvent,
    check_before_sending,
    csv_events,
    generated_events,
    json_line_events,
)
from tests.support.builders import an_event, an_observation

HEADER = ",".join((*COLUMN_NAMES, "ContrabandIndicator"))
ROW = "B,M,N,Stop Sign,V,False,C,20,0,Tuesday"


def a_csv(folder: Path, *lines: str) -> Path:
    path = folder / "stops.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def events_of(path: Path, fix: Fix = NO_FIX) -> list[SourceEvent]:
    with StopsFile(path) as file:
        return list(csv_events(file, "row-", fix))


def test_row_becomes_an_event_that_passes_the_contract(tmp_path: Path) -> None:
    (event,) = events_of(a_csv(tmp_path, HEADER, f"{ROW},True"))
    assert json.loads(event.value) == {
        "id": "row-000000001",
        "observation": an_observation(SearchAuthorizationCode="C"),
    }
    assert decode_observations([event.value]).positions == [0]
    assert event.true_class is True


@pytest.mark.parametrize(("authorization", "outcome"), [("C", False), ("N", None)], ids=["searched", "nobody searched"])
def test_an_outcome_is_sent_only_where_somebody_searched(
    tmp_path: Path, authorization: str, outcome: bool | None
) -> None:
    (event,) = events_of(a_csv(tmp_path, HEADER, f"{ROW.replace(',C,', f',{authorization},')},False"))
    assert event.true_class is outcome


@pytest.mark.parametrize(
    ("column", "cell", "sent"),
    [
        ("SubjectAge", "20.0", 20.0),
        ("SubjectAge", "", None),
        ("SubjectAge", "-3", -3),
        ("SubjectAge", "9" * 5_000, "9" * 5_000),
        ("ResidentIndicator", "perhaps", "perhaps"),
        ("StatuteReason", "Stop sign", "Stop sign"),
        ("hour", "٣", "٣"),
    ],
    ids=["decimal point", "empty", "negative", "5,000 digits", "no flag", "wrong case", "other digits"],
)
def test_broken_cell_keeps_what_the_file_says(tmp_path: Path, column: str, cell: str, sent: object) -> None:
    row = dict(zip(COLUMN_NAMES, ROW.split(","), strict=True)) | {column: cell}
    (event,) = events_of(a_csv(tmp_path, HEADER, ",".join(row.values()) + ","))
    assert json.loads(event.value)["observation"][column] == sent
    assert decode_observations([event.value]).rejected


def test_a_fix_mends_rows_before_they_are_sent(tmp_path: Path) -> None:
    path = a_csv(tmp_path, HEADER, f"{ROW.replace(',20,', ',20.0,')},True")
    (event,) = events_of(path, Fix(named=(NamedFix.INTEGERS_FROM_FLOATS,)))
    assert decode_observations([event.value]).positions == [0]


def test_id_column_gives_the_id(tmp_path: Path) -> None:
    (event,) = events_of(a_csv(tmp_path, "id," + ",".join(COLUMN_NAMES), f"stop 7,{ROW}"))
    assert (event.id, event.key) == ("stop 7", b"stop 7")


def test_a_header_that_dooms_every_row_is_refused_unless_wanted(tmp_path: Path) -> None:
    path = a_csv(tmp_path, ",".join(COLUMN_NAMES[1:]) + ",badge", ",".join(ROW.split(",")[1:]) + ",7")
    with StopsFile(path) as file:
        with pytest.raises(InputFileError, match=r"lacks SubjectRaceCode and has other columns \(badge\).*--anyway"):
            check_before_sending(file)
        assert check_before_sending(file, anyway=True).rows == 1


def test_an_id_that_stands_twice_is_refused_unless_wanted(tmp_path: Path) -> None:
    with StopsFile(a_csv(tmp_path, f"id,{HEADER}", f"a,{ROW},", f"b,{ROW},", f"a,{ROW},")) as file:
        with pytest.raises(InputFileError, match=r"line 4: the id 'a' stands in line 2 already"):
            check_before_sending(file)
        assert check_before_sending(file, anyway=True).rows == 3


def test_what_a_file_holds_is_counted(tmp_path: Path) -> None:
    unsearched = ROW.replace(",C,", ",N,")
    with StopsFile(a_csv(tmp_path, HEADER, f"{ROW},1", "", f"{ROW},", f"{unsearched},No")) as file:
        assert check_before_sending(file) == FileCounts(rows=3, labels=2, labels_unsearched=1)


@pytest.mark.parametrize(
    ("line", "key"),
    [
        (an_event("ev-1"), b"ev-1"),
        (an_event(42), b"42"),
        (b'{"id": "x"', None),
        (b'{"id": true}', None),
        (b"", None),
        (b"\xff\xfe", None),
        (b'{"id": "a", "id": "b"}', b"b"),
    ],
    ids=["valid", "whole number", "cut short", "flag", "empty", "not UTF-8", "twice"],
)
def test_line_is_sent_as_it_is_and_keyed_by_an_id_that_can_be_read(line: bytes, key: bytes | None) -> None:
    (event,) = json_line_events([line + b"\n"])
    assert (event.value, event.key) == (line, key)


def test_generated_broken_event_has_no_outcome() -> None:
    events = list(generated_events(2_000, seed=1, broken_share=0.1, id_prefix="x-"))
    broken = decode_observations([event.value for event in events])
    assert {index for index, event in enumerate(events) if event.is_broken} == {index for index, _ in broken.rejected}
    assert all((event.true_class is None) == event.is_broken for event in events)
