"""`stream-scorer demo` as people run it: everything real, and what it says at the end adds up."""

import asyncio
import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from stream_scorer.core.contract.columns import COLUMN_NAMES
from stream_scorer.core.contract.reasons import Code
from tests.integration.broker_sources import Broker

pytestmark = pytest.mark.kafka

ROWS = (
    ("B,M,N,Stop Sign,V,False,C,20,0,Tuesday,True", None),
    ("W,F,H,Speed Related,V,True,O,100,24,Sunday,False", None),
    ("W,F,H,Stop sign,V,True,O,44,23,Sunday,False", Code.INVALID_VALUE),
    ("W,F,H,Window Tint,V,True,O,0,23,Sunday,", Code.OUT_OF_RANGE),
    ("W,F,H,Window Tint,V,True,O,20.0,23,Sunday,", Code.NOT_AN_INTEGER),
    ("W,F,H,Window Tint,V,,O,20,23,Sunday,", Code.INVALID_VALUE),
    ("W,F,H,Window Tint,V,0,O,20,25,Sunday,", Code.OUT_OF_RANGE),
    ("I,M,M,Unlicensed Operation,E,False,C,10,12,Monday,True", None),
)
END_WAIT_S = 120.0


@contextmanager
def running_demo(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "stream_scorer", "demo", "--json", *arguments]
    demo = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield demo
    finally:
        demo.kill()
        demo.communicate()


def summary_of(demo: subprocess.Popen[str]) -> dict[str, Any]:
    """What it said at its end: its last line."""
    printed, told = demo.communicate(timeout=END_WAIT_S)
    assert demo.returncode == 0, told
    said: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return said


def assert_adds_up(said: dict[str, Any]) -> None:
    assert (said["unaccounted"], said["duplicated"]) == (0, 0)
    assert said["observations"] == said["predictions"] + said["dead_letters"] + said["redelivered"]
    assert said["dead_letters"] == sum(said["dead_letters_by_code"].values())
    assert said["outcome_updates"] == said["joined"] + said["corrected"] + said["unknown"] + said["waited"]
    assert 0 < said["latency_ms"]["p50"] <= said["latency_ms"]["p99"]


def wait_for_line(demo: subprocess.Popen[str], wanted: str) -> str:
    assert demo.stderr is not None
    for line in demo.stderr:
        if wanted in line:
            return line
    pytest.fail(f"the demo ended without saying {wanted!r}")


def worker_of(demo: subprocess.Popen[str]) -> psutil.Process:
    return next(child for child in psutil.Process(demo.pid).children() if "worker" in child.cmdline())


def test_realistic_stream_with_outcomes_adds_up_and_leaves_nothing_running() -> None:
    with running_demo("--seconds", "5", "--rate", "300") as demo:
        wait_for_line(demo, "Worker ready")
        started = psutil.Process(demo.pid).children(recursive=True)
        said = summary_of(demo)
    assert_adds_up(said)
    assert said["observations"] >= 1_500
    assert (said["worker_restarts"], said["awaiting"]) == (0, 0)
    for happened in ("dead_letters", "moved", "redelivered", "conflicts", "joined", "corrected", "unknown", "repeats"):
        assert said[happened] > 0, happened
    assert 0 < said["success_rate"] < 1
    assert not psutil.wait_procs(started, timeout=10)[1]


def test_a_roll_out_is_told_to_its_end_and_adds_up() -> None:
    with running_demo("--rollout", "--seconds", "6", "--rate", "1500") as demo:
        for title in (
            "one-column is the champion",
            "small-sample and all-columns come as shadows",
            "small-sample is withdrawn",
            "all-columns becomes the canary",
            "all-columns is promoted",
        ):
            wait_for_line(demo, title)
        said = summary_of(demo)
    assert_adds_up(said)
    rollout = said["rollout"]
    assert (rollout["withdrawn"], rollout["promoted"]) == ("small-sample", "all-columns")
    assert 0 < rollout["withdrawn_after_outcomes"] < rollout["promoted_after_outcomes"]
    published = {label.partition("@")[0]: count for label, count in rollout["published"].items()}
    assert set(published) == {"one-column", "all-columns"}  # no prediction of the one that was withdrawn
    assert sum(published.values()) == rollout["same"] == rollout["predictions"] == said["predictions"]


def test_a_roll_out_brings_its_own_models_and_stops() -> None:
    command = [sys.executable, "-m", "stream_scorer", "demo", "--rollout", "--no-outcomes"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "brings its own" in ended.stderr


def test_the_curl_line_that_it_shows_gets_a_prediction_which_is_counted_too() -> None:
    with running_demo("--rate", "50") as demo:
        line = wait_for_line(demo, "Gateway: http://").partition(", or: ")[2]
        words = shlex.split(line)
        assert words[0] == "curl"
        shown = subprocess.run([*words, "--silent"], capture_output=True, check=True, timeout=60)
        assert json.loads(shown.stdout)["id"] == "stop-1"
        demo.send_signal(signal.SIGINT)
        said = summary_of(demo)
    assert_adds_up(said)


async def test_on_a_kafka_that_is_there_it_plays_in_topics_of_its_own_and_deletes_them(broker: Broker) -> None:
    with running_demo("--seconds", "2", "--rate", "100", "--bootstrap", broker.bootstrap) as demo:
        said = await asyncio.to_thread(summary_of, demo)
    assert said["observations"] > 100
    assert (said["unaccounted"], said["duplicated"]) == (0, 0)
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        assert not [topic for topic in await admin.list_topics() if topic.startswith("demo-")]
    finally:
        await admin.close()


def test_every_row_of_a_file_is_scored_or_dead_lettered_with_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "stops.csv"
    path.write_text("\n".join([",".join((*COLUMN_NAMES, "ContrabandIndicator")), *(row for row, _ in ROWS)]))
    with running_demo("--csv", str(path)) as demo:
        said = summary_of(demo)
    assert_adds_up(said)
    codes = [code.value for _, code in ROWS if code is not None]
    assert (said["observations"], said["predictions"]) == (len(ROWS), len(ROWS) - len(codes))
    assert said["dead_letters_by_code"] == {code: codes.count(code) for code in codes}
    assert (said["joined"], said["awaiting"]) == (3, 1)  # one row has an outcome, but is no observation


@pytest.mark.long
def test_worker_that_is_killed_is_started_again_and_nothing_is_lost() -> None:
    with running_demo("--rate", "200") as demo:
        wait_for_line(demo, "predictions 3")
        worker_of(demo).kill()
        time.sleep(15)  # the broker takes the killed worker's session for alive for ten seconds
        demo.send_signal(signal.SIGINT)
        said = summary_of(demo)
    assert_adds_up(said)
    assert said["worker_restarts"] == 1


def test_a_file_that_is_not_there_is_told_before_anything_starts(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "stream_scorer", "demo", "--csv", str(tmp_path / "none.csv")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert "can't be read" in ended.stderr
    assert "Starting" not in ended.stderr
