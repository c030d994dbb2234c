"""What the gateway adds to the client's own way, and how much goes through it: worker, gateway, broker and this load
on one machine.

Invariant: whatever was answered is accounted for in the end, and each figure stands beside the client's own in the same
run.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median

import msgspec

from stream_scorer.client import Client, Predicted
from stream_scorer.errors import OutageError
from stream_scorer.operations.audit.report import audit
from stream_scorer.operations.bench.environment import BenchEnvironment, Say, stage
from stream_scorer.operations.bench.http_connection import HttpConnection
from stream_scorer.operations.harness.gateway_process import GatewayProcess
from stream_scorer.operations.harness.latency_percentiles import latency_figures
from stream_scorer.operations.sending.event_sources import generated_events
from stream_scorer.runtime.kafka.client import client_options

SHARES = (0.5, 0.9, 0.99, 1.0)
# One at a time, after so many that do not count
ALONE, ALONE_WARM_UP = 300, 100
BATCH_EVENTS, BATCHES = 10_000, 6
STREAM_EVENTS = 40_000
# Two batches at once, so that one is read while the other is answered
BATCHES_AT_ONCE = 2
WARM_UP_S = 5.0
# More than any run asks for
EVENTS_MAX = 100_000_000


@dataclass(frozen=True)
class GatewayPlan:
    """What is measured: one request alone, `connections` that ask without a pause for `seconds`, and batches."""

    seconds: float = 20.0
    connections: int = 96
    model: Path | None = None
    bootstrap: str | None = None
    seed: int = 7


class GatewayFigures(msgspec.Struct, kw_only=True):
    """What came of it; times in milliseconds. `alone_added_ms`: the median of the client's own way taken from that of a
    request. Memory is the gateway's."""

    alone_ms: dict[str, float]
    client_alone_ms: dict[str, float]
    alone_added_ms: float
    singles_per_s: int
    singles_ms: dict[str, float]
    client_per_s: int
    client_ms: dict[str, float]
    batch_events_per_s: int
    client_stream_per_s: int
    connections: int
    seconds: float
    answers_of_other_kinds: int
    memory_before_bytes: int
    memory_peak_bytes: int
    gateway_cpu_share: float
    unaccounted: int
    duplicated: int


async def measure_gateway(plan: GatewayPlan, say: Say) -> GatewayFigures:
    """Start worker and gateway, and ask."""
    source = generated_events(EVENTS_MAX, seed=plan.seed, broken_share=0.0, id_prefix="gw-")
    events = (event.value for event in source)
    async with stage(bootstrap=plan.bootstrap, delivery="exactly-once", model=plan.model, say=say) as on:
        settings = on.settings
        gateway = GatewayProcess(
            settings.kafka.bootstrap, prefix=settings.topics.prefix, folder=on.worker.folder, name="gateway"
        )
        await asyncio.to_thread(on.worker.start().wait_ready)
        with gateway:
            await asyncio.to_thread(gateway.wait_ready)
            async with Client.of(settings) as client:
                figures = await _measure(plan, on, gateway, client, events, say)
        await asyncio.to_thread(on.worker.stop)
        say("Counting where every record ended")
        report = await audit(client_options(settings.kafka), on.names, settings.group_name, count_unread=True)
        figures.unaccounted = report.unaccounted
        figures.duplicated = report.duplicated + report.predicted_twice
        return figures


