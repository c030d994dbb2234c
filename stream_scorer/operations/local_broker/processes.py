"""The two ways a node's process is held: kept (it ends when we do, however) and detached (it stays until stopped)."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from stream_scorer.errors import BrokerError

KEEPER = Path(__file__).with_name("watchdog.py")
LOOK_EVERY_S = 0.05
# a spawn can set everything but the working directory
START_IN_FOLDER = "import os, sys; os.chdir(sys.argv[1]); os.execv(sys.argv[2], sys.argv[2:])"


class SupervisedProcess:
    """A command below a keeper (`watchdog.py`), which ends it when we are gone, and then may delete its folder."""

    def __init__(self, command: Sequence[str], folder: Path, log: int, delete_folder: bool) -> None:
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", str(KEEPER), str(folder) if delete_folder else "", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            bufsize=0,
            cwd=folder,
            start_new_session=True,  # Ctrl-C in a terminal reaches a whole session; the owner decides when this ends
        )
        assert self._keeper.stdout is not None
        line = self._keeper.stdout.readline()
        if not line:
            self._keeper.wait()
            self._close_pipes()
            raise BrokerError(f"{command[0]} can't be started: is it a program for this machine?")
        self.pid = int(line)

    @property
    def running(self) -> bool:
        return self._keeper.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send it a signal and wait until it was sent; does nothing where it has ended."""
        assert self._keeper.stdin is not None
        assert self._keeper.stdout is not None
        if self._keeper.stdin.closed:
            return
        try:
            self._keeper.stdin.write(bytes([number]))
        except BrokenPipeError:
            return
        self._keeper.stdout.read(1)  # comes at once: the signal was sent, or the keeper has ended

    def ended_within(self, seconds: float) -> bool:
        """Wait for its end, so long at most; says whether it came."""
        try:
            self._keeper.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        self._close_pipes()
        return True

    def _close_pipes(self) -> None:
        for pipe in (self._keeper.stdin, self._keeper.stdout):
            assert pipe is not None
            pipe.close()


class DetachedProcess:
    """A process of nobody's, known by its id and the moment of its creation: ids are used again, the pair is not."""

    def __init__(self, pid: int, created: float) -> None:
        self.pid = pid
        self.created = created

    @classmethod
    def spawn(cls, command: Sequence[str], folder: Path, log: int) -> "DetachedProcess":
        """Start the command in a session of its own, with nothing of ours open but the log."""
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", "-c", START_IN_FOLDER, str(folder), *command],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, log, 1),
                (os.POSIX_SPAWN_DUP2, log, 2),
            ],
            setsid=True,
        )
        return cls(pid, psutil.Process(pid).create_time())

    @property
    def running(self) -> bool:
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) < LOOK_EVERY_S
            return bool(same and process.status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; does nothing where it has ended."""
        if self.running:
            os.kill(self.pid, number)

    def ended_within(self, seconds: float) -> bool:
        """Wait for its end, so long at most; says whether it came."""
        end = time.monotonic() + seconds
        while self.running:
            if time.monotonic() > end:
                return False
            time.sleep(LOOK_EVERY_S)
        return True
