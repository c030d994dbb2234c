"""Partitions of a range read from begin to end, as batches of rows: all observations first, then what became of them.

Invariant: what a process reads of its partitions depends on no other partition, so they can be shared out.
"""

import gc
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from operator import attrgetter
from typing import Final, Literal, NamedTuple

import numpy as np
from aiokafka import TopicPartition

from stream_scorer.core.rollout.published_rows import (
    NOBODY,
    Instants,
    Rows,
    actual_rows,
    observed_rows,
    published_rows,
)
from stream_scorer.core.rollout.serving_history import ServingHistory
from stream_scorer.core.state.model_ids import ModelIds
from stream_scorer.operations.reading.topic_reader import Reader, Span
from stream_scorer.runtime.cluster.topic_admin import TopicNames

_timestamp: Final = attrgetter("timestamp")


class RowBatch(NamedTuple):
    """Rows of one kind, made of `records` records of one partition. `models`: of predictions, name and role by the
    number in these rows."""

    kind: Literal["observed", "published", "actual"]
    partition: int
    records: int
    rows: Rows
    models: Mapping[int, tuple[str, str]] = {}


class ReadPlan(NamedTuple):
    """What is to be read: the range's observations, and all outputs that may be about them. `is_from_the_start`: the
    range has no begin, so predictions of observations that retention has deleted count too."""

    names: TopicNames
    inputs: Mapping[TopicPartition, Span]
    outputs: Mapping[TopicPartition, Span]
    is_from_the_start: bool
    history: ServingHistory
    event_bytes_max: int
    framed: bool

    @property
    def offsets(self) -> int:
        """How many offsets there are to read, at most."""
        return sum(span.end - span.begin for span in (*self.inputs.values(), *self.outputs.values()))

    def shares(self, count: int) -> list["ReadPlan"]:
        """The plan in up to `count` parts of about one size; all of one partition number stays together."""
        sizes: dict[int, int] = {}
        for partition, span in (*self.inputs.items(), *self.outputs.items()):
            sizes[partition.partition] = sizes.get(partition.partition, 0) + span.end - span.begin
        loads, owners = [0] * count, {}
        # the longest first, each to the process that has least to do
        for number in sorted(sizes, key=lambda number: -sizes[number]):
            owners[number] = owner = loads.index(min(loads))
            loads[owner] += sizes[number]
        parts = [
            self._replace(
                inputs={key: span for key, span in self.inputs.items() if owners[key.partition] == owner},
                outputs={key: span for key, span in self.outputs.items() if owners[key.partition] == owner},
            )
            for owner in range(count)
        ]
        return [part for part in parts if part.offsets]


async def row_batches(reader: Reader, plan: ReadPlan) -> AsyncIterator[RowBatch]:
    """The plan's rows. Raises TopicsError where the topics are not there, OutageError where Kafka does not answer."""
    names, outputs = plan.names, plan.outputs
    first_ms: int | None = None
    async for partition, records in reader.read(plan.inputs, whole_batches=True):
        rows = observed_rows(records, plan.event_bytes_max, plan.framed)
        yield RowBatch("observed", partition.partition, len(records), rows)
        if not plan.is_from_the_start:
            earliest = min(map(_timestamp, records))
            first_ms = earliest if first_ms is None else min(first_ms, earliest)
    # An output carries its observation's time or a later one, so none of the range's lies before it.
    if first_ms is not None and first_ms >= 0:
        begins = await reader.offsets_at(outputs, first_ms)
        outputs = {partition: span._replace(begin=begins[partition]) for partition, span in outputs.items()}
    models, instants = ModelIds(), Instants()
    async for partition, records in reader.read(outputs, whole_batches=True):
        number = partition.partition
        if partition.topic == names.outcome_updates:
            yield RowBatch("actual", number, len(records), actual_rows(records, instants))
        elif (span := plan.inputs.get(TopicPartition(names.observations, number))) is not None:
            rows = published_rows(records, number, models, instants, plan.history)
            begin = 0 if plan.is_from_the_start else span.begin
            inside = (rows["source"] >= begin) & (rows["source"] < span.end)
            rows = rows if inside.all() else rows[inside]
            used = np.union1d(rows["model"], rows["expected"]).tolist()
            yield RowBatch(
                "published", number, len(records), rows, {each: models[each] for each in used if each != NOBODY}
            )


def renumbered(rows: Rows, models: Mapping[int, tuple[str, str]], into: ModelIds) -> Rows:
    """The same predictions with the numbers of another table; those of models that it has no room for are left out."""
    numbers = {NOBODY: NOBODY}
    numbers |= {number: into.number(*who) if into.has_room_for(*who) else NOBODY for number, who in models.items()}
    if any(number != other for number, other in numbers.items()):
        rows = rows.copy()
        for column in ("model", "expected"):
            known, places = np.unique(rows[column], return_inverse=True)
            rows[column] = np.array([numbers[number] for number in known.tolist()], dtype=np.int32)[places]
        rows = rows[rows["model"] != NOBODY]
    return rows


@contextmanager
def no_collector() -> Iterator[None]:
    """Without the collector, which would look through millions of records again and again that are in no cycle."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
