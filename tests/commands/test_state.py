"""`stream-scorer state reset`: deletes what can be made again, when asked twice, and never under a worker's feet."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from stream_scorer.commands import state
from stream_scorer.errors import StateError
from stream_scorer.runtime.state.rocksdb import shared_memory
from stream_scorer.runtime.state.state_directory import claim_lane
from stream_scorer.runtime.state.store import LaneStore

HOLDER = """
import sys
from pathlib import Path
from stream_scorer.runtime.state.state_directory import claim_lane
claim = claim_lane(Path(sys.argv[1]), int(sys.argv[2]), spare=False)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def state_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an environment's state, with the stores of lanes 0 and 3 in it."""
    monkeypatch.setenv("STREAM_SCORER_WORKER_STATE_FOLDER", str(tmp_path))
    path = tmp_path / "t.stream-scorer"
    for partition in (0, 3):
        claim = claim_lane(path, partition, spare=False)
        assert claim is not None
        store = LaneStore(claim, "cluster", shared_memory())
        store.write([(b"a", b"x" * 32)], {"t": 1})
        store.close()
    return path


def reset(*arguments: str, answer: str = "") -> Result:
    app = typer.Typer()
    app.callback()(lambda: None)
    state.register(app)
    return CliRunner().invoke(app, ["state", "reset", "--prefix", "t.", *arguments], input=answer)


def lanes(state_path: Path) -> list[str]:
    return sorted(path.name for path in state_path.iterdir() if path.is_dir())


def test_all_lanes_are_deleted_after_a_yes(state_path: Path) -> None:
    result = reset(answer="y\n")
    assert result.exit_code == 0
    assert lanes(state_path) == []
    for lane in ("lane-0", "lane-3"):
        assert f"deleted {state_path / lane} (" in result.stdout


def test_nothing_is_deleted_after_a_no(state_path: Path) -> None:
    assert reset(answer="n\n").exit_code == 1
    assert lanes(state_path) == ["lane-0", "lane-3"]


def test_one_lane_of_one_environment_is_deleted_without_a_question_for_a_script(state_path: Path) -> None:
    other = state_path.with_name("other.stream-scorer") / "lane-3"
    other.mkdir(parents=True)
    result = reset("--partition", "3", "--yes", "--json")
    assert result.exit_code == 0
    (deleted,) = json.loads(result.stdout)
    assert deleted["folder"] == str(state_path / "lane-3")
    assert deleted["bytes"] > 0
    assert lanes(state_path) == ["lane-0"]
    assert other.is_dir()


def test_where_nothing_is_there_is_nothing_to_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAM_SCORER_WORKER_STATE_FOLDER", str(tmp_path))
    result = reset()
    assert (result.exit_code, result.stdout) == (0, f"no state in {tmp_path / 't.stream-scorer'}\n")


def test_nothing_is_deleted_while_a_worker_holds_a_lane(state_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(state_path), "3"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        result = reset("--yes")
        assert isinstance(result.exception, StateError)
        assert "lane-3" in str(result.exception)
        assert lanes(state_path) == ["lane-0", "lane-3"]
        holder.kill()
    assert reset("--yes").exit_code == 0
    assert lanes(state_path) == []
