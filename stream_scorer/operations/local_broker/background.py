"""A broker that stands until it is stopped on purpose: what other programs know of it is a file in its folder."""

import signal
from pathlib import Path

import msgspec
import psutil

from stream_scorer.cache import cache_folder
from stream_scorer.errors import BrokerError, system_words
from stream_scorer.operations.local_broker.cluster import LocalBroker
from stream_scorer.operations.local_broker.distribution import Progress
from stream_scorer.operations.local_broker.metadata_probe import live_nodes
from stream_scorer.operations.local_broker.processes import DetachedProcess
from stream_scorer.operations.local_broker.server_properties import HOST, is_free

REMEMBERED = "broker.json"
USUAL_PORT = 9092
STOP_WITHIN_S = 20.0
PROBE_TIMEOUT_S = 1.0


class StandingNode(msgspec.Struct, frozen=True):
    """One node's process, and where it listens for clients."""

    pid: int
    created: float
    port: int

    @property
    def process(self) -> DetachedProcess:
        return DetachedProcess(self.pid, self.created)

    @property
    def answers(self) -> bool:
        return self.process.running and bool(live_nodes(HOST, self.port, PROBE_TIMEOUT_S))


class BackgroundBroker(msgspec.Struct, frozen=True):
    """A broker that was started on purpose; whether it still runs is another question."""

    version: str
    bootstrap: str
    nodes: tuple[StandingNode, ...]

    @property
    def running(self) -> bool:
        return any(node.process.running for node in self.nodes)

    @property
    def healthy(self) -> bool:
        """Whether every node answers."""
        return all(node.answers for node in self.nodes)


def default_folder() -> Path:
    """Where a broker is that was started without saying where."""
    return cache_folder() / "broker"


def load_state(folder: Path) -> BackgroundBroker | None:
    """The broker that was started in this folder, running or not; None where there was none or it was stopped."""
    try:
        return msgspec.json.decode((folder / REMEMBERED).read_bytes(), type=BackgroundBroker)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise BrokerError(f"{folder / REMEMBERED} can't be read ({system_words(error)}): delete it.") from error


def save_state(folder: Path, broker: LocalBroker) -> BackgroundBroker:
    """Write down what it takes to find and stop this broker."""
    standing = BackgroundBroker(
        version=broker.version,
        bootstrap=broker.bootstrap,
        nodes=tuple(
            StandingNode(node.process.pid, psutil.Process(node.process.pid).create_time(), ports.client)
            for node, ports in zip(broker.nodes, broker.ports, strict=True)
            if node.process is not None
        ),
    )
    (folder / REMEMBERED).write_bytes(msgspec.json.encode(standing))
    return standing


def delete_state(folder: Path) -> None:
    (folder / REMEMBERED).unlink(missing_ok=True)


def refuse_second(folder: Path) -> None:
    """Raise where a broker of this folder runs already."""
    there = load_state(folder)
    if there is not None and there.running:
        raise BrokerError(
            f"a broker runs in {folder} already, at {there.bootstrap}: use or stop it, or choose another folder."
        )


def usual_port(nodes: int) -> int | None:
    """Kafka's usual port, where that and those after it are free, so that people find the broker; else None."""
    return USUAL_PORT if all(is_free(USUAL_PORT + number) for number in range(nodes)) else None


def start_standing(folder: Path, nodes: int, port: int | None, progress: Progress) -> BackgroundBroker:
    """Start a broker that outlives this program."""
    refuse_second(folder)
    broker = LocalBroker(folder, nodes, port or usual_port(nodes), progress=progress)
    broker.start(detached=True)
    return save_state(folder, broker)


def stop_standing(folder: Path) -> bool:
    """Stop the broker of this folder, if it runs, and say whether it did; its data stay."""
    there = load_state(folder)
    if there is None:
        return False
    ran = there.running
    for node in there.nodes:
        node.process.send(signal.SIGCONT)  # a paused one would not hear
        node.process.send(signal.SIGTERM)
    for node in there.nodes:
        if not node.process.ended_within(STOP_WITHIN_S):
            node.process.send(signal.SIGKILL)
            node.process.ended_within(STOP_WITHIN_S)
    delete_state(folder)
    return ran
