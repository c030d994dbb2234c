"""`stream-scorer produce` on a real Kafka: what it says was delivered is there, byte for byte, where it belongs."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from stream_scorer.commands import produce
from stream_scorer.core.contract.columns import COLUMN_NAMES
from stream_scorer.core.contract.observation_events import decode_observations
from stream_scorer.core.records.partitioner import partition_of
from stream_scorer.errors import InputFileError, SettingsError, TopicsError
from stream_scorer.operations.reading.topic_reader import Reader, Record
from stream_scorer.runtime.cluster.topic_admin import TopicNames, apply
from stream_scorer.runtime.settings.settings import load_settings
from tests.integration.broker_sources import Broker
from tests.support.builders import an_event, an_outcome

ROW = "B,M,N,Stop Sign,V,False,C,20,0,Tuesday"
COMMAND = "import typer; from stream_scorer.commands import produce; app = typer.Typer(); produce.register(app); app()"
DELIVERY_WAIT_S = 30.0


@pytest.fixture
def names(broker: Broker, prefix: str) -> TopicNames:
    """An environment's topics, empty."""
    asyncio.run(apply(load_settings(None, {}, {"kafka.bootstrap": broker.bootstrap, "topics.prefix": prefix})))
    return TopicNames(prefix)


def run_produce(broker: Broker, names: TopicNames, *arguments: str, stdin: bytes | None = None) -> dict[str, Any]:
    """What `--json` printed, and the exit status. A known error is raised, as the command line's boundary gets it."""
    app = typer.Typer()
    produce.register(app)
    options = ["--bootstrap", broker.bootstrap, "--prefix", names.prefix, "--json"]
    ended = CliRunner().invoke(app, [*options, *arguments], input=stdin, catch_exceptions=False)
    said: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return said | {"exit_status": ended.exit_code}


def records_of(broker: Broker, topic: str) -> list[Record]:
    """Everything in a topic, in the order of each partition."""

    async def read() -> list[Record]:
        async with Reader({"bootstrap_servers": broker.bootstrap}) as reader:
            return [record async for _, records in reader.read(await reader.spans([topic])) for record in records]

    return asyncio.run(read())


def test_generated_events_stand_on_the_partition_of_their_id(broker: Broker, names: TopicNames) -> None:
    said = run_produce(broker, names, "--count", "5000", "--broken-share", "0.1")
    records = records_of(broker, names.observations)
    assert (said["exit_status"], said["delivered"], len(records)) == (0, 5_000, 5_000)
    assert len({record.key for record in records}) == 5_000
    assert {record.partition for record in records} == {0, 1, 2, 3}
    assert all(record.partition == partition_of(record.key or b"", 4) for record in records)
    assert 350 < len(decode_observations([record.value for record in records]).rejected) < 650


def test_events_of_two_runs_have_different_ids(broker: Broker, names: TopicNames) -> None:
    run_produce(broker, names, "--count", "50")
    run_produce(broker, names, "--count", "50")
    assert len({record.key for record in records_of(broker, names.observations)}) == 100


def test_events_without_keys_go_to_every_partition(broker: Broker, names: TopicNames) -> None:
    run_produce(broker, names, "--count", "400", "--no-key")
    records = records_of(broker, names.observations)
    assert {record.key for record in records} == {None}
    assert Counter(record.partition for record in records) == {0: 100, 1: 100, 2: 100, 3: 100}


