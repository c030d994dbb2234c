"""What is read from files is sent as it stands there."""

import json
from pathlib import Path

import pytest

from stream_scorer.core.contract.columns import COLUMN_NAMES
from stream_scorer.core.contract.observation_events import decode_observations
from stream_scorer.errors import SettingsError
from stream_scorer.operations.sending.event_sources import (
    count_rows,
    csv_events,
    csv_header_faults,
    generated_events,
    json_line_events,
)
from tests.support.builders import OBSERVATION, an_event

HEADER = ",".join((*COLUMN_NAMES, "ContrabandIndicator"))
ROW = "B,M,N,Stop Sign,V,False,N,20,0,Tuesday"


def a_csv(folder: Path, *lines: str) -> Path:
    path = folder / "stops.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_row_becomes_an_event_that_passes_the_contract(tmp_path: Path) -> None:
    (event,) = csv_events(a_csv(tmp_path, HEADER, f"{ROW},True"), "row-")
    assert json.loads(event.value) == {"id": "row-000000001", "observation": OBSERVATION}
    assert decode_observations([event.value]).positions == [0]
    assert event.true_class is True


@pytest.mark.parametrize(
    ("cell", "known"),
    [("True", True), ("false", False), ("", None), ("maybe", None)],
    ids=["true", "lower case", "empty", "no class"],
)
def test_outcome_is_known_only_where_the_cell_says_so(tmp_path: Path, cell: str, known: bool | None) -> None:
    (event,) = csv_events(a_csv(tmp_path, HEADER, f"{ROW},{cell}"), "row-")
    assert event.true_class is known


@pytest.mark.parametrize(
    ("column", "cell", "sent"),
    [
        ("SubjectAge", "20.0", "20.0"),
        ("SubjectAge", "", None),
        ("SubjectAge", "-3", -3),
        ("SubjectAge", "9" * 5_000, "9" * 5_000),
        ("ResidentIndicator", "1", "1"),
        ("StatuteReason", "Stop sign", "Stop sign"),
        ("hour", "٣", "٣"),
    ],
    ids=["decimal point", "empty", "negative", "5,000 digits", "number as flag", "wrong case", "other digits"],
)
def test_broken_cell_keeps_what_the_file_says(tmp_path: Path, column: str, cell: str, sent: object) -> None:
    row = dict(zip(COLUMN_NAMES, ROW.split(","), strict=True)) | {column: cell}
    (event,) = csv_events(a_csv(tmp_path, HEADER, ",".join(row.values()) + ","), "row-")
    assert json.loads(event.value)["observation"][column] == sent
    assert decode_observations([event.value]).rejected


def test_short_row_lacks_its_last_columns_and_a_long_one_has_a_nameless_one(tmp_path: Path) -> None:
    short, long = csv_events(a_csv(tmp_path, ",".join(COLUMN_NAMES), "B,M,N", f"{ROW},extra"), "row-")
    assert list(json.loads(short.value)["observation"]) == list(COLUMN_NAMES[:3])
    assert json.loads(long.value)["observation"]["(no name)"] == ["extra"]


def test_id_column_gives_the_id(tmp_path: Path) -> None:
    (event,) = csv_events(a_csv(tmp_path, "id," + ",".join(COLUMN_NAMES), f"stop 7,{ROW}"), "row-")
    assert (event.id, event.key) == ("stop 7", b"stop 7")


def test_byte_order_mark_is_not_part_of_the_first_column(tmp_path: Path) -> None:
    path = tmp_path / "stops.csv"
    path.write_bytes(b"\xef\xbb\xbf" + f"{','.join(COLUMN_NAMES)}\n{ROW}\n".encode())
    (event,) = csv_events(path, "row-")
    assert decode_observations([event.value]).positions == [0]


def test_header_with_none_of_the_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="none of the columns"):
        list(csv_events(a_csv(tmp_path, "a;b;c", "1;2;3"), "row-"))


def test_header_that_breaks_every_row_is_named_beforehand(tmp_path: Path) -> None:
    path = a_csv(tmp_path, ",".join(COLUMN_NAMES[1:]) + ",badge", "M,N")
    assert csv_header_faults(path) is not None
    assert "lacks SubjectRaceCode and has other columns (badge)" in str(csv_header_faults(path))
    assert csv_header_faults(a_csv(tmp_path, HEADER)) is None


def test_rows_are_counted_without_header_and_blank_lines(tmp_path: Path) -> None:
    assert count_rows(a_csv(tmp_path, HEADER, ROW, "", ROW)) == 2


def test_file_that_is_not_there_is_a_message(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="can't be read"):
        list(csv_events(tmp_path / "none.csv", "row-"))


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
