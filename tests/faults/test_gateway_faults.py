"""What goes wrong around a gateway under load, on a real Kafka: its clients send again what was not answered, and in
the end everything is there once."""

import asyncio
import json
import resource
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientSession, ClientTimeout

from stream_scorer.operations.bench.http_connection import HttpConnection
from tests.gateway.calls import JSON, GatewayProcess, a_gateway
from tests.support.builders import an_event
from tests.support.traffic import traffic
from tests.support.workers import Environment, until

CALLERS = 16
# What is told to come again, and what has no answer at all
AGAIN = (429, 503, 504)
RETRY_WAIT_S = 0.2
IDLE = 5_000


class Clients:
    """Many who send events over HTTP, each again until it is answered. `answers`: by id, what was promised."""

    def __init__(self, gateway: GatewayProcess, events: Sequence[bytes]) -> None:
        self._gateway, self._waiting, self.sent_again = gateway, list(reversed(events)), 0
        self.answers: dict[str, float] = {}

    async def run(self) -> None:
        async with ClientSession(timeout=ClientTimeout(total=60)) as session:
            await asyncio.gather(*(self._calls(session) for _ in range(CALLERS)))

    async def _calls(self, session: ClientSession) -> None:
        while self._waiting:
            event = self._waiting.pop()
            while not await self._is_answered(session, event):
                self.sent_again += 1
                await asyncio.sleep(RETRY_WAIT_S)

    async def _is_answered(self, session: ClientSession, event: bytes) -> bool:
        try:
            async with session.post(
                f"http://{self._gateway.http_address}/predict", data=event, headers=JSON
            ) as response:
                if response.status in AGAIN:
                    return False
                body = json.loads(await response.read())
        except (ClientError, OSError, TimeoutError):
            return False
        assert response.status in (200, 409, 422), body
        if response.status == 200:
            self.answers[body["id"]] = body["proba"]
        return True

    async def answered(self, count: int) -> None:
        await until(lambda: len(self.answers) >= count, f"{count} were answered")


def observations(count: int) -> list[bytes]:
    """Stops of a day, some of them broken."""
    return [sent.value for sent in traffic(count, outcomes=False)][:count]


async def all_is_there_once(environment: Environment, clients: Clients) -> None:
    """Nothing is lost, nothing is said twice, and every answer is what the topic holds."""
    account = await environment.account()
    assert not account.report.unaccounted
    assert not account.report.duplicated
    assert not account.report.predicted_twice
    held = {one["id"]: one["proba"] for one in (json.loads(record.value) for record in account.read.predictions)}
    assert held == clients.answers


async def under_load(
    environment: Environment, gateway: GatewayProcess, harm: Callable[[Clients], Awaitable[None]]
) -> Clients:
    """Clients that send while `harm` does what it does; all of them are answered."""
    clients = Clients(gateway, observations(1_500))
    async with asyncio.TaskGroup() as group:
        group.create_task(clients.run())
        await harm(clients)
    return clients


@pytest.mark.fault("a gateway killed -9 under load, three times", promise="nothing lost, nothing doubled")
async def test_a_gateway_killed_under_load_loses_and_doubles_nothing(environment: Environment, tmp_path: Path) -> None:
    await environment.start()
    with a_gateway(environment.bootstrap, environment.settings.topics.prefix, tmp_path) as gateway:
        gateway.keep_port()

        async def harm(clients: Clients) -> None:
            for count in (100, 300, 500):
                await clients.answered(count)
                gateway.kill()
                gateway.start()

        clients = await under_load(environment, gateway, harm)
        assert clients.sent_again
    await all_is_there_once(environment, clients)


@pytest.mark.fault("a worker killed -9 and another one come while gateways ask", promise="nothing lost or doubled")
async def test_workers_that_die_and_come_are_ridden_out(environment: Environment, tmp_path: Path) -> None:
    quick = {"worker__session_timeout_ms": 6_000}
    dying = await environment.start("dying", **quick)
    settings = {"gateway__timeout_s": 5}
    with a_gateway(environment.bootstrap, environment.settings.topics.prefix, tmp_path, **settings) as gateway:

        async def harm(clients: Clients) -> None:
            await clients.answered(100)
            await environment.start("next", **quick)
            await clients.answered(300)
            dying.kill()

        clients = await under_load(environment, gateway, harm)
    await all_is_there_once(environment, clients)


@pytest.mark.fault("a gateway told to stop while a request waits", promise="the request is answered")
async def test_what_waits_when_it_is_told_to_stop_is_answered(environment: Environment, tmp_path: Path) -> None:
    prefix = environment.settings.topics.prefix
    with a_gateway(environment.bootstrap, prefix, tmp_path, gateway__timeout_s=30) as gateway:
        waiting = asyncio.create_task(asyncio.to_thread(gateway.call, "/predict", an_event("waits")))
        await asyncio.sleep(1)  # it is on its way: no worker is there to answer it
        stopping = asyncio.create_task(asyncio.to_thread(gateway.stop))
        await environment.start()
        assert (await waiting).status == 200
        assert await stopping == 0


@pytest.mark.fault("5,000 idle connections", promise="others are answered meanwhile")
async def test_five_thousand_idle_connections_keep_nobody_out(environment: Environment, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * IDLE
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip(f"this user may open {hard} files, and {needed} are needed")
    await environment.start()
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    try:
        with a_gateway(environment.bootstrap, environment.settings.topics.prefix, tmp_path) as gateway:
            host, _, port = (gateway.http_address or "").rpartition(":")
            async with AsyncExitStack() as stack:
                for _ in range(IDLE // 100):
                    for _, writer in await asyncio.gather(
                        *(asyncio.open_connection(host, int(port)) for _ in range(100))
                    ):
                        stack.callback(writer.close)
                for number in range(20):
                    async with HttpConnection(gateway.http_address or "") as connection:
                        answered = await connection.post("/predict", an_event(f"idle {number}"))
                        assert answered.status == 200
            assert gateway.exit_status() is None
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    await environment.account(prediction=20)