async def _measure(
    plan: GatewayPlan,
    on: BenchEnvironment,
    gateway: GatewayProcess,
    client: Client,
    events: Iterator[bytes],
    say: Say,
) -> GatewayFigures:
    address = gateway.http_address or ""
    say("Warming up")
    await Load(plan.connections, WARM_UP_S, events).through_gateway(address)
    say(f"One request alone, {ALONE} times, in turns with the client's own")
    alone, client_alone = await _alone(address, client, events)
    memory_before = gateway.memory_peak_bytes()
    say(f"{plan.connections} connections for {plan.seconds:g} s, then as many calls of the client")
    cpu_before_s = gateway.cpu_seconds()
    singles = Load(plan.connections, plan.seconds, events)
    await singles.through_gateway(address)
    cpu_share = (gateway.cpu_seconds() - cpu_before_s) / singles.took_s
    own = Load(plan.connections, plan.seconds, events)
    await own.through_client(client)
    say(f"{BATCHES} batches of {BATCH_EVENTS:,}, then the client's own stream")
    batch_per_s, others = await _batches(address, events)
    stream_per_s = await _stream(client, list(islice(events, STREAM_EVENTS)))
    return GatewayFigures(
        alone_ms=latency_figures(alone, SHARES),
        client_alone_ms=latency_figures(client_alone, SHARES),
        alone_added_ms=round(median(alone) - median(client_alone), 2),
        singles_per_s=singles.per_s,
        singles_ms=latency_figures(singles.waits_ms, SHARES),
        client_per_s=own.per_s,
        client_ms=latency_figures(own.waits_ms, SHARES),
        batch_events_per_s=batch_per_s,
        client_stream_per_s=stream_per_s,
        connections=plan.connections,
        seconds=plan.seconds,
        answers_of_other_kinds=singles.others + own.others + others,
        memory_before_bytes=memory_before,
        memory_peak_bytes=gateway.memory_peak_bytes(),
        gateway_cpu_share=round(cpu_share, 2),
        unaccounted=0,
        duplicated=0,
    )


class Load:
    """Many who ask one after the other, without a pause, for some time."""

    def __init__(self, callers: int, seconds: float, events: Iterator[bytes]) -> None:
        self._callers, self._seconds, self._events = callers, seconds, events
        self.waits_ms: list[float] = []
        self.others = 0
        self.took_s = 0.0

    @property
    def per_s(self) -> int:
        return round(len(self.waits_ms) / self.took_s)

    async def through_gateway(self, address: str) -> None:
        async def calls(until_s: float) -> None:
            async with HttpConnection(address) as connection:
                while (began_s := time.perf_counter()) < until_s:
                    answered = await connection.post("/predict", next(self._events))
                    self._note(began_s, answered.status == 200)

        await self._run(calls)

    async def through_client(self, client: Client) -> None:
        async def calls(until_s: float) -> None:
            while (began_s := time.perf_counter()) < until_s:
                answer = await client.ask(next(self._events))
                self._note(began_s, isinstance(answer, Predicted))

        await self._run(calls)

    async def _run(self, calls: Callable[[float], Coroutine[None, None, None]]) -> None:
        began_s = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(self._callers):
                group.create_task(calls(began_s + self._seconds))
        self.took_s = time.perf_counter() - began_s

    def _note(self, began_s: float, is_prediction: bool) -> None:
        if is_prediction:
            self.waits_ms.append((time.perf_counter() - began_s) * 1000)
        else:
            self.others += 1


async def _alone(address: str, client: Client, events: Iterator[bytes]) -> tuple[list[float], list[float]]:
    """Waits of requests and of the client's calls, in turns."""
    requests: list[float] = []
    calls: list[float] = []
    async with HttpConnection(address) as connection:
        for number in range(ALONE_WARM_UP + ALONE):
            began_s = time.perf_counter()
            answered = await connection.post("/predict", next(events))
            between_s = time.perf_counter()
            own = await client.ask(next(events))
            ended_s = time.perf_counter()
            if number >= ALONE_WARM_UP and answered.status == 200 and isinstance(own, Predicted):
                requests.append((between_s - began_s) * 1000)
                calls.append((ended_s - between_s) * 1000)
    return requests, calls


async def _batches(address: str, events: Iterator[bytes]) -> tuple[int, int]:
    """Events of batches answered a second, and answers that are no prediction."""
    bodies = [b"\n".join(islice(events, BATCH_EVENTS)) for _ in range(BATCHES)]
    answered = 0
    began_s = time.perf_counter()

    async def send() -> None:
        nonlocal answered
        async with HttpConnection(address) as connection:
            while bodies:
                answer = await connection.post("/predict/batch", bodies.pop(), "application/x-ndjson")
                if answer.status != 200:
                    raise OutageError(f"a batch was answered with HTTP status {answer.status}")
                answered += answer.body.count(b'{"status":200')

    await asyncio.gather(*(send() for _ in range(BATCHES_AT_ONCE)))
    return round(answered / (time.perf_counter() - began_s)), BATCHES * BATCH_EVENTS - answered


async def _stream(client: Client, values: list[bytes]) -> int:
    """Events a second of the client's own stream."""
    began_s, answered = time.perf_counter(), 0
    async for answer in client.ask_many(values):
        answered += isinstance(answer, Predicted)
    return round(answered / (time.perf_counter() - began_s))
