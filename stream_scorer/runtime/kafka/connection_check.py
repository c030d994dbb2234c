"""Whether Kafka can be used from here, asked before any client starts: a broker answers, lets us in, and every broker
of the cluster can be reached under the name that it gives itself.

Invariant: the answer comes within `CHECKED_WITHIN_S` seconds, whatever the network does, and in words that say what to
do. A client alone would wait for minutes for a broker whose name leads nowhere, or for ever.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from aiokafka import errors
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.protocol.metadata import MetadataRequest

from stream_scorer.errors import OutageError, SettingsError, UserError
from stream_scorer.runtime.kafka.connection_diagnosis import ConnectionRefusal, refusal_of
from stream_scorer.runtime.kafka.descriptors import refuse_without_descriptors

CHECKED_WITHIN_S: Final = 20.0
CONNECT_WAIT_S: Final = 3.0
# A broker that has just died is named until its session ends (9 s by Kafka's default)
GONE_WITHIN_S: Final = 10.0
GONE_POLL_S: Final = 0.5
_ADVERTISE: Final = (
    "Set advertised.listeners on the brokers to names and ports that clients can resolve and reach, or make these "
    "known here."
)


class Address(NamedTuple):
    """Where a broker is."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


async def reach(options: Mapping[str, Any], *clients: Any) -> str:
    """Check the connection; point these clients, not yet started, to brokers that were reached, and give them as
    `host:port,…`. `options`: how to connect, as for any Kafka client.

    Raises SettingsError where the settings are at fault, OutageError where nothing answers or a broker can't be
    reached under its own name."""
    security = {name: value for name, value in options.items() if name != "bootstrap_servers"}
    given = str(options["bootstrap_servers"])
    addresses = [Address(host, port) for host, port, _ in collect_hosts(given)]
    try:
        async with asyncio.timeout(CHECKED_WITHIN_S):
            reached = ",".join(map(str, await _reached(addresses, given, security)))
    except TimeoutError:
        raise OutageError(
            f"Kafka does not answer at {given}: no connection within {CHECKED_WITHIN_S:.0f} s. Is it running, and are "
            "the [kafka] settings correct?"
        ) from None
    for client in clients:
        client._client._bootstrap_servers = reached  # read once, by the client's own start
    return reached


async def _reached(addresses: list[Address], given: str, security: Mapping[str, Any]) -> list[Address]:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + GONE_WITHIN_S
    while True:
        entrance, named = await _enter(addresses, given, security)
        refusals = await _refusals(named, entrance, security)
        unreachable = {address: refusal for address, refusal in refusals.items() if refusal is not None}
        if not unreachable:
            return list(refusals)
        if len(unreachable) == len(refusals) or loop.time() >= deadline:
            raise _unreachable(entrance, unreachable, len(refusals))
        await asyncio.sleep(GONE_POLL_S)


async def _enter(
    addresses: Sequence[Address], given: str, security: Mapping[str, Any]
) -> tuple[Address, list[Address]]:
    """The first address that answers, and what the brokers call themselves there."""
    asked = {asyncio.ensure_future(_ask(address, security)): address for address in addresses}
    refusals: dict[Address, ConnectionRefusal] = {}
    try:
        for answer in asyncio.as_completed(asked):
            address, said = await answer
            if not isinstance(said, ConnectionRefusal):
                return address, said
            refusals[address] = said
    finally:
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    raise _refused(refusals, given)


async def _ask(address: Address, security: Mapping[str, Any]) -> tuple[Address, list[Address] | ConnectionRefusal]:
    async def brokers(connection: Any) -> list[Address]:
        metadata = await connection.send(MetadataRequest([]))
        return [Address(host, port) for _, host, port, *_ in metadata.brokers]

    said = await _connected(address, security, brokers)
    return address, ConnectionRefusal("it lists no broker yet: it is starting") if said == [] else said


async def _refusals(
    named: Sequence[Address], entrance: Address, security: Mapping[str, Any]
) -> dict[Address, ConnectionRefusal | None]:
    async def nothing(_: Any) -> None:
        return None

    others = [address for address in dict.fromkeys(named) if address != entrance]
    found = await asyncio.gather(*(_connected(address, security, nothing) for address in others))
    return dict(zip(others, found, strict=True)) | dict.fromkeys(set(named) - set(others))


async def _connected(
    address: Address, security: Mapping[str, Any], ask: Callable[[Any], Awaitable[Any]]
) -> Any | ConnectionRefusal:
    """What `ask` gets on a connection to a broker, or why there is none."""
    if not await _is_known(address):
        refuse_without_descriptors()
        return ConnectionRefusal(f"the name {address.host} is not known here (DNS, /etc/hosts)")
    wait_ms = int(CONNECT_WAIT_S * 1000)
    try:
        async with asyncio.timeout(CONNECT_WAIT_S):
            connection = await create_conn(address.host, address.port, request_timeout_ms=wait_ms, **security)
            try:
                return await ask(connection)
            finally:
                connection.close()
    except (OSError, errors.KafkaError, ValueError, AssertionError) as error:  # all that it raises on what is no broker
        refuse_without_descriptors()
        return await refusal_of(error, address.host, address.port, security)


async def _is_known(address: Address) -> bool:
    """Whether the host's name leads to an address. In a thread that nobody waits for: a resolver may take a minute."""
    loop = asyncio.get_running_loop()
    known = loop.create_future()

    def say(is_known: bool) -> None:
        if not known.done():
            known.set_result(is_known)

    def resolve() -> None:
        try:
            socket.getaddrinfo(*address, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            is_known = False
        else:
            is_known = True
        with contextlib.suppress(RuntimeError):  # who asked may have ended meanwhile, and the loop with it
            loop.call_soon_threadsafe(say, is_known)

    threading.Thread(target=resolve, daemon=True).start()
    try:
        async with asyncio.timeout(CONNECT_WAIT_S):
            return bool(await known)
    except TimeoutError:
        return False


def _refused(refusals: Mapping[Address, ConnectionRefusal], given: str) -> UserError:
    for address, refusal in refusals.items():
        if refusal.settings:
            return SettingsError(f"Kafka at {address} can't be used: {refusal.what}")
    if len(refusals) == 1:
        (why,) = (refusal.what for refusal in refusals.values())
    else:
        why = "; ".join(f"{address}: {refusal.what}" for address, refusal in refusals.items())
    return OutageError(
        f"Kafka does not answer at {given}: no connection ({why}). Is it running, and are the [kafka] settings correct?"
    )


def _unreachable(entrance: Address, unreachable: Mapping[Address, ConnectionRefusal], brokers: int) -> OutageError:
    said = "; ".join(
        f"{address}, which can't be reached from here ({why.what})" for address, why in unreachable.items()
    )
    if brokers == 1:
        return OutageError(f"A broker answers at {entrance} but calls itself {said}. {_ADVERTISE}")
    return OutageError(
        f"A broker answers at {entrance}, but {len(unreachable)} of {brokers} brokers call themselves {said}. "
        f"{_ADVERTISE}"
    )
