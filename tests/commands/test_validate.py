"""The contract on the command line: what is printed, which exit status, and lines however they are cut by reads."""

import json
from io import BytesIO
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from stream_scorer.commands.validate import register
from stream_scorer.core.contract.columns import COLUMN_NAMES
from stream_scorer.errors import InputFileError, SettingsError
from stream_scorer.operations.checks.file_validation import ValidationSummary, lines_by_read, observations, validate
from tests.support.builders import an_event, an_outcome

NO_ID = "Field `id` missing from request: {'observation': 1}"
BROKEN = b'{"observation": 1}'


def run(*arguments: str, stdin: bytes = b"") -> Result:
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    return CliRunner().invoke(app, ["validate", *arguments], input=stdin)


def verdicts(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def events(tmp_path: Path) -> Path:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"\n".join([an_event("a"), BROKEN, b"", an_event("b")]) + b"\n")
    return path


def test_json_prints_one_line_for_each_line_of_input(events: Path) -> None:
    result = run("--json", str(events))
    assert verdicts(result) == [
        {"line": 1, "ok": True, "errors": []},
        {
            "line": 2,
            "ok": False,
            "errors": [
                {"code": "missing_id", "field": "id", "message": NO_ID},
                {
                    "code": "observation_not_an_object",
                    "field": "observation",
                    "message": "Field `observation` is not a JSON object",
                },
            ],
        },
        {
            "line": 3,
            "ok": False,
            "errors": [{"code": "not_json", "field": None, "message": "Event is not valid JSON: empty value (byte 0)"}],
        },
        {"line": 4, "ok": True, "errors": []},
    ]


def test_standard_input_gets_the_same_verdicts_as_a_file(events: Path) -> None:
    piped = run("--json", "-", stdin=events.read_bytes())
    assert piped.stdout == run("--json", str(events)).stdout
    assert piped.exit_code == 1


@pytest.mark.parametrize("as_json", [[], ["--json"]], ids=["for people", "json"])
@pytest.mark.parametrize(
    ("stdin", "status"),
    [(an_event() + b"\n", 0), (an_event(), 0), (b"", 0), (an_event() + b"\n\n", 1), (BROKEN, 1)],
    ids=["fine", "no line feed at the end", "nothing", "an empty line", "broken"],
)
def test_the_exit_status_says_whether_all_is_fine(stdin: bytes, status: int, as_json: list[str]) -> None:
    assert run(*as_json, "-", stdin=stdin).exit_code == status


def test_people_get_the_faults_by_code_and_field_and_the_first_broken_lines(events: Path) -> None:
    printed = run(str(events), "--show", "1").stdout
    assert "2 of 4 lines are valid, 2 are not." in printed
    assert ["missing_id", "id", "1", "2"] in [line.split() for line in printed.splitlines()]
    assert NO_ID in printed
    assert "empty value" not in printed
    assert "and 1 more" in printed


def test_a_terminal_is_not_told_what_an_event_says_to_it() -> None:
    printed = run("-", stdin=an_event(day_of_week="\x1b[2J")).stdout
    assert "\x1b[2J" not in printed
    assert "\\x1b[2J" in printed


def test_outcomes_have_their_own_contract() -> None:
    result = run("--outcomes", "--json", "-", stdin=an_outcome("a", 1) + b"\n" + an_outcome("a", 2))
    assert [verdict["ok"] for verdict in verdicts(result)] == [True, False]
    assert "invalid_true_class" in result.stdout


def test_the_largest_event_is_an_option() -> None:
    result = run("--json", "--event-bytes-max", "20", "-", stdin=an_event())
    assert f"Event of {len(an_event())} bytes is larger than 20" in result.stdout


@pytest.mark.parametrize("name", ["missing.jsonl", "."], ids=["missing", "a folder"])
def test_a_file_that_cannot_be_read_is_a_usage_error_that_names_it(tmp_path: Path, name: str) -> None:
    result = run(str(tmp_path / name))
    assert isinstance(result.exception, SettingsError)
    assert result.exception.exit_status == 2
    assert str(tmp_path / name) in str(result.exception)


def test_no_file_at_all_is_a_usage_error() -> None:
    assert run().exit_code == 2


