"""Asks a broker in Kafka's own protocol which nodes its cluster has at work: the only proof that it is ready."""

import socket
import struct

METADATA = 3
VERSION = 1
CORRELATION = 1
CLIENT = b"stream-scorer-probe"


def live_nodes(host: str, port: int, timeout_s: float) -> frozenset[int]:
    """The numbers of the nodes that the one at this address sees at work; none where nothing answers as Kafka would."""
    body = struct.pack(f">hhih{len(CLIENT)}si", METADATA, VERSION, CORRELATION, len(CLIENT), CLIENT, 0)  # no topics
    try:
        with socket.create_connection((host, port), timeout_s) as connection:
            connection.sendall(struct.pack(">i", len(body)) + body)
            (size,) = struct.unpack(">i", receive(connection, 4))
            return node_numbers(receive(connection, size))
    except (OSError, struct.error):
        return frozenset()


def node_numbers(answer: bytes) -> frozenset[int]:
    """The node ids in an answer of version 1: correlation, then an array of (id, host, port, rack or null)."""
    _, count = struct.unpack_from(">ii", answer)
    numbers, at = [], 8
    for _ in range(count):
        number, host = struct.unpack_from(">ih", answer, at)
        (rack,) = struct.unpack_from(">h", answer, at + 6 + host + 4)
        numbers.append(number)
        at += 6 + host + 4 + 2 + max(0, rack)
    return frozenset(numbers)


def receive(connection: socket.socket, size: int) -> bytes:
    """Exactly `size` bytes; fewer mean that the other side hung up, which is an OSError like the rest."""
    received = b""
    while len(received) < size:
        chunk = connection.recv(size - len(received))
        if not chunk:
            raise ConnectionResetError("the broker closed the connection")
        received += chunk
    return received
