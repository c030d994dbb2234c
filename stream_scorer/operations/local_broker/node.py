"""One broker node: a folder, in it its settings, its log and Kafka's own data. Knows nothing of the other nodes."""

import base64
import fcntl
import shutil
import signal
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from stream_scorer.errors import BrokerError
from stream_scorer.operations.local_broker.distribution import Distribution, disk_full
from stream_scorer.operations.local_broker.processes import DetachedProcess, SupervisedProcess
from stream_scorer.operations.local_broker.server_properties import properties_text

FIRST_RECORDS = Path("__cluster_metadata-0", "00000000000000000000-0000000000.checkpoint")
STOP_WITHIN_S = 20.0
LOG_LINES_SHOWN = 12
FREE_BYTES_MIN = 1024 * 1024


class PortTakenError(BrokerError):
    """Another program took a port after we had found it free."""


def random_id() -> str:
    """An id as Kafka writes them: a UUID in URL-safe base 64 that does not begin with a dash."""
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return text


def java_options(heap_mib: int, tuned: bool) -> list[str]:
    """Serial collector, quick compiler: least memory, quickest start. `tuned`: the compiler that pays over minutes."""
    return [
        *([] if tuned else ["-XX:TieredStopAtLevel=1"]),
        "-XX:+UseSerialGC",
        f"-Xmx{heap_mib}m",
        "-Djava.awt.headless=true",
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
    ]


class Node:
    """One Kafka process and what it keeps on disk. With `disposable`, the folder goes if the owner dies first."""

    def __init__(self, parts: Distribution, folder: Path, options: Sequence[str], disposable: bool = False) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.log = folder / "kafka.log"
        self.process: SupervisedProcess | DetachedProcess | None = None
        self._parts = parts
        self._options = options
        self._disposable = disposable
        self._log_start = 0

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.running

    @property
    def formatted(self) -> bool:
        return (self.data / "meta.properties").exists()

    def refuse_second(self) -> None:
        """Raise where another Kafka has this folder's data; it holds a lock on them as long as it runs."""
        lock = self.data / ".lock"
        if not lock.exists():
            return
        with lock.open("r+b") as held:
            try:
                fcntl.lockf(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise BrokerError(
                    f"another broker runs in {self.folder}: stop it, or choose another folder."
                ) from error

    def format(self, cluster_id: str, number: int, first_records: Path) -> None:
        """Make the folder what Kafka's own formatting would make it; one that is in use already stays as it is."""
        if self.formatted:
            return
        (self.data / FIRST_RECORDS).parent.mkdir(parents=True, exist_ok=True)
        (self.data / FIRST_RECORDS).write_bytes(first_records.read_bytes())
        identity = {"version": "1", "cluster.id": cluster_id, "node.id": str(number), "directory.id": random_id()}
        (self.data / "meta.properties").write_text(properties_text(identity))

    def start(self, properties: Mapping[str, str], detached: bool = False) -> None:
        """Start Kafka; returns at once, long before it answers."""
        settings = self.folder / "server.properties"
        settings.write_text(properties_text(properties))
        command = [str(self._parts.java), *self._options, "-cp", self._parts.class_path, "kafka.Kafka", str(settings)]
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            if detached:
                self.process = DetachedProcess.spawn(command, self.folder, log.fileno())
            else:
                self.process = SupervisedProcess(command, self.folder, log.fileno(), delete_folder=self._disposable)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; does nothing where it does not run."""
        if self.process is not None:
            self.process.send(number)

    def wait(self, seconds: float) -> bool:
        """Wait for its end, so long at most; says whether it came."""
        return self.process is None or self.process.ended_within(seconds)

    def stop(self) -> None:
        """End the node in order (it leaves its cluster, closes its logs), by force where that takes too long."""
        self.send(signal.SIGCONT)  # a paused one would not hear
        self.send(signal.SIGTERM)
        if not self.wait(STOP_WITHIN_S):
            self.kill()
        self.process = None

    def kill(self) -> None:
        """End the node this instant, as a power cut would."""
        self.send(signal.SIGKILL)
        if self.process is not None and not self.wait(STOP_WITHIN_S):
            raise BrokerError(f"process {self.process.pid} does not end even when it is killed: its disk may hang.")
        self.process = None

    def raise_if_it_died(self) -> None:
        """Raise why it ended by itself, as far as its log says; nothing where it runs, or was ended by us."""
        if self.process is None or self.process.running:
            return
        text = self.said_since_start()
        # the free space too: the sentence that says so may not have fitted on the disk itself
        if "No space left on device" in text or shutil.disk_usage(self.folder).free < FREE_BYTES_MIN:
            raise disk_full(self.folder)
        if "Address already in use" in text:
            raise PortTakenError(
                "another program took one of the broker's ports in the meantime: start the broker again."
            )
        raise BrokerError(f"Kafka ended by itself. Its last lines:\n{self.last_lines()}")

    def said_since_start(self) -> str:
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def last_lines(self) -> str:
        """The end of the log, without the lists of all settings (their lines begin with a tab) and the stack traces."""
        lines = [line for line in self.said_since_start().splitlines() if line.strip() and not line.startswith("\t")]
        return "\n".join(lines[-LOG_LINES_SHOWN:])
