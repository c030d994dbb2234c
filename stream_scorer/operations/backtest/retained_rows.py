"""A range of observations with what was published and what happened, read from the topics into rows of numbers.

Invariant: a prediction is read wherever it lies behind its observation, also beyond the range's end.
"""

import os
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import numpy as np
from aiokafka import TopicPartition
from numpy.typing import NDArray

from stream_scorer.core.records.model_switch import ModelSwitch, decode_switch
from stream_scorer.core.rollout.published_rows import ACTUAL, NO_HISTORY, OBSERVED, PUBLISHED, Rows
from stream_scorer.core.rollout.serving_history import ServingHistory
from stream_scorer.core.state.model_ids import ModelIds
from stream_scorer.errors import TopicsError
from stream_scorer.operations.audit.evidence import At
from stream_scorer.operations.backtest.parallel_read import read_together
from stream_scorer.operations.backtest.row_batches import ReadPlan, RowBatch, no_collector, renumbered, row_batches
from stream_scorer.operations.reading.topic_reader import Reader, Span, Spans
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.settings.settings import KafkaSettings

# Records read so far, offsets in all
OnRead = Callable[[int, int], None]
Score = Callable[[NDArray[np.int64]], NDArray[np.float64]]
# Observations at a time for the model: what arrives in one fetch is fewer
ROWS_MIN: Final = 8_192
# Below so many offsets other processes take longer to start than they save
RECORDS_MIN: Final = 300_000
# More than these wait for one broker
PROCESSES: Final = min(4, os.cpu_count() or 1)


class Range(NamedTuple):
    """Which observations are asked about."""

    begin: At
    end: At


class PartitionRows(NamedTuple):
    """One partition: observations of shape (n,) in the order of offsets, the probabilities of the model that was asked
    about them (empty where none was), and the predictions of shape (m,) whose observation lies in the range."""

    number: int
    observed: Rows
    probas: NDArray[np.float64]
    published: Rows


class Retained(NamedTuple):
    """All partitions; `actual`: the joined outcomes of all; `models`: name and role by the number in the predictions'
    rows; `unreadable`: observations that break the contract."""

    partitions: tuple[PartitionRows, ...]
    actual: Rows
    models: ModelIds
    unreadable: int
    records_read: int


class RetainedReader:
    """Reads a range: a long one in several processes where `kafka` is given, which they connect with."""

    def __init__(
        self,
        reader: Reader,
        names: TopicNames,
        *,
        event_bytes_max: int,
        framed: bool,
        on_read: OnRead = lambda read, offsets: None,
        kafka: KafkaSettings | None = None,
    ) -> None:
        self._reader, self._names, self._on_read, self._kafka = reader, names, on_read, kafka
        self._event_bytes_max, self._framed = event_bytes_max, framed

    async def read(
        self,
        asked: Range,
        score: Score | None = None,
        *,
        with_outcomes: bool = True,
        history: ServingHistory = NO_HISTORY,
        records_min: int = RECORDS_MIN,
    ) -> Retained:
        """Everything of the range. `score` is asked about each observation as it is read; `history` says who should
        have published; below `records_min` this process reads alone. Raises TopicsError where the topics are not
        there, OutageError where Kafka does not answer."""
        names = self._names
        outputs = (names.predictions, names.outcome_updates) if with_outcomes else (names.predictions,)
        plan = ReadPlan(
            names,
            await self._asked(await self._reader.spans((names.observations,)), asked),
            await self._reader.spans(outputs),
            is_from_the_start=asked.begin == At(),
            history=history,
            event_bytes_max=self._event_bytes_max,
            framed=self._framed,
        )
        collected = _Collected(plan, score, self._on_read)
        shares = plan.shares(PROCESSES) if self._kafka is not None and plan.offsets >= records_min else []
        if self._kafka is not None and len(shares) > 1:
            await read_together(self._kafka, shares, collected.add)
        else:
            with no_collector():
                async for batch in row_batches(self._reader, plan):
                    collected.add(batch)
        return collected.retained()

    async def switches(self) -> list[ModelSwitch]:
        """What is said of switches of models, each partition's in order; none where there is no such topic."""
        try:
            spans = await self._reader.spans((self._names.model_switches,))
        except TopicsError:
            return []
        found = []
        async for _, records in self._reader.read(spans):
            found += [switch for record in records if (switch := decode_switch(record.value)) is not None]
        return found

    async def _asked(self, spans: Mapping[TopicPartition, Span], asked: Range) -> dict[TopicPartition, Span]:
        begins, ends = await self._offsets_of(spans, asked.begin), await self._offsets_of(spans, asked.end)
        chosen = {}
        for partition, span in spans.items():
            begin = min(max(begins.get(partition, span.begin), span.begin), span.end)
            chosen[partition] = Span(begin, max(min(ends.get(partition, span.end), span.end), begin))
        return chosen

    async def _offsets_of(self, spans: Spans, at: At) -> Mapping[TopicPartition, int]:
        if at.time_ms is not None:
            return await self._reader.offsets_at(spans, at.time_ms)
        return {} if at.offset is None else dict.fromkeys(spans, at.offset)