def test_lines_are_sent_byte_for_byte_and_in_order(broker: Broker, names: TopicNames, tmp_path: Path) -> None:
    lines = [an_event("a"), b"{broken", an_event("a", SubjectAge=21), b"", b"\xff\x00", an_event(7)]
    (tmp_path / "events.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    said = run_produce(broker, names, "--lines", str(tmp_path / "events.jsonl"))
    records = records_of(broker, names.observations)
    assert said["delivered"] == len(lines)
    assert Counter(record.value for record in records) == Counter(lines)
    assert [record.value for record in records if record.key == b"a"] == [lines[0], lines[2]]


def test_standard_input_can_feed_the_outcomes(broker: Broker, names: TopicNames) -> None:
    said = run_produce(
        broker, names, "--lines", "-", "--to", "outcomes", stdin=an_outcome("a") + b"\n" + an_outcome("b")
    )
    assert said["delivered"] == 2
    assert {record.key for record in records_of(broker, names.outcomes)} == {b"a", b"b"}
    assert records_of(broker, names.observations) == []


def test_rows_of_a_csv_file_with_their_known_outcomes(broker: Broker, names: TopicNames, tmp_path: Path) -> None:
    header = ",".join((*COLUMN_NAMES, "ContrabandIndicator"))
    path = tmp_path / "stops.csv"
    path.write_text("\n".join([header, f"{ROW},True", f"{ROW},", f"{ROW},False"]))
    said = run_produce(broker, names, "--csv", str(path), "--outcomes", "1", "--id-prefix", "row-")
    assert (said["delivered"], said["outcomes"]) == (3, 2)
    assert {record.key for record in records_of(broker, names.observations)} == {
        b"row-00000000%d" % n for n in (1, 2, 3)
    }
    outcomes = [json.loads(record.value or b"") for record in records_of(broker, names.outcomes)]
    assert {outcome["id"]: outcome["true_class"] for outcome in outcomes} == {
        "row-000000001": True,
        "row-000000003": False,
    }


# Files that can't be sent as they are


def a_csv(folder: Path, *rows: str, header: str = ",".join((*COLUMN_NAMES, "ContrabandIndicator"))) -> str:
    path = folder / "stops.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return str(path)


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([f"{ROW},1"] * 99 + [f'"{ROW},1'] + [f"{ROW},1"] * 100, "line 101: a quote opened"),
        ([f"{ROW},1"] * 99 + [f'"{ROW},1'] + [f"{ROW},1"] * 4_000, "line 101: .*never closed"),
        ([f"{ROW},1"] * 99 + ["B,M"], "line 101: 2 fields"),
        ([f"{ROW},1"] * 99 + [f"{ROW},perhaps"], "line 101: ContrabandIndicator is 'perhaps'"),
    ],
    ids=["open quote", "open quote in a long file", "short row", "label"],
)
def test_nothing_is_sent_of_a_file_with_a_row_that_can_not_be_read(
    broker: Broker, names: TopicNames, tmp_path: Path, rows: list[str], complaint: str
) -> None:
    with pytest.raises(InputFileError, match=complaint):
        run_produce(broker, names, "--csv", a_csv(tmp_path, *rows))
    assert records_of(broker, names.observations) == []


def test_a_header_that_dooms_every_row_is_refused_unless_wanted(
    broker: Broker, names: TopicNames, tmp_path: Path
) -> None:
    path = a_csv(tmp_path, f"{ROW},1,7", header=",".join((*COLUMN_NAMES, "ContrabandIndicator", "Officer")))
    with pytest.raises(InputFileError, match=r"has other columns \(Officer\).*--columns.*--anyway"):
        run_produce(broker, names, "--csv", path)
    assert records_of(broker, names.observations) == []
    assert run_produce(broker, names, "--csv", path, "--anyway")["delivered"] == 1


def test_outcomes_are_sent_only_where_somebody_searched(broker: Broker, names: TopicNames, tmp_path: Path) -> None:
    unsearched = ROW.replace(",C,", ",N,")
    path = a_csv(tmp_path, f"{ROW},Y", f"{unsearched},0", f"{ROW},1.0", f"{ROW},no")
    said = run_produce(broker, names, "--csv", path, "--outcomes", "1", "--id-prefix", "row-")
    assert (said["delivered"], said["outcomes"]) == (4, 3)
    outcomes = [json.loads(record.value or b"") for record in records_of(broker, names.outcomes)]
    assert {outcome["id"]: outcome["true_class"] for outcome in outcomes} == {
        "row-000000001": True,
        "row-000000003": True,
        "row-000000004": False,
    }


