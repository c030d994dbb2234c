"""A batch of a lane and what becomes of it: what the lane, the agents and the publisher hand to each other.

Invariant: a batch is read, worked on and committed as a whole; what is to be counted or kept is noted on the way and
done after the commit.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from aiokafka import TopicPartition

from stream_scorer.core.contract.quarantined_batch import QuarantinedBatch
from stream_scorer.core.contract.reasons import Code, Stage
from stream_scorer.core.dead_letters.rejection import RejectedRecord
from stream_scorer.core.observations.scoring import Codes, Probabilities
from stream_scorer.core.observations.speakers import Published, ScoredSample
from stream_scorer.core.outcomes.join import JoinResult
from stream_scorer.core.quality.counts import Model, QualityCounts
from stream_scorer.core.records.model_switch import FirstOffsets
from stream_scorer.core.records.record import Publishable
from stream_scorer.runtime.kafka.batch_fetch import Record
from stream_scorer.runtime.rollout.serving_models import ServingModels
from stream_scorer.runtime.state.pending_writes import PendingWrites


class Suspension(NamedTuple):
    """A candidate that a lane goes on without, and why. `label`: as predictions name it."""

    digest: str
    label: str
    reason: str


@dataclass(slots=True)
class Batch:
    """Records of one lane that go through together, by input topic, and the offsets to commit with what becomes of
    them. `models`: who scores it; `first`: the first offset of each input that it is about.

    `due`: (event time, id) of outcomes that may have waited for longer than the join window.
    """

    partition: int
    observations: Sequence[Record]
    outcomes: Sequence[Record]
    offsets: dict[TopicPartition, int]
    state: PendingWrites
    models: ServingModels
    first: FirstOffsets
    due: Sequence[tuple[int, bytes]] = ()

    @property
    def records(self) -> int:
        return len(self.observations) + len(self.outcomes)

    @property
    def oldest_ms(self) -> int | None:
        """The timestamp of the oldest of the two topics' first records that have one."""
        return oldest_ms(self.observations, self.outcomes)


def oldest_ms(*queues: Sequence[Record]) -> int | None:
    """The earliest timestamp at the head of the queues; None where there is none."""
    heads = [records[0].timestamp for records in queues if records]
    return min((timestamp for timestamp in heads if timestamp >= 0), default=None)


@dataclass(slots=True)
class BatchStats:
    """What is to be counted once the batch is committed, by where its records ended. `scored`: for each model its
    predictions; `shadow_scored`: what shadows would have said, in `counted` too; `counted`, `retracted`: quality;
    `unscored`: ids that it failed at; `quarantined`: records of batches that were not unfolded; `shadow_predictions`:
    records of them; `shadows_missing`: predictions that shadows owe."""

    observations: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    letters: Counter[tuple[Code, Stage]] = field(default_factory=Counter)
    replayed: int = 0
    shadow_predictions: int = 0
    shadows_missing: int = 0
    quarantined: int = 0
    unscored: Sequence[bytes] = ()
    predicted_ms: Sequence[int] = ()
    scored: list[tuple[Model, ScoredSample]] = field(default_factory=list)
    shadow_scored: list[tuple[Model, Codes, Probabilities]] = field(default_factory=list)
    steps_s: dict[str, float] = field(default_factory=dict)
    counted: QualityCounts = field(default_factory=QualityCounts)
    retracted: QualityCounts = field(default_factory=QualityCounts)

    def count_dead_letters(self, rejected: Sequence[RejectedRecord]) -> None:
        """Note dead letters, by their first reason."""
        self.letters.update((one.reasons[0].code, one.stage) for one in rejected)
        batches = [one.record.value for one in rejected if isinstance(one.record.value, QuarantinedBatch)]
        self.quarantined += sum(batch.summary.records for batch in batches)

    @contextmanager
    def timing(self, step: str) -> Iterator[None]:
        """Add the time of a block to that of a step; a block that is never entered takes none."""
        began_s = time.perf_counter()
        try:
            yield
        finally:  # a generator that ends is left by an exception
            self.steps_s[step] = self.steps_s.get(step, 0.0) + time.perf_counter() - began_s


@dataclass(slots=True)
class BatchResult:
    """What became of a batch: records to publish, entries to keep once they are committed, what to count then, and the
    candidates that the lane goes on without. For evidence: `published`, None where nothing was; `shadow_answers` by
    digest; `joined`, what came of outcomes."""

    outputs: dict[TopicPartition, Sequence[Publishable]] = field(default_factory=dict)
    entries: dict[bytes, bytes | None] = field(default_factory=dict)
    stats: BatchStats = field(default_factory=BatchStats)
    suspensions: list[Suspension] = field(default_factory=list)
    published: Published | None = None
    shadow_answers: dict[str, Probabilities] = field(default_factory=dict)
    joined: list[JoinResult] = field(default_factory=list)

    def add_output(self, partition: TopicPartition, records: Sequence[Publishable]) -> None:
        """Add records to what goes to this partition."""
        if records:
            before = self.outputs.get(partition)
            self.outputs[partition] = [*before, *records] if before else records


def note_answers(work: BatchResult, answers: JoinResult, updates: TopicPartition) -> None:
    """Add what came of outcomes to what is published, kept and counted."""
    work.add_output(updates, answers.updates)
    work.entries.update(answers.entries)
    work.joined.append(answers)
    work.stats.counted.add(answers.counted)
    work.stats.retracted.add(answers.retracted)
    work.stats.outcomes.update(
        joined=answers.joined,
        corrected=answers.corrections,
        repeated=len(answers.repeats),
        awaiting=len(answers.awaiting),
    )
