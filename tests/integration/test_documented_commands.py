"""Every command of the pages, run as it stands there: against a real Kafka and worker, in a folder with the files that
it names. (What else people type, pip and make, CI itself does.)
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stream_scorer.models.dataframes import frame_of
from stream_scorer.models.synthetic.generator import Generator
from stream_scorer.operations.local_broker.server_properties import is_free
from tests.contracts.markdown_pages import ROOT, blocks, shell_lines
from tests.integration.broker_sources import Broker
from tests.support.builders import an_event, an_outcome
from tests.support.workers import Environment, stopped

WAIT_S_MAX = 200.0
JOINED = "joined the group"
# Where these stand on a page, a test has a folder and ports of its own
STANDING = ("stream-scorer broker start", "stream-scorer broker stop", "stream-scorer broker status")


def lines_of(page: str, *but: str) -> list[str]:
    """What a page says to type, of ours, without those that begin otherwise."""
    found = [line.text for line in shell_lines() if line.page == page and line.text.startswith("stream-scorer ")]
    assert found
    return [line for line in dict.fromkeys(found) if not line.startswith(but)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with every file that the pages name."""
    folder = tmp_path / "here"
    shutil.copytree(ROOT / "deploy" / "settings", folder / "deploy" / "settings")
    shutil.copy(ROOT / "deploy" / "settings" / "production.toml", folder)
    for name, make in (("events", an_event), ("outcomes", an_outcome)):
        (folder / f"{name}.jsonl").write_bytes(b"".join(make(f"file-{n}") + b"\n" for n in range(20)))
    generator = Generator(3)
    codes = generator.codes(4_000)
    frame = frame_of(codes)
    frame["ContrabandIndicator"] = generator.outcomes_of(codes)
    frame.to_csv(folder / "stops.csv", index=False)
    frame.head(1_000).to_csv(folder / "real_stops.csv", index=False)
    export = frame.drop(columns=["hour", "day_of_week"]).rename(columns={"SubjectSexCode": "sex"})
    export["sex"] = export["sex"].map({"M": "male", "F": "female"})
    export["SubjectAge"] = export["SubjectAge"].astype(float)
    export["StopNumber"], export["SearchMade"] = range(len(frame)), 1
    export["InterventionDateTime"] = [f"2025-{1 + n * 12 // len(frame):02d}-03 10:00:00" for n in range(len(frame))]
    export.to_csv(folder / "export.csv", index=False)
    (folder / "columns.toml").write_text(next(text for page, text, _ in blocks("toml") if page == "docs/producers.md"))
    return folder


@pytest.fixture
def variables(environment: Environment) -> dict[str, str]:
    """Where Kafka is, and nothing else: the commands stand as they are."""
    return in_the_shell(
        STREAM_SCORER_KAFKA_BOOTSTRAP=environment.bootstrap,
        STREAM_SCORER_TOPICS_PREFIX=environment.settings.topics.prefix,
        STREAM_SCORER_WORKER_STATE_FOLDER=str(environment.state_of("worker")),
    )


