"""Visitors that mean harm, or only look: a worker goes on scoring and answers its probes.

Ratios only: what a machine does in a second is not looked at.
"""

import asyncio
import contextlib
import json
import re
import resource
import socket
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from aiohttp import ClientError, ClientSession

from stream_scorer.models.synthetic.generator import Generator
from stream_scorer.operations.dead_letters.service import open_service
from stream_scorer.operations.harness.console_process import ConsoleProcess
from tests.support.builders import an_observation
from tests.support.workers import Environment, until, variable

DESCRIPTORS = 256
HALF_OPEN = 400
HALF_A_REQUEST = b"GET /livez HTTP/1.1\r\nHost: here\r\nX-More: "

ROUND_EVENTS = 1_500
ROUNDS = 3
VISITORS = 6
COLUMNS = 4_500
OPERATIONS = 100
# A look at one such letter took seconds of the scoring loop, again and again; a busy second core costs less than this
SLOWER_MAX = 8.0


# Half requests


@contextmanager
def descriptors_at_most(number: int) -> Iterator[None]:
    """What is started meanwhile may open so many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class HalfRequests:
    """Sockets that have begun a request each; those that the server ends are opened anew."""

    def __init__(self, address: str, number: int) -> None:
        host, _, port = address.rpartition(":")
        self._address, self._number = (host, int(port)), number
        self._sockets: list[socket.socket] = []
        self.opened = 0

    def refill(self) -> None:
        self._sockets = [each for each in self._sockets if is_open(each)]
        while len(self._sockets) < self._number:
            each = socket.socket()
            each.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                each.connect(self._address)
            with contextlib.suppress(OSError):
                each.send(HALF_A_REQUEST)
            self._sockets.append(each)
            self.opened += 1

    def close(self) -> None:
        for each in self._sockets:
            each.close()


def is_open(each: socket.socket) -> bool:
    try:
        ended = each.recv(1) == b""
    except BlockingIOError:
        return True
    except OSError:
        ended = True
    if ended:
        each.close()
    return not ended


@pytest.mark.fault("hundreds of half-sent HTTP requests, 256 descriptors", promise="probes answer, records go on")
async def test_hundreds_of_half_requests_keep_no_probe_and_no_record_waiting(environment: Environment) -> None:
    worker = environment.worker()
    with descriptors_at_most(DESCRIPTORS):
        worker.start()
    await asyncio.to_thread(worker.wait_ready)
    assert worker.http_address is not None
    half = HalfRequests(worker.http_address, HALF_OPEN)
    events = [event.value for event in Generator(5).events(1_000, 0, "ev-")]
    answers: dict[str, list[int | None]] = {"/livez": [], "/readyz": [], "/metrics": [], "/status": []}
    try:
        for begin in range(0, len(events), 100):
            half.refill()
            await environment.topics.observe(*events[begin : begin + 100])
            for path, statuses in answers.items():
                statuses.append(await asyncio.to_thread(worker.http_status, path))
        await environment.account(prediction=len(events))
    finally:
        half.close()
    assert half.opened > HALF_OPEN, "the server has ended none of them"
    displaced = re.search(r'http_connections_closed_total{why="displaced"} (\d+)', worker.metrics())
    assert displaced is not None
    assert int(displaced[1]) >= HALF_OPEN - DESCRIPTORS
    # one that comes just as hundreds do may be pushed out; a probe's threshold is three in a row
    for path, statuses in answers.items():
        assert statuses.count(200) >= len(statuses) - 1, (path, statuses)
    assert worker.exit_status() is None
    assert "Too many open files" not in worker.log()


# Looks at odd letters


def odd_event() -> bytes:
    """A letter that took seconds to look at: thousands of columns that nobody knows."""
    extra = {f"c{number}": number for number in range(COLUMNS)}
    return json.dumps({"id": "odd", "observation": an_observation(**extra)}).encode()


async def odd_place(environment: Environment) -> str:
    async with open_service(environment.settings) as office:
        while not (found := await office.find(limit=1)):
            await asyncio.sleep(0.05)
            await office.refresh()
    return str(found[0].place)


async def rounds_s(environment: Environment, seed: int) -> float:
    """How long the worker takes for so many events, from sending to the last commit; the median of some rounds."""
    took = []
    for number in range(ROUNDS):
        prefix = f"ev-{seed}-{number}-"
        events = [event.value for event in Generator(seed * 100 + number).events(ROUND_EVENTS, 0, prefix)]
        begin = time.monotonic()
        await environment.topics.observe(*events)
        await environment.settled()
        took.append(time.monotonic() - begin)
    return statistics.median(took)


class Attack:
    """Visitors who look at one odd letter, try patches on it, and start checks, without a pause."""

    def __init__(self, url: str, place: str) -> None:
        self._url, self._place = url, place
        self.answers: dict[int, int] = {}

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        async with ClientSession(self._url) as session:
            tasks = [asyncio.create_task(self._visit(session)) for _ in range(VISITORS)]
            await until(lambda: self.answers.get(200), "the attack is under way")
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _visit(self, session: ClientSession) -> None:
        operation = {"op": "copy", "from": "/observation/c0", "path": "/observation/copied"}
        patch = json.dumps([operation] * OPERATIONS)
        while True:
            with contextlib.suppress(ClientError, TimeoutError):
                page = await self._ask(session.get(f"/dead-letters/{self._place}"))
                found = re.search(r'name="form_token" value="(\w+)"', page)
                form = {"form_token": found[1] if found else "", "place": self._place, "patch": patch, "do": "check"}
                await self._ask(session.post(f"/dead-letters/{self._place}/preview", data=form))
                await self._ask(session.post("/dead-letters/act", data=form))

    async def _ask(self, asking: Any) -> str:
        async with asking as answer:
            self.answers[answer.status] = self.answers.get(answer.status, 0) + 1
            return str(await answer.text())


@pytest.mark.fault("visitors look at the oddest dead letters", promise="scoring goes on")
async def test_looking_at_odd_letters_never_stops_scoring(environment: Environment) -> None:
    worker = await environment.start()
    await environment.topics.observe(odd_event())
    place = await odd_place(environment)
    assert worker.http_address is not None
    state = {variable("worker.state_folder"): str(environment.state_of("worker"))}
    console = ConsoleProcess(
        environment.bootstrap,
        [worker.http_address],
        folder=environment.folder,
        prefix=environment.settings.topics.prefix,
        environ=state,
    )
    with console:
        await asyncio.to_thread(console.wait_ready)
        await rounds_s(environment, 1)  # a warm-up
        quiet_s = await rounds_s(environment, 2)
        attack = Attack(f"http://{console.http_address}", place)
        cpu_before_s = console.cpu_seconds()
        async with attack.going_on():
            attacked_s = await rounds_s(environment, 3)
            assert console.http_status("/livez") == 200
            assert console.http_status("/") == 200
        assert console.cpu_seconds() - cpu_before_s > 0.2 * attacked_s, "the attack kept nobody busy"
    assert attacked_s < SLOWER_MAX * quiet_s, f"{attacked_s:.2f} s while they look, {quiet_s:.2f} s otherwise"
    assert attack.answers.get(500, 0) == 0, attack.answers
    assert worker.exit_status() is None


@pytest.mark.parametrize("path", ["/", "/dead-letters/0@0", "/jobs", "/login"])
async def test_a_worker_has_no_page_to_look_at(environment: Environment, path: str) -> None:
    worker = await environment.start()
    assert worker.http_status(path) == 404
