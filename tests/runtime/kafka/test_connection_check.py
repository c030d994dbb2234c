"""A broker that can't be used is told within seconds, with what is wrong and what to do."""

import asyncio
import contextlib
import os
import resource
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import trustme

from stream_scorer.errors import LimitError, OutageError, SettingsError
from stream_scorer.operations.harness.worker_process import WorkerProcess
from stream_scorer.operations.local_broker import LocalBroker
from stream_scorer.runtime.kafka.client import client_options
from stream_scorer.runtime.kafka.connection_check import CHECKED_WITHIN_S, reach
from stream_scorer.runtime.settings.settings import load_settings
from tests.integration.broker_sources import Broker
from tests.support.workers import ended

# No address of this network leads anywhere (RFC 5737); a listening socket whose queue is full drops what comes
UNKNOWN_NAME = "broker-0.internal.invalid"
COMMAND_WAIT_S = 60.0

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextmanager
def a_closed_port() -> Iterator[int]:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@contextmanager
def a_black_hole() -> Iterator[int]:
    """A port whose queue of connections is full: what comes further is dropped without a word."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        port: int = listening.getsockname()[1]
        for _ in range(8):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        time.sleep(0.1)
        yield port


@asynccontextmanager
async def a_server(serve: Serve, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


def options_for(bootstrap: str, **kafka: str) -> dict[str, object]:
    given = {"kafka.bootstrap": bootstrap, **{f"kafka.{name}": value for name, value in kafka.items()}}
    return client_options(load_settings(None, {}, given).kafka)


async def told(bootstrap: str, kind: type[Exception], **kafka: str) -> str:
    began_s = time.monotonic()
    with pytest.raises(kind) as refused:
        await reach(options_for(bootstrap, **kafka))
    assert time.monotonic() - began_s < CHECKED_WITHIN_S + 5
    return str(refused.value)


# One address


async def test_a_broker_that_answers_is_reached(broker: Broker) -> None:
    assert await reach(options_for(broker.bootstrap)) == broker.bootstrap


async def test_an_address_that_leads_nowhere_beside_one_that_does_is_no_fault(broker: Broker) -> None:
    with a_closed_port() as closed, a_black_hole() as hole:
        bootstrap = f"127.0.0.1:{hole},127.0.0.1:{closed},{UNKNOWN_NAME}:9092,{broker.bootstrap}"
        assert await reach(options_for(bootstrap)) == broker.bootstrap


async def test_a_port_that_nobody_listens_at(broker: Broker) -> None:
    with a_closed_port() as port:
        said = await told(f"127.0.0.1:{port}", OutageError)
    assert said.startswith(f"Kafka does not answer at 127.0.0.1:{port}: no connection (the connection is refused")


async def test_a_port_that_drops_what_comes() -> None:
    with a_black_hole() as port:
        assert "packets are lost" in await told(f"127.0.0.1:{port}", OutageError)


async def test_a_name_that_is_not_known() -> None:
    assert f"the name {UNKNOWN_NAME} is not known here" in await told(f"{UNKNOWN_NAME}:9092", OutageError)


async def test_every_address_is_told_where_none_answers() -> None:
    with a_closed_port() as port:
        said = await told(f"127.0.0.1:{port},{UNKNOWN_NAME}:9092", OutageError)
    assert "the connection is refused" in said
    assert "is not known here" in said


async def test_a_port_of_a_web_server() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with a_server(serve) as port:
        assert "answers in HTTP, so it is not a broker" in await told(f"127.0.0.1:{port}", SettingsError)


@pytest.mark.parametrize("hangs_up", [True, False], ids=["hangs up", "says nothing"])
async def test_a_port_of_something_else(hangs_up: bool) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not hangs_up and await reader.read(100):
            pass
        writer.close()

    async with a_server(serve) as port:
        said = await told(f"127.0.0.1:{port}", Exception)
    assert "it is stuck, or not a broker" in said


async def test_plain_text_to_a_port_that_speaks_tls(broker: Broker) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.close()

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with a_server(serve, context) as port:
        said = await told(f"127.0.0.1:{port}", SettingsError)
    assert "it speaks TLS, and kafka.security_protocol is PLAINTEXT" in said


@pytest.mark.parametrize("protocol", ["SSL", "SASL_SSL"])
async def test_tls_to_a_broker_in_plain_text(broker: Broker, protocol: str) -> None:
    user = {"sasl_username": "u", "sasl_password": "p"} if protocol == "SASL_SSL" else {}
    said = await told(broker.bootstrap, SettingsError, security_protocol=protocol, **user)
    assert f"it does not speak TLS, and kafka.security_protocol is {protocol}" in said


async def test_a_user_for_a_broker_that_asks_for_none(broker: Broker) -> None:
    said = await told(
        broker.bootstrap,
        SettingsError,
        security_protocol="SASL_PLAINTEXT",
        sasl_username="u",
        sasl_password="p",
    )
    assert "its listener asks for no user" in said


async def test_descriptors_that_ran_out_are_not_blamed_on_kafka(broker: Broker) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1_000), hard))
    held = []
    try:
        with contextlib.suppress(OSError):
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        with pytest.raises(LimitError, match="has reached its limit of file descriptors"):
            await reach(options_for(broker.bootstrap))
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# The name that a broker gives itself


@pytest.fixture(scope="module")
def misnamed() -> Iterator[LocalBroker]:
    with LocalBroker(advertised=f"{UNKNOWN_NAME}:9092") as running:
        yield running


COMMANDS = {
    "produce": ["produce", "--count", "5"],
    "produce --wait": ["produce", "--count", "5", "--wait"],
    "topics": ["topics", "check"],
    "audit": ["audit"],
    "quality": ["quality"],
    "trace": ["trace", "an-id"],
    "dead-letters": ["dead-letters", "list"],
    "producers": ["dead-letters", "producers"],
    "demo": ["demo", "--seconds", "1"],
    "bench": ["bench"],
    "smoke": ["smoke"],
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_every_command_tells_of_a_broker_whose_name_leads_nowhere(misnamed: LocalBroker, command: list[str]) -> None:
    ended_ = subprocess.run(
        [sys.executable, "-m", "stream_scorer", *command, "--bootstrap", misnamed.bootstrap],
        capture_output=True,
        text=True,
        timeout=COMMAND_WAIT_S,
        check=False,
    )
    assert ended_.returncode == 75, ended_.stderr
    assert f"answers at {misnamed.bootstrap} but calls itself {UNKNOWN_NAME}:9092" in ended_.stderr
    assert "Set advertised.listeners" in ended_.stderr
    assert "Traceback" not in ended_.stderr


async def test_a_worker_says_what_it_waits_for_and_is_not_ready(misnamed: LocalBroker, tmp_path: Path) -> None:
    with WorkerProcess(misnamed.bootstrap, folder=tmp_path).start() as worker:
        async with asyncio.timeout(COMMAND_WAIT_S):
            while not worker.log_path.exists() or "calls itself" not in worker.log_path.read_text():
                await asyncio.sleep(0.2)
        assert worker.http_status("/readyz") == 503
        assert worker.http_status("/livez") == 200
        worker.send_signal(signal.SIGTERM)
        assert await ended(worker) == 0
    assert f"waiting for it. A broker answers at {misnamed.bootstrap}" in worker.log_path.read_text()


@pytest.mark.parametrize("place", [a_closed_port, a_black_hole], ids=["closed port", "black hole"])
async def test_a_broker_whose_name_leads_to_nothing(
    place: Callable[[], contextlib.AbstractContextManager[int]],
) -> None:
    with place() as port, LocalBroker(advertised=f"127.0.0.1:{port}") as running:
        said = await told(running.bootstrap, OutageError)
    assert f"A broker answers at {running.bootstrap} but calls itself 127.0.0.1:{port}" in said


async def test_one_of_three_brokers_that_can_not_be_reached_is_named_while_it_is_alive(
    three_brokers: LocalBroker,
) -> None:
    three_brokers.kill(2)
    reached = await reach(options_for(three_brokers.bootstrap))
    assert len(reached.split(",")) == 2  # one that has died is forgotten by the others, and that is waited for


@pytest.mark.long
async def test_one_of_three_brokers_that_stays_unreachable_is_named() -> None:
    # the others take it for alive for as long as its session lasts
    with LocalBroker(nodes=3, properties={"broker.session.timeout.ms": "60000"}) as brokers:
        entrance, _, last = brokers.bootstrap.split(",")
        brokers.pause(2)
        try:
            said = await told(entrance, OutageError)
        finally:
            brokers.resume(2)
    assert f"A broker answers at {entrance}, but 1 of 3 brokers call themselves {last}, which can't be reached" in said