def in_the_shell(**more: str) -> dict[str, str]:
    """The variables of somebody who has the console script on the path."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", **more}


def run(line: str, folder: Path, variables: dict[str, str], said: bytes = b"") -> str:
    """Run a line in a shell, to its end; what it printed."""
    ended = subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env=variables,
        input=said,
        capture_output=True,
        timeout=WAIT_S_MAX,
        check=False,
    )
    assert ended.returncode == 0, f"{line}: {ended.returncode}\n{ended.stdout.decode()}\n{ended.stderr.decode()}"
    return ended.stdout.decode()


def run_until_it_works(line: str, folder: Path, variables: dict[str, str]) -> None:
    """Run a worker until it has joined its group, then tell it to end."""
    line = line.replace("--http-port 8080", "--http-port 0")  # a test has no port of its own
    worker = subprocess.Popen(shlex.split(line), cwd=folder, env=variables, stderr=subprocess.PIPE)
    assert worker.stderr is not None
    with worker:
        try:
            seen: list[str] = []
            for said in worker.stderr:
                seen.append(said.decode())
                if JOINED in seen[-1]:
                    break
            else:
                pytest.fail("".join(seen))
            worker.send_signal(signal.SIGTERM)
            worker.stderr.read()
            assert worker.wait(WAIT_S_MAX) == 0
        finally:
            worker.kill()


@pytest.mark.parametrize("page", ["docs/producers.md", "docs/client.md", "docs/deploying.md"])
async def test_what_is_sent_and_asked_while_a_worker_runs(
    page: str, environment: Environment, folder: Path, variables: dict[str, str]
) -> None:
    await environment.start()
    for line in lines_of(page):
        run(line, folder, variables)
    await environment.settled()
    assert (await environment.topics.read()).predictions


async def test_what_operators_ask_of_a_worker_and_then_of_its_state(
    environment: Environment, folder: Path, variables: dict[str, str]
) -> None:
    worker = await environment.start()
    await environment.topics.observe(an_event("0b4c6f4e"), an_event("mended", StatuteReason="stop sign"), b"not json")
    await environment.settled()
    letter = next(record for record in (await environment.topics.read()).letters if record.key == b"mended")
    place = f"{letter.partition}@{letter.offset}"
    asked = [line.text for line in shell_lines() if line.page == "docs/operators.md"]
    assert worker.http_address is not None
    for line in (line for line in asked if not line.startswith("stream-scorer state")):
        said = run(line.replace("localhost:8080", worker.http_address).replace("2@17", place), folder, variables)
        assert said
    assert await stopped(worker) == 0
    for line in lines_of("docs/operators.md"):
        if line.startswith("stream-scorer state"):
            run(line, folder, variables, said=b"y\n")
    assert not environment.lanes_of("worker")


async def test_what_deployers_type(environment: Environment, folder: Path, variables: dict[str, str]) -> None:
    for line in lines_of("docs/deployers.md", "stream-scorer model "):
        if line.startswith("stream-scorer worker"):
            run_until_it_works(line, folder, variables)
        else:
            assert run(line, folder, variables)


async def test_what_deployers_do_with_models(environment: Environment, folder: Path, variables: dict[str, str]) -> None:
    await environment.start()
    run("stream-scorer train stops.csv --out models/stops", folder, variables)
    run("stream-scorer train real_stops.csv --out models/trees --algorithm gradient-boosting", folder, variables)
    run("stream-scorer produce --count 1000 --outcomes 1", folder, variables)
    with playing(folder, variables):  # a lane switches with its next batch
        for line in lines_of("docs/deployers.md"):
            if line.startswith("stream-scorer model "):
                run(line, folder, variables)


@contextmanager
def playing(folder: Path, variables: dict[str, str]) -> Iterator[None]:
    """Observations that come all the time."""
    stream = ["stream-scorer", "produce", "--rate", "50", "--count", "100000"]
    with subprocess.Popen(stream, cwd=folder, env=variables, stdout=subprocess.DEVNULL) as traffic:
        try:
            yield
        finally:
            traffic.kill()


@pytest.mark.parametrize("page", ["docs/model.md", "docs/runbook.md"])
def test_what_needs_no_kafka(page: str, folder: Path) -> None:
    variables = in_the_shell()
    before = set(folder.rglob("*"))
    for line in lines_of(page):
        run(line, folder, variables)
    assert set(folder.rglob("*")) > before


@pytest.fixture
def free_port() -> int:
    """One with two free ones behind it."""
    return next(port for port in range(24_000, 32_000, 10) if all(map(is_free, range(port, port + 3))))


@pytest.mark.parametrize("page", ["README.md", "docs/developers.md"])
def test_a_broker_is_started_and_stopped_by_hand(page: str, tmp_path: Path, free_port: int) -> None:
    """One behind the other in one shell, as they stand on the page; the broker in a folder and on ports of the test."""
    variables = in_the_shell(
        STREAM_SCORER_KAFKA_BOOTSTRAP=f"127.0.0.1:{free_port}",
        STREAM_SCORER_HTTP_PORT="0",
        STREAM_SCORER_CONSOLE_HTTP_PORT="0",
        STREAM_SCORER_WORKER_STATE_FOLDER=str(tmp_path / "state"),
    )
    script = []
    for line in (line.text for line in shell_lines() if line.page == page):
        if line.startswith(STANDING):
            nodes = " --nodes 3" if "--nodes 3" in line else ""
            port = f" --port {free_port}" if "start" in line else ""
            own = tmp_path / ("three" if "three" in line else "one")
            script.append(f"{line.partition(' --')[0]}{nodes} --folder {own}{port}")
        elif page == "README.md" and not line.startswith(("make", "export PATH")):
            script.append(line)
    try:
        run("\n".join(["set -em", *script]), tmp_path, variables)
    finally:
        run("for b in one three; do stream-scorer broker stop --folder $b || true; done", tmp_path, variables)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("line", lines_of("docs/developers.md", *STANDING))
def test_what_developers_play_and_measure(line: str, folder: Path, broker: Broker, prefix: str, tmp_path: Path) -> None:
    variables = in_the_shell(STREAM_SCORER_WORKER_STATE_FOLDER=str(tmp_path / "state"))
    if "models/mine" in line:
        run("stream-scorer train stops.csv --out models/mine", folder, variables)
    if line.startswith("stream-scorer worker"):
        variables |= {"STREAM_SCORER_KAFKA_BOOTSTRAP": broker.bootstrap, "STREAM_SCORER_TOPICS_PREFIX": prefix}
        run("stream-scorer topics apply", folder, variables)
        run_until_it_works(f"{line} --http-port 0", folder, variables)
    else:
        assert run(line, folder, variables)
