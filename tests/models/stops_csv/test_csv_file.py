"""A CSV file is read as it stands or refused with the line at fault."""

import io
import os
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_scorer.errors import InputFileError, SettingsError
from stream_scorer.models.stops_csv.csv_file import CsvFile, Row

HEADER = b"a,b,c\n"


def rows_of(folder: Path, content: bytes, **how: str) -> list[Row]:
    path = folder / "rows.csv"
    path.write_bytes(content)
    with CsvFile(path, **how) as file:
        return list(file.rows())


@pytest.mark.parametrize(
    "content",
    [
        b"a,b,c\n1,2,3\n4,5,6\n",
        b"a,b,c\n1,2,3\n4,5,6",
        b"a,b,c\r\n1,2,3\r\n4,5,6\r\n",
        b"a,b,c\r1,2,3\r4,5,6\r",
        b"\xef\xbb\xbfa,b,c\n1,2,3\n4,5,6\n",
        b" a , b,c\n1,2,3\n4,5,6\n",
    ],
    ids=["line feeds", "no line feed at the end", "Windows", "old Macs", "byte-order mark", "blanks around names"],
)
def test_the_same_rows_however_lines_end(tmp_path: Path, content: bytes) -> None:
    assert rows_of(tmp_path, content) == [Row(2, ["1", "2", "3"]), Row(3, ["4", "5", "6"])]


def test_blank_lines_are_no_rows_and_lines_are_those_of_the_file(tmp_path: Path) -> None:
    found = rows_of(tmp_path, b'a,b,c\n\n1,"two\nlines",3\n\n4,5,6\n')
    assert found == [Row(3, ["1", "two\nlines", "3"]), Row(6, ["4", "5", "6"])]


def test_rows_can_be_read_again_after_a_reading_that_stopped_half_way(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(HEADER + b"1,2,3\n" * 50_000)
    with CsvFile(path) as file:
        next(file.rows())
        assert sum(1 for _ in file.rows()) == sum(1 for _ in file.rows()) == 50_000


def test_two_readings_at_once_are_a_fault_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(HEADER + b"1,2,3\n" * 5)
    with CsvFile(path) as file:
        first = file.rows()
        next(first)
        next(file.rows())
        with pytest.raises(AssertionError):
            next(first)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"\n\n", "is empty", id="blank lines only"),
        pytest.param(b",,\n", "columns 1 and 2 have no name|is empty", id="a header of nothing"),
        pytest.param(HEADER + b"1,2\n", r"line 2: 2 fields, but the header has 3", id="too few fields"),
        pytest.param(HEADER + b"1,2,3\n1,2,3,4\n", r"line 3: 4 fields, but the header has 3", id="too many fields"),
        pytest.param(HEADER + b"1,2,3,\n", r"line 2: 4 fields", id="a comma at the end of rows"),
        pytest.param(b"a,b,a\n", r"line 1: columns 1 and 3 are both named 'a'", id="a name twice"),
        pytest.param(b"a,,\n", r"columns 2 and 3 have no name", id="names missing"),
        pytest.param(HEADER + b'1,"2,3\n' + b"4,5,6\n" * 9, r"line 2: a quote .* never closed", id="open quote"),
        pytest.param(HEADER + b'1,2,3\n"1,2,3\n' + b"4,5,6\n" * 40_000, r"line 3: .*never closed", id="far open quote"),
        pytest.param(HEADER + b'1,"2,3\n4,"5",6\n', r"line 2: .*quote in line 2 never closed", id="closed elsewhere"),
        pytest.param(HEADER + b'1,"2,3\n4,5"\n', r"line 2: 2 fields.*goes on to line 3", id="closed rows later"),
        pytest.param(HEADER + b'1,"2"x,3\n', r"line 2: text directly behind a closing quote", id="text after a quote"),
        pytest.param(HEADER + b"1,%s,3\n" % (b"x" * 200_000), r"line 2: a field of more than 131,072", id="long field"),
        pytest.param(HEADER + b"1,2,3\n1,\x00,3\n", r"line 3: a NUL byte", id="NUL"),
        pytest.param(b"a;b;c\n1;2;3\n", r"separated by ';', not by ','.*delimiter = \";\"", id="semicolons"),
        pytest.param(b"a\tb\tc\n1\t2\t3\n", r"separated by '\\t'", id="tabs"),
        pytest.param(
            HEADER + b"1,2,3\ncaf\xe9,2,3\n", r"line 3: byte 0xe9 at position 4.*--encoding cp1252", id="cp1252"
        ),
        pytest.param("a,b,c\n1,2,3\n".encode("utf-16"), "--encoding utf-16", id="UTF-16"),
        pytest.param("a,b,c\n1,2,3\n".encode("utf-16-le"), "--encoding utf-16-le", id="UTF-16 without a mark"),
        pytest.param("a,b,c\n1,2,3\n".encode("utf-16-be"), "--encoding utf-16-be", id="the other UTF-16"),
        pytest.param("a,b,c\n1,2,3\n".encode("utf-32"), "--encoding utf-32", id="UTF-32"),
        pytest.param(b"PK\x03\x04rest", "Excel", id="Excel"),
        pytest.param(b"\x1f\x8b\x08rest", "gzip", id="gzip"),
    ],
)
def test_what_can_not_be_read_is_refused_with_its_line(tmp_path: Path, content: bytes, complaint: str) -> None:
    with pytest.raises(InputFileError, match=complaint) as refused:
        rows_of(tmp_path, content)
    assert refused.value.exit_status == 2
    assert "rows.csv" in str(refused.value)


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "utf-16", "utf-8", "UTF8", "utf-16-le"])
def test_another_encoding_is_read_where_it_is_named(tmp_path: Path, encoding: str) -> None:
    content = "a,b,c\ncafé,2,3\n".encode(encoding)
    assert rows_of(tmp_path, content, encoding=encoding) == [Row(2, ["café", "2", "3"])]


def test_an_encoding_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    for name in ("ebcdic-de", "base64", ""):
        if name:
            with pytest.raises(SettingsError, match="no such encoding"):
                rows_of(tmp_path, HEADER, encoding=name)


def test_a_pipe_is_read_twice_too(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(HEADER + b"1,2,3\n",))
    writer.start()
    with CsvFile(pipe) as file:
        assert [list(file.rows()) for _ in range(2)] == [[Row(2, ["1", "2", "3"])]] * 2
    writer.join()


def test_standard_input_is_a_file_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(HEADER + b"1,2\n")))
    with CsvFile("-") as file, pytest.raises(InputFileError, match="standard input, line 2: 2 fields"):
        list(file.rows())


@given(content=st.binary(max_size=300) | st.text(alphabet='abc,;"\r\n\0é', max_size=100).map(str.encode))
def test_whatever_the_bytes_they_are_rows_or_one_error(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("any") / "rows.csv"
    path.write_bytes(content)
    try:
        with CsvFile(path) as file:
            assert all(len(row.cells) == len(file.header) for row in file.rows())
    except InputFileError:
        pass
