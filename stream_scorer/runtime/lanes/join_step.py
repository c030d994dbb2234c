"""The step that joins: outcome records of a batch, and outcomes that have waited too long, in; updates, dead letters
and entries out.

Invariant: it comes after the observations of the same batch, so that an outcome finds the prediction that was made a
moment ago.
"""

import time
from collections.abc import Callable, Sequence

from aiokafka import TopicPartition

from stream_scorer.core.contract.outcome_events import decode_outcomes
from stream_scorer.core.contract.reasons import Stage
from stream_scorer.core.contract.schema_frame import without_frames
from stream_scorer.core.contract.smoke_test_ids import smoke_test_indices
from stream_scorer.core.dead_letters.rejection import RejectedRecord, to_dead_letter
from stream_scorer.core.observations.limits import Limits
from stream_scorer.core.outcomes.batch_join import Outcomes, join_outcomes
from stream_scorer.core.outcomes.expiry import buffer_record, expire_waiting, record_and_reason
from stream_scorer.core.outcomes.join import JoinResult
from stream_scorer.core.quality.counts import QualityCounts
from stream_scorer.core.records.clock import WindowClock
from stream_scorer.core.records.record import trace_headers
from stream_scorer.core.records.repartitioning import repartition
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.kafka.batch_fetch import Record
from stream_scorer.runtime.lanes.batch import Batch, BatchResult, note_answers
from stream_scorer.runtime.lanes.score_step import count_replayed


class OutcomeStep:
    """Joins the outcomes of batches to what the lane's state knows."""

    def __init__(
        self, names: TopicNames, limits: Limits, clock_ms: Callable[[], int], slack_ms: Callable[[], int] = lambda: 0
    ) -> None:
        """`slack_ms`: by how much the join window is longer than the settings say."""
        self._names, self._limits, self._clock_ms = names, limits, clock_ms
        self._slack_ms = slack_ms

    def run(self, batch: Batch, work: BatchResult) -> None:
        """Add to `work` what becomes of the batch's outcomes and of those that are due."""
        began_s, validated_s = time.perf_counter(), work.stats.steps_s.get("validate", 0.0)
        clock = WindowClock(self._clock_ms(), self._limits.join_window_ms + self._slack_ms())
        rejected: list[RejectedRecord] = []
        if batch.outcomes:
            rejected += self._join(batch, work, clock)
            work.stats.replayed += count_replayed(batch.outcomes)
        if batch.due:
            rejected += self._expire(batch, work, clock)
        if rejected:
            letters = [
                to_dead_letter(
                    one, self._names.outcomes, batch.partition, clock.now_ms, self._limits.dead_letter_bytes_max
                )
                for one in rejected
            ]
            work.add_output(TopicPartition(self._names.dead_letters, batch.partition), letters)
            work.stats.count_dead_letters(rejected)
            work.stats.outcomes["dead_lettered"] += len(rejected)
        steps_s = work.stats.steps_s
        steps_s["join"] = time.perf_counter() - began_s - (steps_s.get("validate", 0.0) - validated_s)

    def _join(self, batch: Batch, work: BatchResult, clock: WindowClock) -> list[RejectedRecord]:
        """Answer the batch's outcomes; gives those that break the contract."""
        values: Sequence[bytes | None] = [record.value for record in batch.outcomes]
        values = without_frames(values) if self._limits.schema_registry_frames else values
        decoded = decode_outcomes(values, work.stats.timing("validate"))
        records = [batch.outcomes[position] for position in decoded.positions]
        home = repartition(decoded.ids, records, partition=batch.partition, partitions=self._limits.partitions)
        for owner, strays in home.moved.items():
            work.add_output(TopicPartition(self._names.outcomes, owner), strays)
            work.stats.outcomes["moved"] += len(strays)
        outcomes = Outcomes(
            decoded.ids,
            decoded.classes,
            [record.offset for record in records],
            [record.timestamp for record in records],
            {
                record.offset: carried
                for record in records
                if record.headers and (carried := trace_headers(record.headers))
            },
        )
        broken = [
            RejectedRecord(batch.outcomes[position], reasons, Stage.OUTCOME) for position, reasons in decoded.rejected
        ]
        broken += [RejectedRecord(records[row], (reason,), Stage.OUTCOME) for row, reason in home.stuck]
        if len(home.stay) < len(records):
            outcomes, records = outcomes.at(home.stay), [records[row] for row in home.stay]
        if smoke := smoke_test_indices(outcomes.ids):  # nobody should send such
            broken += self._answer(
                outcomes.at(smoke), [records[row] for row in smoke], batch, work, clock, in_figures=False
            )
            others = sorted(set(range(len(records))).difference(smoke))
            outcomes, records = outcomes.at(others), [records[row] for row in others]
        return broken + self._answer(outcomes, records, batch, work, clock)

    def _answer(
        self,
        outcomes: Outcomes,
        records: Sequence[Record],
        batch: Batch,
        work: BatchResult,
        clock: WindowClock,
        *,
        in_figures: bool = True,
    ) -> list[RejectedRecord]:
        """Join the outcomes to what is known of their ids; gives those that can no longer wait. `in_figures`: whether
        they count in figures of quality."""
        answers = join_outcomes(
            outcomes,
            self._find(batch, work, outcomes.ids),
            lambda position: buffer_record(records[position]),
            partition=batch.partition,
            models=batch.state.models,
            clock=clock,
        )
        if not in_figures:
            answers.counted, answers.retracted = QualityCounts(), QualityCounts()
            answers.first_rows, answers.first_ones, answers.corrected_ones = [], [], []
        note_answers(work, answers, TopicPartition(self._names.outcome_updates, batch.partition))
        return self._given_up(answers, batch, work)

    def _expire(self, batch: Batch, work: BatchResult, clock: WindowClock) -> list[RejectedRecord]:
        """End the outcomes whose observation has not come within the join window."""
        ids = list(dict.fromkeys(id_ for _, id_ in batch.due))
        answers = expire_waiting(
            ids, self._find(batch, work, ids), partition=batch.partition, models=batch.state.models, clock=clock
        )
        note_answers(work, answers, TopicPartition(self._names.outcome_updates, batch.partition))
        return self._given_up(answers, batch, work)

    def _find(self, batch: Batch, work: BatchResult, ids: Sequence[bytes]) -> list[bytes | None]:
        """What is known of the ids, this very batch included."""
        found = batch.state.find(ids)
        entries = work.entries
        if entries and not entries.keys().isdisjoint(ids):
            return [entries.get(id_, kept) for id_, kept in zip(ids, found, strict=True)]
        return found

    def _given_up(self, answers: JoinResult, batch: Batch, work: BatchResult) -> list[RejectedRecord]:
        rejected = []
        for given_up in answers.given_up:
            record, reason = record_and_reason(given_up, self._names.outcomes, batch.partition)
            rejected.append(RejectedRecord(record, (reason,), Stage.OUTCOME, given_up.record.truncation))
        work.stats.outcomes["unknown"] += len(rejected)
        return rejected
