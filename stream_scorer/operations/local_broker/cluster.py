"""A Kafka of our own on this machine, one node or several, that lives no longer than the program that started it."""

import shutil
import signal
import tempfile
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from stream_scorer.errors import BrokerError
from stream_scorer.operations.local_broker.node import Node, PortTakenError, java_options, random_id
from stream_scorer.operations.local_broker.parts import Parts, Progress, install_parts
from stream_scorer.operations.local_broker.probe import live_nodes
from stream_scorer.operations.local_broker.properties import HOST, NodePorts, addresses, choose_ports, server_properties
from stream_scorer.operations.local_broker.quick_start import prepare_quick_start, quick_start_options

READY_WITHIN_S = 90.0
LOOK_EVERY_S = 0.02
PROBE_TIMEOUT_S = 2.0
TRIES = 3
HEAP_MIB = 512


def silent(_: str) -> None:
    """Progress for nobody."""


class LocalBroker:
    """Apache Kafka on loopback. `with LocalBroker() as broker: connect(broker.bootstrap)`; all calls are synchronous and return when the thing is done.

    `folder`: where its data stay between starts (default: a temporary one, gone after `stop`). `nodes`: 1 or 3. `port`: of the first node, the others
    follow (default: free ones). `security`: the clients' listener's protocol, with what it needs in `properties`, which go to every node as they are; the
    listener behind `internal_bootstrap` is plain text always. `tuned`: let Java optimise for long loads. `progress` hears what a first start downloads.
    """

    def __init__(
        self,
        folder: Path | None = None,
        nodes: int = 1,
        port: int | None = None,
        *,
        security: str = "PLAINTEXT",
        properties: Mapping[str, str] | None = None,
        tuned: bool = False,
        heap_mib: int = HEAP_MIB,
        progress: Progress = silent,
    ) -> None:
        if nodes < 1:
            raise BrokerError(f"a broker of {nodes} nodes is none: choose 1 or 3.")
        self._asked_folder = folder
        self._asked_nodes = nodes
        self._asked_port = port
        self._security = security
        self._properties = dict(properties or {})
        self._tuned = tuned
        self._heap_mib = heap_mib
        self._progress = progress
        self._temporary: Path | None = None
        self.nodes: tuple[Node, ...] = ()
        self.ports: tuple[NodePorts, ...] = ()
        self.version = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def bootstrap(self) -> str:
        """Where clients connect: "127.0.0.1:port[,…]"."""
        return addresses(self.ports, "client")

    @property
    def internal_bootstrap(self) -> str:
        """The same brokers in plain text and without authentication, whatever the clients' listener asks for."""
        return addresses(self.ports, "internal")

    def start(self, detached: bool = False) -> None:
        """Start every node and wait until all answer. `detached` nodes outlive this program."""
        if self.nodes:
            raise BrokerError("this broker was started already: stop it first.")
        parts = install_parts(self._progress)
        prepare_quick_start(parts, self._progress)
        self.version = parts.version
        try:
            self._start_nodes(parts, self._make_folder(), detached)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End every node; a temporary folder goes with it."""
        for node in self.nodes:
            if self._temporary is None:
                node.send(signal.SIGCONT)
                node.send(signal.SIGTERM)  # all at once: each waits for the others while it leaves
        for node in self.nodes:
            node.stop() if self._temporary is None else node.kill()
        self.nodes = ()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None

    def kill(self, node: int = 0) -> None:
        """End one node at once (SIGKILL), as a power cut would; `restart` brings it back with its data and ports."""
        self.nodes[node].kill()

    def restart(self, node: int = 0) -> None:
        """Start one node again on its ports and data, after `kill` or from running (then it is stopped in order first); returns when it answers."""
        self.nodes[node].stop()
        self._start_node(node)
        self._wait_until_ready((node,), seen=(node,))

    def pause(self, node: int = 0) -> None:
        """Stop one node's clock (SIGSTOP): connections stay open and nothing answers, as in a long stall or behind a black hole."""
        self.nodes[node].send(signal.SIGSTOP)

    def resume(self, node: int = 0) -> None:
        """Let a paused node go on."""
        self.nodes[node].send(signal.SIGCONT)

    def _make_folder(self) -> Path:
        if self._asked_folder is not None:
            return self._asked_folder.absolute()
        self._temporary = Path(tempfile.mkdtemp(prefix="stream-scorer-broker-"))
        return self._temporary

    def _start_nodes(self, parts: Parts, folder: Path, detached: bool) -> None:
        options = [*java_options(self._heap_mib, self._tuned), *quick_start_options(parts)]
        self.nodes = tuple(Node(parts, folder / f"node-{number}", options) for number in range(self._asked_nodes))
        formatted = sorted(folder.glob("node-*/data/meta.properties"))
        if formatted and len(formatted) != len(self.nodes):
            raise BrokerError(
                f"{folder} holds a broker of {len(formatted)} nodes: say so, choose another folder, or delete it."
            )
        cluster_id = random_id()
        everyone = range(len(self.nodes))
        for number, node in enumerate(self.nodes):
            node.format(cluster_id, number)
        for attempt in range(TRIES):
            self.ports = choose_ports(self._asked_nodes, self._asked_port)
            for number in everyone:
                self._start_node(number, detached)
            try:
                self._wait_until_ready(everyone, seen=everyone)
            except PortTakenError:  # by somebody else, between our look and Kafka's
                if attempt == TRIES - 1:
                    raise
                for node in self.nodes:
                    node.kill()
            else:
                return

    def _start_node(self, number: int, detached: bool = False) -> None:
        node = self.nodes[number]
        node.start(
            server_properties(number, self.ports, node.folder / "data", self._security, self._properties), detached
        )

    def _wait_until_ready(self, numbers: Collection[int], seen: Collection[int]) -> None:
        """Wait until each of these nodes answers, and sees at least those others at work."""
        end = time.monotonic() + READY_WITHIN_S
        for number in numbers:
            while not live_nodes(HOST, self.ports[number].internal, PROBE_TIMEOUT_S).issuperset(seen):
                for node in self.nodes:
                    node.raise_if_it_died()
                if time.monotonic() > end:
                    raise BrokerError(
                        f"Kafka does not answer {READY_WITHIN_S:.0f} s after its start: see {self.nodes[number].log}."
                    )
                time.sleep(LOOK_EVERY_S)