class Dripping:
    """A stream whose reads end where the pieces do."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = [piece for piece in pieces if piece]

    def read1(self, size: int, /) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""


@given(st.lists(st.sampled_from([b"\n", b"ab", b"abcdef", b"a\nb\n", b"", b"x\n"])))
def test_lines_are_the_same_however_reads_cut_them_and_long_ones_keep_their_size(pieces: list[bytes]) -> None:
    text = b"".join(pieces)
    expected = text.split(b"\n")
    if not expected[-1]:
        expected.pop()
    found = [line for lines in lines_by_read(Dripping(pieces), 3) for line in lines]
    assert found == [line if len(line) <= 3 else len(line) for line in expected]


def test_a_line_is_answered_before_the_next_one_comes() -> None:
    answers = validate(Dripping([an_event() + b"\n", b"{}\n"]), observations(65_536))
    assert [verdict.ok for verdict in next(answers)] == [True]
    assert [verdict.ok for verdict in next(answers)] == [False]


def test_a_line_of_many_megabytes_is_too_large_and_the_next_one_is_read() -> None:
    text = b'{"id": "' + b"a" * 5_000_000 + b'"}\n' + an_event()
    ((first,), (second,)) = validate(BytesIO(text), observations(65_536))
    assert first.errors[0].message == f"Event of {len(text) - len(an_event()) - 1} bytes is larger than 65536"
    assert (second.line, second.ok) == (2, True)


def test_a_summary_keeps_no_more_broken_lines_than_it_shows() -> None:
    summary = ValidationSummary(shown_max=2)
    for verdicts_of_a_read in validate(BytesIO(b"{}\n" * 5), observations(65_536)):
        summary.add(verdicts_of_a_read)
    assert (summary.lines, summary.broken, len(summary.first)) == (5, 5, 2)
    assert [group.count for group in summary.groups.values()] == [5, 5]


# Which fix would help


def test_the_fixes_that_would_mend_a_line_are_named() -> None:
    lines = [
        an_event("a", SubjectAge=20.0),
        an_event("b", SubjectAge="20", StatuteReason="stop sign"),
        an_event("c", SubjectAge="twenty"),
        an_event("d"),
    ]
    said = verdicts(run("--json", "-", stdin=b"\n".join(lines)))
    assert [verdict.get("fixes") for verdict in said] == [
        ["integers-from-floats"],
        ["match-case", "integers-from-text"],
        None,
        None,
    ]


def test_people_are_told_how_many_a_fix_would_repair() -> None:
    lines = [an_event(f"a{n}", SubjectAge=20.0) for n in range(30)] + [an_event("b", hour=99)]
    assert "--fix integers-from-floats would fix 30 of them" in run("-", stdin=b"\n".join(lines)).stdout


def test_outcomes_are_mended_too() -> None:
    (said,) = verdicts(run("--json", "--outcomes", "-", stdin=b'{"id": "a", "true_class": 1.0}'))
    assert said["fixes"] == ["integers-from-floats"]


# CSV files

HEADER = ",".join((*COLUMN_NAMES, "ContrabandIndicator"))
ROW = "B,M,N,Stop Sign,V,False,C,20,0,Tuesday"


def a_csv(folder: Path, *rows: str, header: str = HEADER) -> str:
    path = folder / "stops.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return str(path)


def test_rows_of_a_csv_file_are_checked_by_their_lines(tmp_path: Path) -> None:
    path = a_csv(tmp_path, f"{ROW},1", f"{ROW.replace(',20,', ',20.0,')},", f"{ROW.replace(',0,', ',25,')},No")
    result = run("--csv", "--json", path)
    said = verdicts(result)
    assert result.exit_code == 1
    assert [(verdict["line"], verdict["ok"], verdict.get("fixes")) for verdict in said] == [
        (2, True, None),
        (3, False, ["integers-from-floats"]),
        (4, False, None),
    ]
    assert run(path, "--csv").exit_code == 1
    assert run("--csv", "-", stdin=Path(path).read_bytes()).exit_code == 1


def test_a_csv_file_that_is_fine_is_fine(tmp_path: Path) -> None:
    assert run("--csv", a_csv(tmp_path, f"{ROW},1")).exit_code == 0


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([f'"{ROW},1'], "line 2: a quote"),
        ([f"{ROW},1", "B,M"], "line 3: 2 fields"),
        ([f"{ROW},perhaps"], "line 2: ContrabandIndicator is 'perhaps'"),
    ],
    ids=["open quote", "short row", "label"],
)
def test_a_csv_file_that_can_not_be_read_is_refused_with_its_line(
    tmp_path: Path, rows: list[str], complaint: str
) -> None:
    result = run("--csv", a_csv(tmp_path, *rows))
    assert isinstance(result.exception, InputFileError)
    assert complaint in str(result.exception)
    assert not result.stdout


def test_a_header_that_makes_every_row_invalid_is_reported_and_its_rows_are_checked(tmp_path: Path) -> None:
    result = run("--csv", a_csv(tmp_path, f"{ROW},1,7", header=f"{HEADER},Officer"))
    assert result.exit_code == 1
    assert "has other columns (Officer)" in result.stderr
    assert "--fix drop-unrecognized would fix 1" in result.stdout


def test_columns_are_mapped(tmp_path: Path) -> None:
    (tmp_path / "columns.toml").write_text('[columns]\nSubjectAge = "age"\n')
    path = a_csv(tmp_path, f"{ROW},1,7", header=f"{HEADER.replace('SubjectAge', 'age')},Officer")
    assert run("--csv", "--columns", str(tmp_path / "columns.toml"), path).exit_code == 0


@pytest.mark.parametrize("options", [["--csv", "--outcomes"], ["--columns", "x.toml"], ["--encoding", "cp1252"]])
def test_options_that_do_not_go_together_are_told(tmp_path: Path, options: list[str]) -> None:
    assert isinstance(run(*options, a_csv(tmp_path)).exception, SettingsError)