class _Collected:
    """Rows of all partitions as they come, their models numbered alike; observations are scored in batches."""

    def __init__(self, plan: ReadPlan, score: Score | None, on_read: OnRead) -> None:
        self._observed = {partition.partition: _Scored(score) for partition in plan.inputs}
        self._published: dict[int, list[Rows]] = {number: [] for number in self._observed}
        self._actual: list[Rows] = [np.empty(0, dtype=ACTUAL)]
        self._models = ModelIds()
        self._offsets, self._on_read = plan.offsets, on_read
        self._unreadable = self._records_read = 0

    def add(self, batch: RowBatch) -> None:
        self._records_read += batch.records
        if batch.kind == "observed":
            self._unreadable += batch.records - len(batch.rows)
            self._observed[batch.partition].add(batch.rows)
        elif batch.kind == "actual":
            self._actual.append(batch.rows)
        else:
            self._published[batch.partition].append(renumbered(batch.rows, batch.models, self._models))
        self._on_read(self._records_read, self._offsets)

    def retained(self) -> Retained:
        partitions = [
            PartitionRows(number, *scored.joined(), _joined(self._published[number], PUBLISHED))
            for number, scored in sorted(self._observed.items())
        ]
        return Retained(
            tuple(partitions), np.concatenate(self._actual), self._models, self._unreadable, self._records_read
        )


class _Scored:
    """The observations of a partition, scored in batches as they come."""

    def __init__(self, score: Score | None) -> None:
        self._score = score
        self._rows: list[Rows] = [np.empty(0, dtype=OBSERVED)]
        self._waiting: list[Rows] = []
        self._probas: list[NDArray[np.float64]] = [np.empty(0)]

    def add(self, rows: Rows) -> None:
        self._rows.append(rows)
        self._waiting.append(rows)
        if sum(map(len, self._waiting)) >= ROWS_MIN:
            self._ask()

    def _ask(self) -> None:
        if self._score is not None and self._waiting:
            self._probas.append(self._score(np.concatenate([rows["code"] for rows in self._waiting])))
        self._waiting = []

    def joined(self) -> tuple[Rows, NDArray[np.float64]]:
        self._ask()
        return np.concatenate(self._rows), np.concatenate(self._probas)


def _joined(rows: list[Rows], kind: np.dtype[np.void]) -> Rows:
    return np.concatenate(rows) if rows else np.empty(0, dtype=kind)


def scored_observations(rows: PartitionRows) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The places of observations with a prediction, and those of their predictions, shape (k,) each."""
    if not len(rows.observed) or not len(rows.published):
        return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)
    place = np.searchsorted(rows.observed["offset"], rows.published["source"])
    place = np.minimum(place, len(rows.observed) - 1)
    found = np.flatnonzero(rows.observed["offset"][place] == rows.published["source"])
    return place[found], found
