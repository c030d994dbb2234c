"""One broker node: a folder, and in it the properties, the program's log, and Kafka's own data. Knows nothing of the other nodes."""

import base64
import signal
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from stream_scorer.errors import BrokerError
from stream_scorer.operations.local_broker.parts import Parts, disk_full
from stream_scorer.operations.local_broker.processes import DetachedProcess, KeptProcess, NodeProcess
from stream_scorer.operations.local_broker.properties import properties_text

BOOTSTRAP = "bootstrap.checkpoint"
STOP_WITHIN_S = 20.0
LOG_LINES_SHOWN = 12


class PortTakenError(BrokerError):
    """Another program took a port after we had found it free."""


def random_id() -> str:
    """An id as Kafka writes them: a UUID in URL-safe base 64 that does not begin with a dash."""
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return text


def java_options(heap_mib: int, tuned: bool) -> list[str]:
    """Serial collector and quick compiler: least memory, quickest start. `tuned` lets Java optimise, which pays after some ten seconds of load."""
    return [
        *([] if tuned else ["-XX:TieredStopAtLevel=1"]),
        "-XX:+UseSerialGC",
        f"-Xmx{heap_mib}m",
        "-Djava.awt.headless=true",
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
    ]


class Node:
    """One Kafka process and what it keeps on disk."""

    def __init__(self, parts: Parts, folder: Path, options: Sequence[str]) -> None:
        self.parts = parts
        self.folder = folder
        self.log = folder / "kafka.log"
        self.process: NodeProcess | None = None
        self._options = options
        self._log_start = 0

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.running

    def format(self, cluster_id: str, number: int) -> None:
        """Make the folder what Kafka's own formatting would make it, its first records copied from the cache; a folder in use is left as it is."""
        logs = self.folder / "data"
        if (logs / "meta.properties").exists():
            return
        metadata = logs / "__cluster_metadata-0"
        metadata.mkdir(parents=True, exist_ok=True)
        (metadata / "00000000000000000000-0000000000.checkpoint").write_bytes(
            (self.parts.folder / BOOTSTRAP).read_bytes()
        )
        identity = {"version": "1", "cluster.id": cluster_id, "node.id": str(number), "directory.id": random_id()}
        (logs / "meta.properties").write_text(properties_text(identity))

    def start(self, properties: Mapping[str, str], detached: bool = False) -> None:
        """Start Kafka; returns at once, long before it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = self.folder / "server.properties"
        settings.write_text(properties_text(properties))
        command = [str(self.parts.java), *self._options, "-cp", self.parts.class_path, "kafka.Kafka", str(settings)]
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            start = DetachedProcess.spawn if detached else KeptProcess
            self.process = start(command, self.folder, log.fileno())

    def send(self, number: signal.Signals) -> None:
        if self.process is not None:
            self.process.send(number)

    def stop(self) -> None:
        """End the node in order (it leaves its cluster, closes its logs), by force where that takes too long."""
        self.send(signal.SIGCONT)  # a paused one would not hear
        self.send(signal.SIGTERM)
        if self.process is not None and not self.process.ended_within(STOP_WITHIN_S):
            self.kill()
        self.process = None

    def kill(self) -> None:
        """End the node this instant, as a power cut would."""
        self.send(signal.SIGKILL)
        if self.process is not None and not self.process.ended_within(STOP_WITHIN_S):
            raise BrokerError(f"process {self.process.pid} does not end even when it is killed: its disk may hang.")
        self.process = None

    def raise_if_it_died(self) -> None:
        """Raise why it ended by itself, as far as its log says; nothing where it runs, or was ended by us."""
        if self.process is None or self.process.running:
            return
        text = self.log.read_bytes()[self._log_start :].decode(errors="replace")
        if "No space left on device" in text:
            raise disk_full(self.folder)
        if "Address already in use" in text:
            raise PortTakenError("another program took one of the broker's ports: start it again.")
        if "Failed to acquire lock on file" in text:
            raise BrokerError(f"another broker runs in {self.folder}: stop it, or choose another folder.")
        lines = [
            line for line in text.splitlines() if line.strip() and not line.startswith("\t")
        ]  # a tab: the lists of all settings
        shown = "\n".join(lines[-LOG_LINES_SHOWN:])
        raise BrokerError(f"Kafka ended by itself while starting. The end of its log, {self.log}:\n{shown}")
