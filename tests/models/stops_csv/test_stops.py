"""Rows as stops: one reading of flags, labels and numbers, and a mapping from what exports call their columns."""

from pathlib import Path

import pytest

from stream_scorer.core.contract.columns import COLUMN_NAMES
from stream_scorer.errors import InputFileError, SettingsError
from stream_scorer.models.stops_csv.cells import FALSE_TEXTS, TRUE_TEXTS
from stream_scorer.models.stops_csv.column_mapping import LABEL, load_mapping
from stream_scorer.models.stops_csv.stops import Stop, StopsFile
from stream_scorer.models.training.dataset import read_rows
from tests.support.builders import an_observation

ROW = "B,M,N,Stop Sign,V,False,C,20,0,Tuesday"
HEADER = ",".join((*COLUMN_NAMES, LABEL))


def a_csv(folder: Path, *lines: str) -> Path:
    path = folder / "stops.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def stops_of(path: Path, mapping: str | None = None) -> list[Stop]:
    loaded = None
    if mapping is not None:
        (path.parent / "columns.toml").write_text(mapping)
        loaded = load_mapping(path.parent / "columns.toml")
    with StopsFile(path, mapping=loaded) as file:
        return list(file.stops())


@pytest.mark.parametrize(
    ("texts", "meaning"), [((*TRUE_TEXTS, "TRUE", " Yes "), True), ((*FALSE_TEXTS, "FALSE", " No "), False)]
)
def test_labels_and_flags_are_read_alike(tmp_path: Path, texts: tuple[str, ...], meaning: bool) -> None:
    rows = [f"{ROW.replace('False', text)},{text}" for text in texts]
    path = a_csv(tmp_path, HEADER, *rows)
    found = stops_of(path)
    assert [stop.label for stop in found] == [meaning] * len(texts)
    assert [stop.observation["ResidentIndicator"] for stop in found] == [meaning] * len(texts)
    assert set(read_rows(path).classes.tolist()) == {meaning}


@pytest.mark.parametrize("label", ["perhaps", "2", "-1", "NA", "null", "0.5", "ja"])
def test_a_label_that_is_none_stops_the_reading_with_its_line(tmp_path: Path, label: str) -> None:
    with pytest.raises(InputFileError, match=rf"line 3: ContrabandIndicator is '{label}': write true or false"):
        stops_of(a_csv(tmp_path, HEADER, f"{ROW},", f"{ROW},{label}"))


def test_an_empty_label_is_not_known(tmp_path: Path) -> None:
    assert [stop.label for stop in stops_of(a_csv(tmp_path, HEADER, f"{ROW},", f'{ROW},""'))] == [None, None]


def test_a_file_that_says_who_was_searched_is_believed(tmp_path: Path) -> None:
    unauthorised = ROW.replace(",C,", ",N,")
    path = a_csv(
        tmp_path,
        f"{HEADER},VehicleSearchedIndicator",
        f"{ROW},False,False",
        f"{unauthorised},False,True",
        f"{unauthorised},False,",
    )
    assert [stop.outcome for stop in stops_of(path)] == [None, False, None]


def test_a_row_without_its_id_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="line 2: no id"):
        stops_of(a_csv(tmp_path, f"id,{HEADER}", f",{ROW},"))


def test_a_line_break_in_a_column_that_is_read_is_a_quote_left_open(tmp_path: Path) -> None:
    broken = ROW.replace("Tuesday", '"Tuesday\n') + '",'
    with pytest.raises(InputFileError, match="line 2: day_of_week holds a line break"):
        stops_of(a_csv(tmp_path, HEADER, broken))


# The mapping

RAW = "StopNumber,InterventionDateTime,race,sex,SubjectEthnicityCode,StatuteReason,InterventionReasonCode"
RAW += ",resident,SearchAuthorizationCode,SubjectAge,Officer,VehicleSearchedIndicator,found"
MAPPING = """
empty = ["NA"]
[columns]
id = "StopNumber"
hour = { from = "InterventionDateTime", take = "hour" }
day_of_week = { from = "InterventionDateTime", take = "day_of_week" }
SubjectRaceCode = "race"
SubjectSexCode = { from = "sex", values = { male = "M", female = "F" } }
ResidentIndicator = "resident"
ContrabandIndicator = "found"
"""


