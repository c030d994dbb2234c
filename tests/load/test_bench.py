"""The benchmark itself: small runs, to see that what it counts is there; its figures belong to a quiet machine."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from stream_scorer.operations.bench.comparison import medians, numbers_of
from stream_scorer.operations.bench.hot_path import PARTS
from stream_scorer.operations.harness.other_tree import environ_of_tree
from tests.integration.broker_sources import Broker
from tests.support.workers import ROOT

EVENTS = 20_000


def run_bench(broker: Broker, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "stream_scorer", "bench", "--json", "--bootstrap", broker.bootstrap, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert ended.returncode == 0, ended.stderr
    said: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return said


@pytest.mark.parametrize("delivery", ["exactly-once", "at-least-once"])
def test_backlog_is_accounted_for(broker: Broker, delivery: str) -> None:
    said = run_bench(broker, "--events", str(EVENTS), "--delivery", delivery)
    assert (said["events"], said["guarantee"]) == (EVENTS, delivery)
    assert said["predictions"] + said["dead_letters"] == EVENTS
    assert 0.02 < said["dead_letters"] / EVENTS < 0.04
    assert (said["unaccounted"], said["duplicated"], said["moved"]) == (0, 0, 0)
    assert said["events_per_s"] > 0
    assert said["peak_memory_bytes"] > 10_000_000
    assert said["cpu_seconds"] > 0


def test_backlog_on_wrong_partitions_is_moved_and_scored(broker: Broker) -> None:
    said = run_bench(broker, "--events", str(EVENTS), "--moved-share", "0.75")
    assert said["predictions"] + said["dead_letters"] == EVENTS
    assert (said["unaccounted"], said["duplicated"]) == (0, 0)
    assert 0.7 < said["moved"] / EVENTS < 0.76  # 75 % of those that pass the contract


def test_every_valid_event_is_answered_at_a_fixed_rate(broker: Broker) -> None:
    said = run_bench(broker, "--latency", "200", "--seconds", "3", "--warm-up", "3")
    assert said["unanswered"] == 0
    assert 550 < said["measured"] <= 600
    assert said["cpu_seconds"] > 0
    assert said["broker_cpu_seconds"] is None or said["broker_cpu_seconds"] > 0  # None: it runs in a container
    latency = said["latency_ms"]
    assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["p99.9"] <= latency["p100"]


def test_every_id_is_joined_once_and_restored_from_the_topics(broker: Broker) -> None:
    # so many that their commits are seen at more than one moment, between which there is a rate
    said = run_bench(broker, "--joins", "--events", "30000")
    assert (said["ids"], said["unaccounted"], said["duplicated"]) == (30_000, 0, 0)
    rates = ("scored_per_s", "joined_per_s", "restored_per_s", "restored_joined_per_s", "bytes_an_id")
    assert all(said[rate] > 0 for rate in rates)


def test_letters_are_listed_and_replayed(broker: Broker) -> None:
    said = run_bench(broker, "--dead-letters", "--events", "1000")
    assert (said["letters"], said["replayed"]) == (11_000, 10_000)
    assert (said["unaccounted"], said["duplicated"]) == (0, 0)
    assert min(said["list_cold_s"], said["list_warm_s"], said["replay_s"], said["buried_per_s"]) > 0


def test_each_part_of_the_hot_path_has_its_cost() -> None:
    command = [sys.executable, "-m", "stream_scorer", "bench", "--profile", "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout.splitlines()[-1])
    paths = said["paths"]
    assert [path["batch_records"] for path in paths] == [16_384, 4]
    assert all(cost > 0 for path in paths for cost in path["part_us"].values())
    assert len(paths[0]["part_us"]) == len(PARTS)
    assert all(0 < group["grouped_us"] < group["alone_us"] for group in said["groups"])
    assert all(0 < fetch["in_session_us"] < fetch["by_tables_us"] for fetch in said["fetches"])


def test_a_revision_is_measured_in_turns_with_this_tree(broker: Broker) -> None:
    said = run_bench(broker, "--events", "5000", "--partitions", "3", "--against", "HEAD", "--rounds", "1")
    assert (said["revision"], said["rounds"], said["faults"]) == ("HEAD", 1, 0)
    assert said["before"]["predictions"] == said["now"]["predictions"] > 4_500
    assert said["ratio"]["predictions"] == 1.0
    assert said["now"]["events_per_s"] > 0


def test_another_tree_s_worker_is_that_tree_s_even_from_within_this_one(tmp_path: Path) -> None:
    (tmp_path / "stream_scorer").mkdir()
    (tmp_path / "stream_scorer" / "__init__.py").touch()
    (tmp_path / "stream_scorer" / "__main__.py").write_text("print('the other one')")
    ran = subprocess.run(
        [sys.executable, "-m", "stream_scorer", "--help"],
        cwd=ROOT,
        env=os.environ | environ_of_tree(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == "the other one\n"


def test_a_revision_that_is_not_there_is_refused() -> None:
    command = [sys.executable, "-m", "stream_scorer", "bench", "--against", "no-such-revision", "--bootstrap", "x:1"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "can't check it out" in ended.stderr


def test_medians_are_taken_of_numbers_within_numbers_too() -> None:
    runs = [numbers_of({"name": "x", "latency_ms": {"p50": float(p50)}, "rate": 2}) for p50 in (9, 1, 4)]
    assert medians(runs) == {"latency_ms.p50": 4.0, "rate": 2}


def test_two_measurements_at_once_are_refused() -> None:
    command = [sys.executable, "-m", "stream_scorer", "bench", "--joins", "--dead-letters"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "one at a time" in ended.stderr


@pytest.mark.long
def test_switches_under_load_leave_nothing_unanswered(broker: Broker) -> None:
    said = run_bench(broker, "--switch", "500", "--seconds", "3", "--warm-up", "6")
    assert (said["switches"], said["unanswered"]) == (5, 0)
    for window in ("calm", "switching", "loading"):
        assert 0 < said[f"{window}_ms"]["p50"] <= said[f"{window}_ms"]["p99"]
        assert said[f"{window}_s"] > 0


@pytest.mark.long
def test_waits_are_measured_while_workers_come_and_go(broker: Broker) -> None:
    said = run_bench(broker, "--recovery")
    assert (said["unaccounted"], said["duplicated"]) == (0, 0)
    assert 0 < said["calm_pause_s"] < said["killed_to_commit_s"]
    assert said["joining_pause_s"] > 0


async def test_benchmark_leaves_no_topics_behind(broker: Broker) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        assert not [topic for topic in await admin.list_topics() if topic.startswith("bench-")]
    finally:
        await admin.close()


def test_a_backtest_finds_everything_that_was_predicted_and_joined(broker: Broker) -> None:
    said = run_bench(broker, "--backtest", "--events", str(EVENTS), "--rounds", "1")
    assert (said["observations"], said["unaccounted"]) == (EVENTS, 0)
    assert 0.2 < said["outcomes"] / EVENTS < 0.3
    assert min(said["observations_per_s"], said["alone_per_s"]) > 0
    assert all(cost >= 0 for cost in said["part_us"].values())
    assert said["part_us"]["decode predictions"] > 0


def test_shadows_are_asked_about_every_observation(broker: Broker) -> None:
    said = run_bench(broker, "--shadows", "1", "--events", str(EVENTS), "--rounds", "1", "--broken-share", "0")
    assert (said["unaccounted"], said["duplicated"], said["shadows_missing"]) == (0, 0, 0)
    assert [each["shadow_predictions"] for each in said["figures"]] == [0, EVENTS]
    assert said["ratio"][0] == 1.0
