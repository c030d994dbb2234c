"""Reading labelled rows: what can't be learned from is left out and counted, and a file that can't be read says why."""

import csv
from pathlib import Path

import numpy as np
import pytest

from stream_scorer.core.contract.columns import COLUMN_NAMES
from stream_scorer.core.contract.observation_code import encode_columns
from stream_scorer.errors import InputFileError
from stream_scorer.models.training.dataset import LABEL, read_rows
from tests.support.builders import an_observation

Row = dict[str, object]


def a_row(label: object = "True", **changes: object) -> Row:
    return {**an_observation(**{"SearchAuthorizationCode": "C", **changes}), LABEL: label}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "stops.csv"


def write(path: Path, *rows: Row, names: tuple[str, ...] = (*COLUMN_NAMES, LABEL)) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_a_valid_row_becomes_its_number_and_its_class(path: Path) -> None:
    rows = read_rows(write(path, a_row(), a_row("False", hour=24, ResidentIndicator=True)))
    assert rows.codes.tolist() == [
        encode_columns(an_observation(SearchAuthorizationCode="C")),
        encode_columns(an_observation(SearchAuthorizationCode="C", hour=24, ResidentIndicator=True)),
    ]
    assert rows.classes.tolist() == [True, False]
    assert rows.times is None


def test_what_became_of_each_row_is_counted(path: Path) -> None:
    written = write(
        path,
        a_row(),
        a_row(),  # a duplicate
        a_row(hour=1, SubjectAge=0),
        a_row(hour=2, SubjectAge=9, StatuteReason="Stop sign"),
        a_row(hour=3, label=""),
        a_row(hour=4, SearchAuthorizationCode="N"),
        a_row(hour=5, label="", SubjectRaceCode="X"),
        a_row(hour=6, label="0"),
    )
    cleaning = read_rows(written).cleaning
    assert (cleaning.read, cleaning.duplicates, cleaning.invalid, cleaning.unlabelled, cleaning.kept) == (8, 1, 3, 2, 2)
    assert cleaning.unsearched == 1
    assert cleaning.invalid_by_column == {"SubjectRaceCode": 1, "StatuteReason": 1, "SubjectAge": 2}
    assert cleaning.read == cleaning.duplicates + cleaning.invalid + cleaning.unlabelled + cleaning.kept


@pytest.mark.parametrize(
    ("column", "text", "kept"),
    [
        ("SubjectAge", "35", True),
        ("SubjectAge", "35.0", True),
        ("SubjectAge", "35.5", False),
        ("SubjectAge", "035", False),
        ("SubjectAge", "101", False),
        ("SubjectAge", "", False),
        ("hour", "0", True),
        ("hour", "24", True),
        ("hour", "25", False),
        ("ResidentIndicator", "true", True),
        ("ResidentIndicator", "1", True),
        ("ResidentIndicator", "Yes", True),
        ("ResidentIndicator", "perhaps", False),
        ("StatuteReason", "Stop Sign ", False),
        ("SubjectRaceCode", "NA", False),
    ],
)
def test_a_cell_is_kept_when_the_contract_allows_its_value(path: Path, column: str, text: str, kept: bool) -> None:
    assert read_rows(write(path, a_row(**{column: text}))).cleaning.kept == int(kept)


def test_other_columns_and_another_order_do_no_harm(path: Path) -> None:
    names = (LABEL, "Department", *reversed(COLUMN_NAMES))
    rows = read_rows(write(path, {**a_row(), "Department": "Hamden"}, names=names))
    assert rows.codes.tolist() == [encode_columns(an_observation(SearchAuthorizationCode="C"))]


def test_times_come_along_in_their_order(path: Path) -> None:
    times = ["2018-05-01T10:00:00", "2018-05-01T09:00:00+00:00", "2018-04-30", "soon"]
    names = (*COLUMN_NAMES, LABEL, "at")
    rows = read_rows(write(path, *({**a_row(), "at": time} for time in times), names=names), "at")
    assert rows.times is not None
    assert np.argsort(rows.times).tolist() == [2, 1, 0]
    assert rows.cleaning.invalid_by_column == {"at": 1}


def test_a_label_that_is_none_is_refused_with_its_line(path: Path) -> None:
    with pytest.raises(InputFileError, match=r"line 3: ContrabandIndicator is 'perhaps'"):
        read_rows(write(path, a_row(), a_row("perhaps")))


def test_columns_that_are_not_there_are_named(path: Path) -> None:
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputFileError, match=r"lacks the columns SubjectRaceCode.*there: a, b"):
        read_rows(path)


def test_a_missing_file_and_a_folder_say_so(path: Path) -> None:
    for unreadable in (path, path.parent):
        with pytest.raises(InputFileError, match="can't be read"):
            read_rows(unreadable)


def test_a_header_alone_gives_no_rows(path: Path) -> None:
    assert read_rows(write(path)).cleaning.kept == 0