def test_a_raw_export_becomes_the_contracts_columns(tmp_path: Path) -> None:
    path = a_csv(
        tmp_path,
        RAW,
        "17,2018-05-01 00:10:00,B,male,N,Stop Sign,V,0,C,20,Smith,1,NA",
        "18,2018-05-06T23:10:00,B,female,N,Stop Sign,V,0,C,20,Smith,1,1",
    )
    first, second = stops_of(path, MAPPING)
    assert (first.id, first.label, second.label) == ("17", None, True)
    assert first.observation == an_observation(SearchAuthorizationCode="C")
    assert (second.observation["hour"], second.observation["day_of_week"]) == (23, "Sunday")
    kept = read_rows(path, "InterventionDateTime", mapping=load_mapping(tmp_path / "columns.toml"))
    assert (kept.cleaning.kept, kept.cleaning.unlabelled) == (1, 1)


def test_a_time_has_the_format_that_the_mapping_says(tmp_path: Path) -> None:
    mapping = """
    delimiter = ";"
    [columns]
    hour = { from = ["Date", "Time"], take = "hour", format = "%m/%d/%Y %I:%M %p" }
    day_of_week = { from = "Date", take = "day_of_week", format = "%m/%d/%Y" }
    """
    header = f"Date,Time,{','.join(COLUMN_NAMES[:8])}".replace(",", ";")
    path = a_csv(tmp_path, header, ("05/01/2018,12:10 AM," + ",".join(ROW.split(",")[:8])).replace(",", ";"))
    (stop,) = stops_of(path, mapping)
    assert stop.observation == an_observation(SearchAuthorizationCode="C")


def test_a_time_that_is_none_is_told_with_its_line(tmp_path: Path) -> None:
    path = a_csv(tmp_path, RAW, "17,05/01/2018 0:10,B,male,N,Stop Sign,V,0,C,20,Smith,1,")
    with pytest.raises(InputFileError, match=r"line 2: '05/01/2018 0:10' in InterventionDateTime is not a time in ISO"):
        stops_of(path, MAPPING)


def test_columns_that_the_file_lacks_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"lacks the columns InterventionDateTime, StopNumber.*columns\.toml"):
        stops_of(a_csv(tmp_path, HEADER, f"{ROW},"), MAPPING)


@pytest.mark.parametrize(
    ("mapping", "complaint"),
    [
        ("columns = 1", "columns: write a table"),
        ("colums = {}", "colums: no such key"),
        ("[columns]\nage = 'x'", "columns.age: no such column"),
        ("[columns]\nhour = 3", "columns.hour: name a column"),
        ("[columns]\nhour = { from = 'x', take = 'minute' }", "take: say one of hour, day_of_week"),
        ("[columns]\nhour = { from = 'x', form = 'y' }", "no such key: form"),
        ("[columns]\nhour = { from = 'x', format = '%H' }", "format: a text .* beside take"),
        ("[columns]\nhour = { from = [] }", "from: name a column"),
        ("[columns]\nhour = { from = 'x', values = 1 }", "values: a table"),
        ("empty = 'NA'", "empty: write a list"),
        ("encoding = 'klingon'", "no such encoding"),
        ("delimiter = ';;'", "delimiter is"),
        ("[columns", "is not TOML"),
    ],
)
def test_a_mapping_that_can_not_be_used_says_why(tmp_path: Path, mapping: str, complaint: str) -> None:
    (tmp_path / "columns.toml").write_text(mapping)
    with pytest.raises(SettingsError, match=complaint):
        load_mapping(tmp_path / "columns.toml")


def test_a_mapping_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="can't be read"):
        load_mapping(tmp_path / "none.toml")
