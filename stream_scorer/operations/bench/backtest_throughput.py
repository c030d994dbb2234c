"""How fast a backtest gets through a retained range that a worker has predicted, and what an observation costs in each
part of it.

Invariant: the range is what a real worker published, a quarter of it with an outcome; a backtest that does not find all
of it fails the benchmark.
"""

import asyncio
import random
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

import msgspec
import numpy as np
from aiokafka import TopicPartition

from stream_scorer.core.contract.columns import EVENT_BYTES_MAX
from stream_scorer.core.rollout.published_rows import Instants, actual_rows, observed_rows, published_rows
from stream_scorer.core.state.model_ids import ModelIds
from stream_scorer.models.registry.model_directory import LoadedModel, load_model
from stream_scorer.operations.audit.evidence import At
from stream_scorer.operations.backtest.candidate import BacktestReport, backtest, compare_predictions
from stream_scorer.operations.backtest.retained_rows import PROCESSES, Range, RetainedReader
from stream_scorer.operations.backtest.row_batches import no_collector
from stream_scorer.operations.bench.environment import BenchEnvironment, Say, fill, stage
from stream_scorer.operations.bench.throughput import BacklogPlan, events_of, generated, watch
from stream_scorer.operations.reading.topic_reader import Reader, Record
from stream_scorer.operations.sending.event_sources import encode_outcome
from stream_scorer.operations.sending.schedule import ScheduledEvent
from stream_scorer.runtime.kafka.client import client_options

OUTCOME_SHARE: Final = 0.25
EVERYTHING: Final = Range(At(), At())

T = TypeVar("T")


@dataclass(frozen=True)
class BacktestPlan:
    """What is measured. `backlog`: the observations; `rounds`: how often, the median counts."""

    backlog: BacklogPlan
    rounds: int


class BacktestFigures(msgspec.Struct, kw_only=True):
    """Medians. `part_us`: the processor time of one observation in each part, in microseconds, when one process does it
    all: a quarter of an outcome's cost, since as many have one."""

    observations: int
    outcomes: int
    observations_per_s: int
    processes: int
    alone_per_s: int
    part_us: dict[str, float]
    unaccounted: int


async def measure_backtest(plan: BacktestPlan, say: Say) -> BacktestFigures:
    """Have a worker predict and join, then backtest its own model on all of it."""
    backlog = plan.backlog
    async with stage(
        bootstrap=backlog.bootstrap,
        delivery=backlog.delivery,
        model=backlog.model,
        say=say,
        partitions=backlog.partitions,
    ) as on:
        await fill(on, events_of(backlog, on.names.observations, on.partitions))
        say(f"{backlog.events:,} events are waiting; starting the worker")
        scoring = asyncio.create_task(watch(on, on.names.observations))
        await asyncio.to_thread(on.worker.start().wait_ready)
        await scoring
        outcomes = list(_outcomes(backlog, on.names.outcomes))
        joining = asyncio.create_task(watch(on, on.names.outcomes))
        await fill(on, iter(outcomes))
        await joining
        await asyncio.to_thread(on.worker.stop)
        model = await asyncio.to_thread(load_model, on.model)
        together, alone = [], []
        for number in range(plan.rounds):
            say(f"Round {number + 1} of {plan.rounds}")
            together.append(await _backtest(on, model, processes=PROCESSES))
            alone.append(await _backtest(on, model, processes=1))
        say("One part after the other")
        return BacktestFigures(
            observations=together[0].observations,
            outcomes=together[0].candidate.rows,
            observations_per_s=_per_second(together),
            processes=PROCESSES,
            alone_per_s=_per_second(alone),
            part_us=await _parts(on, model),
            unaccounted=sum(_missing(report, backlog.events, len(outcomes)) for report in (*together, *alone)),
        )


def _outcomes(plan: BacklogPlan, topic: str) -> Iterator[ScheduledEvent]:
    draw = random.Random(plan.seed)
    for event in generated(plan):
        if draw.random() < OUTCOME_SHARE:
            yield ScheduledEvent(0.0, topic, event.key, encode_outcome(event.id or "", event.true_class), None)


async def _backtest(on: BenchEnvironment, model: LoadedModel, *, processes: int) -> BacktestReport:
    kafka = on.settings.kafka
    return await backtest(
        client_options(kafka),
        on.names,
        model,
        EVERYTHING,
        event_bytes_max=EVENT_BYTES_MAX,
        kafka=kafka if processes > 1 else None,
    )


def _per_second(reports: list[BacktestReport]) -> int:
    return round(statistics.median(report.observations / report.seconds for report in reports))


def _missing(report: BacktestReport, observations: int, outcomes: int) -> int:
    """Observations, predictions and outcomes that were not found, and decisions that were: the model is the same."""
    return (
        abs(observations - report.observations)
        + abs(observations - report.compared)
        + abs(outcomes - report.candidate.rows)
        + report.changed
    )


async def _parts(on: BenchEnvironment, model: LoadedModel) -> dict[str, float]:
    names, spent_s = on.names, dict.fromkeys(("observations", "predictions", "outcomes", "score", "compare"), 0.0)

    def spend(part: str, work: Callable[[], T]) -> T:
        began_s = time.thread_time()
        done = work()
        spent_s[part] += time.thread_time() - began_s
        return done

    models, instants, counts = ModelIds(), Instants(), {"records": 0, "observations": 0}
    decoders: dict[str, Callable[[TopicPartition, list[Record]], Any]] = {
        names.observations: lambda _, records: observed_rows(records, EVENT_BYTES_MAX),
        names.predictions: lambda partition, records: published_rows(records, partition.partition, models, instants),
        names.outcome_updates: lambda _, records: actual_rows(records, instants),
    }
    parts = dict(zip(decoders, ("observations", "predictions", "outcomes"), strict=True))
    options = client_options(on.settings.kafka)
    async with Reader(options) as reader:
        with no_collector():
            began_s = time.thread_time()
            async for partition, records in reader.read(await reader.spans(decoders), whole_batches=True):
                spend(parts[partition.topic], partial(decoders[partition.topic], partition, records))
                counts["records"] += len(records)
                counts["observations"] += len(records) * (partition.topic == names.observations)
            fetch_s = time.thread_time() - began_s - sum(spent_s.values())
        retained = await RetainedReader(reader, names, event_bytes_max=EVENT_BYTES_MAX, framed=False).read(
            EVERYTHING, model.score
        )
    codes = np.concatenate([rows.observed["code"] for rows in retained.partitions])
    spend("score", lambda: model.score(codes))
    spend("compare", lambda: compare_predictions(retained, model, model.threshold, 100))
    named = {
        "fetch and decompress": fetch_s,
        "decode observations": spent_s["observations"],
        "decode predictions": spent_s["predictions"],
        "decode outcome updates": spent_s["outcomes"],
        "score": spent_s["score"],
        "join and compare": spent_s["compare"],
    }
    return {part: round(seconds * 1e6 / counts["observations"], 3) for part, seconds in named.items()}
