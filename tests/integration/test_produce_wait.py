"""`stream-scorer produce --wait` on a real Kafka with a real worker: what it prints is what became of each event."""

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
from typer.testing import CliRunner

from stream_scorer.commands import produce
from stream_scorer.core.contract.columns import COLUMN_NAMES
from stream_scorer.errors import SettingsError, TopicsError
from stream_scorer.operations.harness.worker_process import WorkerProcess
from stream_scorer.runtime.cluster.topic_admin import apply
from stream_scorer.runtime.settings.settings import load_settings
from tests.integration.broker_sources import Broker
from tests.support.builders import an_event
from tests.support.workers import ROOT

COMMAND = "import typer; from stream_scorer.commands import produce; app = typer.Typer(); produce.register(app); app()"
WAIT_S = "60"


class Said(NamedTuple):
    """What the command printed, and its exit status; `answers` and `summary` where it was asked for JSON."""

    exit_status: int
    lines: list[str]

    @property
    def answers(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines[:-1]]

    @property
    def summary(self) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self.lines[-1])
        return said


@pytest.fixture(scope="module")
def prefix(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The topics of one worker for all tests here: each sends ids of its own."""
    prefix, folder = f"t-{secrets.token_hex(4)}.", tmp_path_factory.mktemp("produce-wait")
    asyncio.run(apply(load_settings(None, {}, {"kafka.bootstrap": broker.bootstrap, "topics.prefix": prefix})))
    environ = {"PYTHONPATH": str(ROOT), "STREAM_SCORER_WORKER_STATE_FOLDER": str(folder / "state")}
    with WorkerProcess(broker.bootstrap, prefix=prefix, folder=folder, environ=environ) as worker:
        worker.wait_ready()
        yield prefix


def run(broker: Broker, prefix: str, *arguments: str, stdin: bytes | None = None, timeout_s: str = WAIT_S) -> Said:
    app = typer.Typer()
    produce.register(app)
    options = ["--bootstrap", broker.bootstrap, "--prefix", prefix, "--wait", "--timeout", timeout_s]
    ended = CliRunner().invoke(app, [*options, *arguments], input=stdin, catch_exceptions=False)
    return Said(ended.exit_code, ended.stdout.splitlines())


def test_every_line_gets_its_answer_in_its_order(broker: Broker, prefix: str) -> None:
    lines = [an_event("a"), b"{broken", an_event("a"), an_event("a", hour=3), an_event("b", hour=99, SubjectAge=1)]
    said = run(broker, prefix, "--lines", "-", "--json", stdin=b"\n".join(lines))
    assert [(answer["event"], answer["id"], answer["answer"]) for answer in said.answers] == [
        (1, "a", "predicted"),
        (2, None, "refused"),
        (3, "a", "redelivered"),
        (4, "a", "refused"),
        (5, "b", "refused"),
    ]
    assert said.answers[0]["prediction"] == said.answers[2]["prediction"]
    assert [[reason["code"] for reason in answer.get("reasons", [])] for answer in said.answers] == [
        [],
        ["not_json"],
        [],
        ["conflict"],
        ["out_of_range", "out_of_range"],
    ]
    counts = {name: said.summary[name] for name in ("predicted", "redelivered", "refused", "unanswered")}
    assert counts == {"predicted": 1, "redelivered": 1, "refused": 3, "unanswered": 0}
    assert said.exit_status == 1


def test_people_read_a_line_for_each_event_and_each_reason(broker: Broker, prefix: str) -> None:
    lines = [an_event("p-1"), an_event("p-2\x1b[31m", hour=99, SubjectAge=1)]
    said = run(broker, prefix, "--lines", "-", stdin=b"\n".join(lines))
    assert said.lines[0].startswith("p-1 ")
    assert "predicted" in said.lines[0]
    assert said.lines[1].startswith("p-2\\x1b[31m")
    assert said.lines[1].endswith("refused      out_of_range: Field `SubjectAge` is not between 10 and 100")
    assert said.lines[2].strip() == "out_of_range: Field `hour` is not between 0 and 24"
    assert said.lines[3].startswith("1 predicted, 1 refused in ")


def test_when_all_are_taken_the_exit_status_is_0(broker: Broker, prefix: str) -> None:
    said = run(broker, prefix, "--count", "300", "--json")
    assert (said.exit_status, said.summary["predicted"], len(said.answers)) == (0, 300, 300)


def test_events_without_keys_are_followed_to_where_they_were_moved(broker: Broker, prefix: str) -> None:
    said = run(broker, prefix, "--count", "100", "--no-key", "--json")
    assert said.summary["predicted"] == 100
    moved = [answer for answer in said.answers if answer["moved_from"]]
    assert 40 < len(moved) < 100
    assert all(answer["moved_from"]["partition"] != answer["prediction"]["source"]["partition"] for answer in moved)


def test_rows_of_a_csv_file_with_their_outcomes(broker: Broker, prefix: str, tmp_path: Path) -> None:
    header = ",".join((*COLUMN_NAMES, "ContrabandIndicator"))
    row = "B,M,N,Stop Sign,V,False,C,20,0,Tuesday"
    (tmp_path / "stops.csv").write_text("\n".join([header, f"{row},True", f"{row},", "Z" + row[1:] + ",False"]))
    said = run(broker, prefix, "--csv", str(tmp_path / "stops.csv"), "--outcomes", "1", "--id-prefix", "row-", "--json")
    assert [answer["answer"] for answer in said.answers] == ["predicted", "predicted", "refused"]
    assert said.summary["outcomes"] == 2


def test_without_a_worker_it_ends_as_a_temporary_fault(broker: Broker) -> None:
    prefix = f"t-{secrets.token_hex(4)}."
    asyncio.run(apply(load_settings(None, {}, {"kafka.bootstrap": broker.bootstrap, "topics.prefix": prefix})))
    said = run(broker, prefix, "--count", "2", "--json", timeout_s="0.5")
    assert [answer["answer"] for answer in said.answers] == ["unanswered", "unanswered"]
    assert said.exit_status == 75


def test_ctrl_c_stops_sending_and_answers_what_was_sent(broker: Broker, prefix: str, tmp_path: Path) -> None:
    arguments = ["--bootstrap", broker.bootstrap, "--prefix", prefix, "--wait", "--json", "--rate", "50"]
    printed = tmp_path / "printed"
    with printed.open("wb") as file:
        running = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *arguments, "--count", "100000"],
            stdout=file,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    while printed.read_bytes().count(b"\n") < 10:
        assert running.poll() is None, "it ended by itself"
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    said = Said(running.wait(60), printed.read_text().splitlines())
    assert (said.exit_status, said.summary["interrupted"]) == (130, True)
    assert said.summary["predicted"] == len(said.answers) >= 10


def test_outcomes_have_no_prediction_to_wait_for(broker: Broker, prefix: str) -> None:
    with pytest.raises(SettingsError, match="trace"):
        run(broker, prefix, "--lines", "-", "--to", "outcomes", stdin=b"")


def test_missing_topics_are_told_with_what_to_do(broker: Broker) -> None:
    with pytest.raises(TopicsError, match="topics apply"):
        run(broker, f"t-{secrets.token_hex(4)}.", "--count", "1")
