"""A model in a process of its own: loaded there, and asked there unless it is additive.

Invariant: loading holds nobody's interpreter but the child's, and a child that hangs, dies or runs out of memory takes
nothing with it: whoever waits for it waits for a bounded time, then it is killed.

An additive model is its two tables: the child compiles it, sends them and ends. Any other stays there. Questions and
answers are arrays over a pair of sockets, in pieces that the socket holds, so that sending never waits for a child that
does not read.
"""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Collection
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from stream_scorer.errors import ModelError
from stream_scorer.models.dataframes import Codes
from stream_scorer.models.registry.model_directory import load_model
from stream_scorer.models.serving.lookup_table_cache import BYTES, UPPER_CODES, encode_tables
from stream_scorer.models.serving.lookup_tables import Additive
from stream_scorer.models.serving.predict import Floats, Predict
from stream_scorer.models.serving.prediction_cache import PredictionCache

# Compiling a hundred trees and checking them takes seconds; on a machine that is busy, many
LOAD_S_MAX: Final = 120.0
# 32 KiB, a fraction of what a socket holds
ROWS_AT_ONCE: Final = 4_096
ANSWER, RAISED = b"\x00", b"\x01"


class HostedModel(NamedTuple):
    """A model that was loaded by a process of its own. `process`: where it lives on, None where it is additive."""

    name: str
    digest: str
    threshold: float
    predict: Predict
    card: dict[str, Any]
    process: "ModelProcess | None"


class ModelTimeoutError(Exception):
    """A model did not answer in time; its process was killed."""


class ModelProcess:
    """A child with one model. Call it from a thread that may wait; one question at a time."""

    def __init__(self, folder: Path, trusted_types: Collection[str], timeout_s: float) -> None:
        """Starts the child; `timeout_s`: within which a batch must be answered."""
        self.timeout_s = timeout_s
        self._folder, self._trusted_types = folder, sorted(trusted_types)
        self._lock = threading.Lock()
        self._start()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._child = subprocess.Popen(
                [
                    *(sys.executable, "-W", "ignore", "-m", __name__),
                    *(str(theirs.fileno()), str(self._folder), json.dumps(self._trusted_types)),
                ],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
            )
        self._connection = Connection(ours.detach())

    def restart(self) -> None:
        """Begin anew with another child, and wait until it has loaded the model. Raises `ModelError`."""
        self.close()
        with self._lock:
            self._start()
            self.loaded()

    def loaded(self) -> dict[str, Any]:
        """What the child says of the model that it has loaded. Raises `ModelError`."""
        try:
            said: dict[str, Any] = json.loads(self.receive(LOAD_S_MAX))
        except (EOFError, ModelTimeoutError) as error:
            self.close()
            raise ModelError(f"{self._folder} can't be loaded: {error}. Is there memory enough for it?") from error
        if (fault := said.get("fault")) is not None:
            self.close()
            raise ModelError(fault)
        return said

    @property
    def is_alive(self) -> bool:
        return self._child.poll() is None

    @property
    def pid(self) -> int:
        return self._child.pid

    def receive(self, wait_s: float) -> bytes:
        """What the child says next. Raises `ModelTimeoutError`, and `EOFError` where it has died."""
        try:
            if self._connection.poll(max(0.0, wait_s)):
                return self._connection.recv_bytes()
        except OSError as error:
            raise EOFError(f"its process has ended ({error})") from error
        self.close()
        raise ModelTimeoutError(f"no answer within {wait_s:.1f} s")

    def __call__(self, codes: Codes) -> Floats:
        """The probabilities of these codes, shape (n,) in and out. Raises what the model raised, under its name,
        `ModelTimeoutError`, or `EOFError` where its process has ended."""
        deadline_s = time.monotonic() + self.timeout_s
        answers = [np.empty(0)]
        with self._lock:
            for begin in range(0, len(codes), ROWS_AT_ONCE):
                try:
                    self._connection.send_bytes(codes[begin : begin + ROWS_AT_ONCE].astype("<i8").tobytes())
                except OSError as error:
                    raise EOFError(f"its process has ended ({error})") from error
                answer = self.receive(deadline_s - time.monotonic())
                if answer[:1] == RAISED:
                    kind, _, message = answer[1:].decode(errors="replace").partition(": ")
                    raise type(kind, (Exception,), {})(message)
                answers.append(np.frombuffer(answer, dtype="<f8", offset=1))
        return np.concatenate(answers)

    def close(self) -> None:
        """Kill the child; nothing of it is waited for but its end."""
        self._child.kill()
        self._child.wait()
        self._connection.close()


def host_model(folder: Path, trusted_types: Collection[str] = (), *, timeout_s: float) -> HostedModel:
    """Load a model directory in a process of its own; to be called from a thread. Raises `ModelError`."""
    process = ModelProcess(folder, trusted_types, timeout_s)
    said = process.loaded()
    try:
        tables = process.receive(LOAD_S_MAX) if said["form"] == "additive" else None
    except (EOFError, ModelTimeoutError) as error:
        process.close()
        raise ModelError(f"{folder} has sent no tables: {error}. Is there memory enough for it?") from error
    name, digest, threshold, card = said["name"], said["digest"], said["threshold"], said["card"]
    if tables is None:
        return HostedModel(name, digest, threshold, PredictionCache(process), card, process)
    process.close()
    if len(tables) != BYTES:
        raise ModelError(f"{folder} has tables of {len(tables)} bytes, not {BYTES}: train it again")
    floats = np.frombuffer(tables, dtype="<f8").astype(np.float64)
    return HostedModel(name, digest, threshold, Additive(floats[:UPPER_CODES], floats[UPPER_CODES:]), card, None)


def _serve(connection: Connection, folder: Path, trusted_types: Collection[str]) -> None:
    """The child's whole life: load, say so, answer until the other side is gone."""
    try:
        model = load_model(folder, trusted_types)
    except ModelError as error:
        connection.send_bytes(json.dumps({"fault": str(error)}).encode())
        return
    said = {"name": model.name, "digest": model.digest, "threshold": model.threshold, "form": model.form}
    connection.send_bytes(json.dumps({**said, "card": model.card}).encode())
    if isinstance(model.score, Additive):
        connection.send_bytes(encode_tables(model.score))
        return
    while True:
        codes = np.frombuffer(connection.recv_bytes(), dtype="<i8")
        try:
            answer = ANSWER + np.asarray(model.score(codes), dtype="<f8").tobytes()
        except Exception as error:  # whatever a model raises is about the rows it was given
            answer = RAISED + f"{type(error).__name__}: {error}".encode()[:4_096]
        connection.send_bytes(answer)


if __name__ == "__main__":
    # a Ctrl-C reaches the whole group of processes: the worker still needs its model for the batch under way
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        _serve(Connection(int(sys.argv[1])), Path(sys.argv[2]), json.loads(sys.argv[3]))
    except (EOFError, OSError):
        sys.exit(0)
