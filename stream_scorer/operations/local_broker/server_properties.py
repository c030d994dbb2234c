"""The configuration of a node (Kafka's `server.properties`) and its ports: plain values, nothing is started here."""

import random
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stream_scorer.errors import BrokerError

HOST = "127.0.0.1"

# Below the range from which kernels take ports for outgoing connections (Linux: 32768 on). A client that keeps trying
# to reach a broker that is down could otherwise be given the broker's very port, connect to itself, and keep the broker
# from ever binding it again.
FREE_PORTS = range(20_000, 32_000)


@dataclass(frozen=True)
class NodePorts:
    """Where one node listens: for clients, for the other nodes (and us, in plain text always), and as a controller."""

    client: int
    internal: int
    controller: int


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # as Java does: connections that linger in TIME_WAIT don't count
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def choose_ports(nodes: int, port: int | None) -> tuple[NodePorts, ...]:
    """Ports for each node; with `port`, the clients' are that and those after it, and must be free."""
    wanted = [] if port is None else [port + number for number in range(nodes)]
    for number in wanted:
        if not 0 < number < 65_536:
            raise BrokerError(f"{number} is not a port: choose one from 1 to 65535.")
        if not is_free(number):
            raise BrokerError(f"port {number} is taken by another program: stop that one, or choose another port.")
    free = (number for number in random.sample(FREE_PORTS, len(FREE_PORTS)) if number not in wanted and is_free(number))
    clients = wanted or [next(free) for _ in range(nodes)]
    return tuple(NodePorts(client, next(free), next(free)) for client in clients)


def addresses(ports: tuple[NodePorts, ...], listener: str) -> str:
    return ",".join(f"{HOST}:{getattr(node, listener)}" for node in ports)


def server_properties(
    node: int,
    ports: tuple[NodePorts, ...],
    log_folder: Path,
    security: str,
    extra: Mapping[str, str],
    advertised: str | None = None,
) -> dict[str, str]:
    """The properties of node number `node` (from 0) of the cluster; `extra` wins over everything. `advertised`: what it
    tells clients to call it by, where that is not where it listens."""
    own = ports[node]
    copies = str(len(ports))
    in_sync = str(max(1, len(ports) - 1))
    client, internal = f"CLIENT://{HOST}:{own.client}", f"INTERNAL://{HOST}:{own.internal}"
    return {
        "process.roles": "broker,controller",
        "node.id": str(node),
        "controller.quorum.voters": ",".join(f"{number}@{HOST}:{each.controller}" for number, each in enumerate(ports)),
        "listeners": f"{client},{internal},CONTROLLER://{HOST}:{own.controller}",
        "advertised.listeners": f"{f'CLIENT://{advertised}' if advertised else client},{internal}",
        "listener.security.protocol.map": f"CLIENT:{security},INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "INTERNAL",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str(log_folder),
        "auto.create.topics.enable": "false",  # a misspelt topic must fail, not appear
        "num.partitions": "4",
        "default.replication.factor": copies,
        "min.insync.replicas": in_sync,
        # few partitions: each is a folder to make and a log to load at every start
        "offsets.topic.num.partitions": "4",
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.num.partitions": "4",
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.num.partitions": "1",
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": in_sync,
        "group.initial.rebalance.delay.ms": "0",
        # a node that was killed may not come back before its session has ended; Kafka's own 9 s are for networks
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        "num.network.threads": "2",
        "num.io.threads": "4",
        "log.cleaner.dedupe.buffer.size": str(
            8 * 1024 * 1024
        ),  # of the heap, at once; Kafka's own 128 MiB are for large machines
        **extra,
    }


def properties_text(properties: Mapping[str, str]) -> str:
    """In the format of Java's property files (in which a backslash is an escape)."""
    return "".join(f"{name}={value}\n".replace("\\", "\\\\") for name, value in properties.items())
