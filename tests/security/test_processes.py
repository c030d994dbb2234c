"""What our processes leave on disk is their owner's only, and every signal to end ends them the same way."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stream_scorer.operations.harness.worker_process import WorkerProcess
from stream_scorer.private_files import private_folder, write_private
from stream_scorer.runtime.cluster.topic_admin import apply
from stream_scorer.runtime.settings.settings import load_settings
from tests.integration.broker_sources import Broker

WAIT_S_MAX = 60.0


@contextmanager
def loose_umask() -> Iterator[None]:
    """Under which whatever is made without a thought can be read by everybody."""
    before = os.umask(0o000)
    try:
        yield
    finally:
        os.umask(before)


def open_to_others(folder: Path) -> list[str]:
    """Everything in a folder that somebody else could read, write or list."""
    return [f"{path} {path.stat().st_mode:o}" for path in (folder, *folder.rglob("*")) if path.stat().st_mode & 0o077]


@pytest.fixture
def worker(broker: Broker, prefix: str, tmp_path: Path) -> Iterator[WorkerProcess]:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o755)
    asyncio.run(apply(load_settings(None, {}, {"kafka.bootstrap": broker.bootstrap, "topics.prefix": prefix})))
    environ = {"STREAM_SCORER_WORKER_STATE_FOLDER": str(tmp_path / "new" / "state")}
    with loose_umask():
        made = WorkerProcess(broker.bootstrap, prefix=prefix, folder=folder, environ=environ)
        with made as worker:
            worker.wait_ready()
            yield worker


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_worker_ends_cleanly_by_every_signal_to_end_and_leaves_nothing_open(
    worker: WorkerProcess, tmp_path: Path, number: signal.Signals
) -> None:
    worker.send_signal(signal.SIGUSR1)  # these neither end nor stop it
    worker.send_signal(signal.SIGUSR2)
    worker.send_signal(number)
    assert worker.wait(WAIT_S_MAX) == 0
    assert list((tmp_path / "new" / "state").rglob("lane-*"))
    assert open_to_others(tmp_path / "new") == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_console_ends_cleanly_by_every_signal_to_end(
    broker: Broker, tmp_path: Path, number: signal.Signals
) -> None:
    address = tmp_path / "address"
    command = [sys.executable, "-m", "stream_scorer", "console", "--http-port", "0"]
    command += ["--bootstrap", broker.bootstrap, "--http-address-file", str(address)]
    environ = os.environ | {"STREAM_SCORER_WORKER_STATE_FOLDER": str(tmp_path)}
    with subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + WAIT_S_MAX
        while not address.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(WAIT_S_MAX) == 0


def test_what_is_private_is_so_whatever_the_umask(tmp_path: Path) -> None:
    with loose_umask():
        write_private(tmp_path / "a" / "b" / "file", b"x")
        (tmp_path / "open").mkdir(mode=0o777)
        private_folder(tmp_path / "open")
    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"x"
    assert open_to_others(tmp_path / "a") == []
    assert open_to_others(tmp_path / "open") == []


def test_a_link_that_waits_for_a_private_file_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    (tmp_path / f".file.{os.getpid()}.new").symlink_to(target)
    with pytest.raises(OSError, match="symbolic"):
        write_private(tmp_path / "file", b"x")
    assert not target.exists()