def test_ids_in_another_encoding_stay_apart(broker: Broker, names: TopicNames, tmp_path: Path) -> None:
    path = tmp_path / "stops.csv"
    lines = [f"id,{','.join(COLUMN_NAMES)}", *(f"caf{letter},{ROW}" for letter in "éèê")]
    path.write_bytes("\n".join(lines).encode("cp1252"))
    with pytest.raises(InputFileError, match=r"line 2: byte 0xe9.*--encoding cp1252"):
        run_produce(broker, names, "--csv", str(path))
    run_produce(broker, names, "--csv", str(path), "--encoding", "cp1252")
    assert {record.key for record in records_of(broker, names.observations)} == {
        f"caf{letter}".encode() for letter in "éèê"
    }


def test_a_raw_export_is_sent_through_its_mapping_and_its_fix(
    broker: Broker, names: TopicNames, tmp_path: Path
) -> None:
    (tmp_path / "columns.toml").write_text(
        "[columns]\n"
        'id = "Stop"\n'
        'hour = { from = "InterventionDateTime", take = "hour" }\n'
        'day_of_week = { from = "InterventionDateTime", take = "day_of_week" }\n'
    )
    header = ",".join(("Stop", "InterventionDateTime", "Officer", *COLUMN_NAMES[:8]))
    path = a_csv(tmp_path, "17,2018-05-01 00:10:00,Smith,B,M,N,Stop Sign,V,0,C,20.0", header=header)
    mapped = ["--csv", path, "--columns", str(tmp_path / "columns.toml")]
    run_produce(broker, names, *mapped, "--fix", "integers-from-floats")
    (record,) = records_of(broker, names.observations)
    assert json.loads(record.value or b"") == json.loads(an_event("17", SearchAuthorizationCode="C"))


def test_timestamps_are_when_events_were_due(broker: Broker, names: TopicNames) -> None:
    run_produce(broker, names, "--count", "200", "--rate", "400")
    times = sorted(record.timestamp for record in records_of(broker, names.observations))
    assert 495 <= times[-1] - times[0] <= 500
    assert max(later - earlier for earlier, later in pairwise(times)) <= 3


def test_event_larger_than_the_topic_takes_is_refused_and_the_rest_delivered(
    broker: Broker, names: TopicNames, tmp_path: Path
) -> None:
    (tmp_path / "events.jsonl").write_bytes(an_event("a") + b"\n" + b"x" * 3_000_000 + b"\n" + an_event("b"))
    said = run_produce(broker, names, "--lines", str(tmp_path / "events.jsonl"))
    assert (said["exit_status"], said["delivered"], said["refused"]) == (1, 2, 1)
    assert {record.key for record in records_of(broker, names.observations)} == {b"a", b"b"}


def test_interrupted_run_says_what_was_delivered(broker: Broker, names: TopicNames) -> None:
    options = [
        "--bootstrap",
        broker.bootstrap,
        "--prefix",
        names.prefix,
        "--json",
        "--rate",
        "500",
        "--count",
        "1000000",
    ]
    running = subprocess.Popen([sys.executable, "-c", COMMAND, *options], stdout=subprocess.PIPE)
    deadline = time.monotonic() + DELIVERY_WAIT_S
    while len(records_of(broker, names.observations)) < 100 and time.monotonic() < deadline:
        time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    printed, _ = running.communicate(timeout=DELIVERY_WAIT_S)
    said = json.loads(printed)
    assert (running.returncode, said["interrupted"]) == (130, True)
    assert said["delivered"] == len(records_of(broker, names.observations)) >= 100


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--csv", "a.csv", "--lines", "b.jsonl"], "can.t be combined"),
        (["--lines", "b.jsonl", "--broken-share", "0.5"], "generated events"),
        (["--csv", "missing.csv"], "can't be read"),
        (["--lines", "b.jsonl", "--encoding", "cp1252"], "are for --csv"),
        (["--csv", "a.csv", "--fix", "everything"], "unknown fix"),
    ],
    ids=["two sources", "break a file's events", "no such file", "lines have no encoding", "unknown fix"],
)
def test_options_that_can_not_be_used_are_told(broker: Broker, prefix: str, arguments: list[str], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        run_produce(broker, TopicNames(prefix), *arguments)


def test_missing_topic_is_told_with_what_to_do(broker: Broker, prefix: str) -> None:
    with pytest.raises(TopicsError, match="topics apply"):
        run_produce(broker, TopicNames(prefix), "--count", "1")
