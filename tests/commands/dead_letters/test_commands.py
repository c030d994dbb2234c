"""What people get wrong with `dead-letters` is said in one line, before anything is connected."""

import pytest
from typer.testing import CliRunner

from stream_scorer.commands.main import app
from stream_scorer.errors import SettingsError


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["show", "17"], "not a dead letter's position", id="no place"),
        pytest.param(["list", "--code", "broken"], "no such code", id="no code"),
        pytest.param(["list", "--from", "noon"], "not a time", id="no time"),
        pytest.param(["list", "--state", "lost"], "say open, parked", id="no state"),
        pytest.param(["replay", "--yes"], "say --all", id="everything without saying so"),
        pytest.param(["discard", "--all", "--note", " "], "is required", id="no note"),
        pytest.param(["check", "--patch", "{"], "not a JSON Patch", id="no patch"),
        pytest.param(["check", "--patch", "[" * 50_000], "nested deeper", id="a patch of open brackets"),
        pytest.param(["check", "--fix", "all"], "unknown fix", id="no fix"),
    ],
)
def test_what_makes_no_sense_is_said_in_one_line(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["dead-letters", *arguments])
    assert isinstance(result.exception, SettingsError), result.output
    assert said in str(result.exception)
    assert "\n" not in str(result.exception)


@pytest.mark.parametrize("command", ["list", "show", "check", "replay", "discard", "history"])
def test_every_command_says_what_it_does(command: str) -> None:
    result = CliRunner().invoke(app, ["dead-letters", command, "--help"])
    assert result.exit_code == 0
    assert f"dead-letters {command}" in result.output
