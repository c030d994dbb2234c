"""How long an event takes from when it was due to be sent until its prediction can be read; open loop, so that no
wait is left out.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from stream_scorer.operations.bench.environment import BenchEnvironment, Say, stage
from stream_scorer.operations.harness.broker_cpu import BrokerCpu
from stream_scorer.operations.harness.latency_percentiles import latency_figures
from stream_scorer.operations.sending.event_sender import EventSender
from stream_scorer.operations.sending.event_sources import SourceEvent, generated_events
from stream_scorer.operations.sending.schedule import ScheduledEvent
from stream_scorer.operations.sending.scheduled_send import play
from stream_scorer.runtime.kafka.client import client_options

ID_PREFIX = "lat-"
ID_DIGITS = 8
SHARES = (0.5, 0.9, 0.99, 0.999, 1.0)
AHEAD_S = 0.2
ANSWER_WAIT_S_MAX = 15.0
POLL_MS = 20
FETCH_WAIT_MS = 100
BARE_S = 4.0


@dataclass(frozen=True)
class LatencyPlan:
    """What is measured: `rate` events a second for `seconds`, after a warm-up that does not count."""

    rate: float
    seconds: float = 20.0
    warm_up_s: float = 40.0
    broken_share: float = 0.03
    delivery: str = "exactly-once"
    model: Path | None = None
    bootstrap: str | None = None
    seed: int = 7
    partitions: int | None = None
    tree: Path | None = None


class LatencyFigures(msgspec.Struct, kw_only=True):
    """What came of it, in milliseconds; p100 is the slowest of all. `unanswered` valid events had no prediction 15 s
    after the last one. `bare_ms` is the same way without a worker: a record written and read. `broker_cpu_seconds` with
    what the sender and the reader cost it, None for a broker that is not on this machine.
    """

    rate: float
    seconds: float
    guarantee: str
    measured: int
    unanswered: int
    latency_ms: dict[str, float]
    bare_ms: dict[str, float]
    cpu_seconds: float
    broker_cpu_seconds: float | None
    peak_memory_bytes: int


class PredictionReader:
    """When each event's prediction could be read, by the event's number; on the clock of `time.perf_counter`."""

    def __init__(self) -> None:
        self.at: dict[int, float] = {}

    async def read(self, consumer: AIOKafkaConsumer) -> None:
        """Note predictions until cancelled."""
        while True:
            fetched = await consumer.getmany(timeout_ms=POLL_MS)
            now = time.perf_counter()
            for records in fetched.values():
                for record in records:
                    self.at.setdefault(int(record.key[-ID_DIGITS:]), now)


async def measure_latency(plan: LatencyPlan, say: Say) -> LatencyFigures:
    """Start a worker, send at the fixed rate, note when each prediction is visible to a `read_committed` reader."""
    count = round(plan.rate * (plan.warm_up_s + plan.seconds))
    events = list(generated_events(count, seed=plan.seed, broken_share=plan.broken_share, id_prefix=ID_PREFIX))
    valid = [number for number, event in enumerate(events) if not event.is_broken]
    async with stage(
        bootstrap=plan.bootstrap,
        delivery=plan.delivery,
        model=plan.model,
        say=say,
        partitions=plan.partitions,
        tree=plan.tree,
    ) as on:
        names = on.names
        say("Measuring the round trip without a worker")
        bare = events[: round(plan.rate * BARE_S)]
        alone, _ = await send_and_read(
            plan.rate, on, bare, len(bare), written=names.shadow_predictions, read=names.shadow_predictions
        )
        await asyncio.to_thread(on.worker.start().wait_ready)
        say(f"{plan.rate:,.0f} events a second: {plan.warm_up_s:.0f} s to warm up, {plan.seconds:.0f} s that count")
        cpu_ready_s, broker = on.worker.cpu_seconds(), BrokerCpu(on.settings.kafka.bootstrap)
        waits, _ = await send_and_read(
            plan.rate, on, events, len(valid), written=names.observations, read=names.predictions
        )
        expected = [number for number in valid if number >= plan.rate * plan.warm_up_s]
        measured = [waits[number] for number in expected if number in waits]
        return LatencyFigures(
            rate=plan.rate,
            seconds=plan.seconds,
            guarantee=plan.delivery,
            measured=len(measured),
            unanswered=len(expected) - len(measured),
            latency_ms=latency_figures(measured, SHARES),
            bare_ms=latency_figures([alone[n] for n in range(len(bare) // 2, len(bare)) if n in alone], (0.5, 0.99)),
            cpu_seconds=round(on.worker.cpu_seconds() - cpu_ready_s, 2),
            broker_cpu_seconds=None if (broker_s := broker.seconds()) is None else round(broker_s, 2),
            peak_memory_bytes=on.worker.memory_peak_bytes(),
        )


async def send_and_read(
    rate: float,
    on: BenchEnvironment,
    events: Iterable[SourceEvent],
    answers_expected: int | None = None,
    *,
    written: str,
    read: str,
    beside: Callable[[float], Coroutine[Any, Any, None]] | None = None,
) -> tuple[dict[int, float], int]:
    """For each event that was answered, by number, the milliseconds from when it was due until its answer was there;
    and how many were sent. `answers_expected`: default, one for each. `beside` runs meanwhile, from when the first
    event is due by `time.perf_counter`; no more events are sent once it is over, and what it raises is raised."""
    options, answers = client_options(on.settings.kafka), PredictionReader()
    consumer = AIOKafkaConsumer(
        **options, isolation_level="read_committed", auto_offset_reset="earliest", fetch_max_wait_ms=FETCH_WAIT_MS
    )
    await consumer.start()
    consumer.assign([TopicPartition(read, partition) for partition in range(on.partitions)])
    reading = asyncio.create_task(answers.read(consumer))
    acting: asyncio.Task[None] | None = None
    try:
        async with EventSender(options) as sender:
            await sender.partitions(written)
            started = time.perf_counter() + AHEAD_S
            acting = None if beside is None else asyncio.create_task(beside(started))
            timeline = (ScheduledEvent(n / rate, written, event.key, event.value) for n, event in enumerate(events))
            is_over = (lambda: False) if acting is None else acting.done
            await play(sender, timeline, paced=True, started=started, is_over=is_over)
            sent = sender.delivered_count
        if acting is not None:
            await acting
        await _wait_for_answers(answers, sent if answers_expected is None else answers_expected, reading)
    finally:
        for task in filter(None, (reading, acting)):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await consumer.stop()
    return {number: (at - started - number / rate) * 1000 for number, at in answers.at.items()}, sent


async def _wait_for_answers(answers: PredictionReader, count: int, reading: asyncio.Task[None]) -> None:
    deadline = time.perf_counter() + ANSWER_WAIT_S_MAX
    while len(answers.at) < count and time.perf_counter() < deadline:
        if (await asyncio.wait({reading}, timeout=0.05))[0]:
            reading.result()
