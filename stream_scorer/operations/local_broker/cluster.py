"""A Kafka of our own on this machine, one node or several, that lives no longer than the program that started it."""

import errno
import shutil
import signal
import tempfile
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from stream_scorer.errors import BrokerError, system_words
from stream_scorer.operations.local_broker.distribution import Distribution, Progress, disk_full, install_parts
from stream_scorer.operations.local_broker.metadata_probe import live_nodes
from stream_scorer.operations.local_broker.node import Node, PortTakenError, java_options, random_id
from stream_scorer.operations.local_broker.server_properties import (
    HOST,
    NodePorts,
    addresses,
    choose_ports,
    server_properties,
)
from stream_scorer.operations.local_broker.startup_cache import first_records, prepare_quick_start, quick_start_options

READY_WITHIN_S = 90.0
LOOK_EVERY_S = 0.02
PROBE_TIMEOUT_S = 2.0
TRIES = 3
HEAP_MIB = 512


def silent(_: str) -> None:
    """Progress for nobody."""


def not_started(error: OSError, folder: Path) -> BrokerError:
    """Why the broker's folder is of no use, as what people can do about it."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disk_full(folder)
    return BrokerError(f"the broker's folder {folder} can't be used ({system_words(error)}): choose another.")


class LocalBroker:
    """Apache Kafka on loopback: `with LocalBroker() as broker: connect(broker.bootstrap)`. Calls return when done.

    `folder`: where its data stay between starts (without one: a temporary folder, gone after `stop`). `nodes`: 1 or 3.
    `port`: the first node's, the others' follow (without one: free ones). `properties` go to every node and win over
    ours; `security` is the protocol of the clients' listener, the one behind `internal_bootstrap` stays plain text.
    `advertised`: the `host:port` by which the nodes tell clients to call them, where that is not where they listen.
    `tuned`: let Java optimise, for loads of minutes. `progress` hears what the first start on a machine downloads.
    """

    def __init__(
        self,
        folder: Path | None = None,
        nodes: int = 1,
        port: int | None = None,
        *,
        security: str = "PLAINTEXT",
        properties: Mapping[str, str] | None = None,
        advertised: str | None = None,
        tuned: bool = False,
        heap_mib: int = HEAP_MIB,
        progress: Progress = silent,
    ) -> None:
        if nodes < 1:
            raise BrokerError(f"--nodes {nodes} is not supported: choose 1 or 3.")
        self._asked_folder = folder
        self._node_count = nodes
        self._asked_port = port
        self._security = security
        self._properties = dict(properties or {})
        self._advertised = advertised
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
            self._format_nodes(parts)
            self._start_nodes(detached)
        except OSError as error:
            self.stop()
            raise not_started(error, self._asked_folder or Path(tempfile.gettempdir())) from error
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
        """Start one node again on its ports and data, after `kill` or in order; waits out its broker session (3 s)."""
        self.nodes[node].stop()
        self._start_node(node)
        self._wait_until_ready((node,), seen=(node,))

    def pause(self, node: int = 0) -> None:
        """Stop one node's clock (SIGSTOP): connections stay open and nothing answers, as behind a black hole."""
        self.nodes[node].send(signal.SIGSTOP)

    def resume(self, node: int = 0) -> None:
        """Let a paused node go on."""
        self.nodes[node].send(signal.SIGCONT)

    def _make_folder(self) -> Path:
        if self._asked_folder is not None:
            self._asked_folder.mkdir(parents=True, exist_ok=True)
            return self._asked_folder.absolute()
        self._temporary = Path(tempfile.mkdtemp(prefix="stream-scorer-broker-"))
        return self._temporary

    def _format_nodes(self, parts: Distribution) -> None:
        folder = self._make_folder()
        options = [*java_options(self._heap_mib, self._tuned), *quick_start_options(parts)]
        there = len(list(folder.glob("node-*/data/meta.properties")))
        if there not in (0, self._node_count):
            raise BrokerError(
                f"{folder} holds a broker of {there} node(s): say --nodes {there}, or choose another folder."
            )
        disposable = self._temporary is not None
        self.nodes = tuple(Node(parts, folder / f"node-{n}", options, disposable) for n in range(self._node_count))
        cluster_id = random_id()
        for node in self.nodes:
            node.refuse_second()
        for number, node in enumerate(self.nodes):
            node.format(cluster_id, number, first_records(parts))

    def _start_nodes(self, detached: bool) -> None:
        everyone = range(self._node_count)
        for attempt in range(TRIES):
            self.ports = choose_ports(self._node_count, self._asked_port)
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
        properties = server_properties(
            number, self.ports, node.data, self._security, self._properties, self._advertised
        )
        node.start(properties, detached)

    def _wait_until_ready(self, numbers: Collection[int], seen: Collection[int]) -> None:
        """Wait until each of these nodes answers, and sees at least those others at work."""
        end = time.monotonic() + READY_WITHIN_S
        for number in numbers:
            while not live_nodes(HOST, self.ports[number].internal, PROBE_TIMEOUT_S).issuperset(seen):
                for node in self.nodes:
                    node.raise_if_it_died()
                if time.monotonic() > end:
                    last = self.nodes[number].last_lines()
                    raise BrokerError(f"Kafka does not answer within {READY_WITHIN_S:.0f} s. Its last lines:\n{last}")
                time.sleep(LOOK_EVERY_S)
