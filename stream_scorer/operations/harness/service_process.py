"""A command of ours that serves HTTP, as a child process: started, awaited until ready, measured, stopped or killed. It
is only ever seen from outside.
"""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from stream_scorer.errors import OutageError, UserError

READY_WAIT_S_MAX = 60.0
STOP_WAIT_S_MAX = 40.0
LOG_LINES_SHOWN = 8
LOG_LINE_CHARACTERS_MAX = 300
POLL_S = 0.02


class ServiceProcess:
    """`stream-scorer <kind> …` in a session of its own, so that Ctrl-C in the terminal reaches only whoever supervises
    it. Its log goes to a file in `folder`, which outlives it.
    """

    def __init__(
        self,
        kind: str,
        arguments: Sequence[str],
        *,
        folder: Path,
        name: str,
        http_port: int = 0,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.kind, self.folder = kind, folder
        self.log_path = folder / f"{name}.log"
        self._address_path = folder / f"{name}.address"
        self._environ = dict(environ or {})
        self._process: subprocess.Popen[bytes] | None = None
        self.command = [sys.executable, "-m", "stream_scorer", kind]
        self.command += ["--http-port", str(http_port), "--http-address-file", str(self._address_path)]
        self.command += arguments

    def start(self) -> Self:
        """Start the process; does not wait for it. The log of an earlier start is kept, the new one goes behind it."""
        self._address_path.unlink(missing_ok=True)
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self._environ},
                start_new_session=True,
            )
        return self

    def wait_ready(self, timeout_s: float = READY_WAIT_S_MAX) -> None:
        """Return once /readyz answers 200. OutageError with the last log lines when the process ends or the time is
        over.
        """
        deadline = time.monotonic() + timeout_s
        while not self.is_ready():
            status = self.exit_status()
            if status is not None:
                raise OutageError(
                    f"the {self.kind} ended with exit status {status} before it was ready; {self.last_words()}"
                )
            if time.monotonic() > deadline:
                raise OutageError(f"the {self.kind} was not ready within {timeout_s:.0f} s; {self.last_words()}")
            time.sleep(POLL_S)

    @property
    def is_started(self) -> bool:
        return self._process is not None

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def http_address(self) -> str | None:
        """`host:port` of what it serves; None until it listens."""
        try:
            text = self._address_path.read_text()
        except FileNotFoundError:
            return None
        return text.strip() if text.endswith("\n") else None

    def keep_port(self) -> None:
        """Use the same port at each restart, for clients that know its address."""
        assert self.http_address is not None, "it has no address before it is ready"
        self.command[self.command.index("--http-port") + 1] = self.http_address.rpartition(":")[2]

    def is_ready(self) -> bool:
        return self.http_address is not None and self.http_status("/readyz") == 200

    def http_status(self, path: str) -> int | None:
        """What GET on its web server answers; None when nothing answers."""
        try:
            with urllib.request.urlopen(f"http://{self.http_address}{path}", timeout=2) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refusal:
            return refusal.code
        except OSError:
            return None

    def exit_status(self) -> int | None:
        """None while it runs; negative when a signal ended it."""
        return self._running().poll()

    def wait(self, timeout_s: float = STOP_WAIT_S_MAX) -> int:
        """Wait for its end; its exit status. OutageError when it goes on running."""
        try:
            return self._running().wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise OutageError(f"the {self.kind} did not end within {timeout_s:.0f} s; {self.last_words()}") from None

    def stop(self, timeout_s: float = STOP_WAIT_S_MAX) -> int:
        """SIGTERM, and wait for the end; SIGKILL when it takes longer than `timeout_s`. Its exit status."""
        self.send_signal(signal.SIGTERM)
        try:
            return self._running().wait(timeout_s)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """SIGKILL: nothing of it gets a chance to clean up."""
        self.send_signal(signal.SIGKILL)
        return self._running().wait(STOP_WAIT_S_MAX)

    def pause(self) -> None:
        """SIGSTOP: it stands still, its connections stay open."""
        self.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.send_signal(signal.SIGCONT)

    def send_signal(self, number: signal.Signals) -> None:
        """Nothing happens when it has ended already."""
        self._running().send_signal(number)

    def cpu_seconds(self) -> float:
        """User and system time so far, of a process that still runs."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)

    def memory_bytes(self) -> int:
        """The memory that is resident now."""
        return int(psutil.Process(self.pid).memory_info().rss)

    def memory_peak_bytes(self) -> int:
        """The most memory that was ever resident (VmHWM); where the system does not tell, what is resident now."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except FileNotFoundError:
            return self.memory_bytes()
        return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def last_words(self) -> str:
        """Where its log is, and its last error in it, or else its last lines."""
        lines = [line[:LOG_LINE_CHARACTERS_MAX] for line in self.log().splitlines()]
        errors = [number for number, line in enumerate(lines) if " ERROR " in line]
        shown = lines[errors[-1] :][:LOG_LINES_SHOWN] if errors else lines[-LOG_LINES_SHOWN:]
        return f"its log is {self.log_path}" + (", and says:\n  " + "\n  ".join(shown) if shown else " (empty)")

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise NotStartedError(f"the {self.kind} process was not started: call start() first")
        return self._process

    def __enter__(self) -> Self:
        if self._process is None:
            self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.exit_status() is None:
            self.resume()
            self.stop()


class NotStartedError(UserError):
    """Something was asked of a process that was never started."""
