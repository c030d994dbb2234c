"""What came of the demo, counted from the topics as a `read_committed` reader finds them; latencies alone are what
the watcher measured live.
"""

import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from stream_scorer.core.audit.reconciliation import Disposition
from stream_scorer.core.contract.reasons import Code, Stage
from stream_scorer.core.records.dead_letter_headers import ERRORS, STAGE
from stream_scorer.core.records.decode import decode_or_none
from stream_scorer.core.records.record import last_header
from stream_scorer.operations.audit.report import AuditReport, audit
from stream_scorer.operations.demo.rollout_summary import RolloutSummary
from stream_scorer.operations.harness.latency_percentiles import latency_figures
from stream_scorer.operations.reading.topic_reader import Reader, Record
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.kafka.client import client_options
from stream_scorer.runtime.settings.settings import Settings


class DemoSummary(msgspec.Struct, kw_only=True):
    """Records are counted once, those of the warm-up not at all: `observations` without the copies that moves made,
    `dead_letters` of observations, by the first reason's code.

    observations = predictions + dead_letters + redelivered + unaccounted, where nothing is doubled.
    """

    observations: int
    predictions: int
    dead_letters: int
    dead_letters_by_code: dict[str, int]
    redelivered: int
    conflicts: int
    moved: int
    unaccounted: int
    duplicated: int
    outcomes: int
    outcome_updates: int
    joined: int
    corrected: int
    waited: int
    awaiting: int
    unknown: int
    repeats: int
    outcome_dead_letters: int
    outcome_dead_letters_by_code: dict[str, int]
    success_rate: float | None
    latency_ms: dict[str, float]
    worker_restarts: int = 0
    counting_s: float = 0.0
    rollout: RolloutSummary | None = None

    @property
    def is_fine(self) -> bool:
        """Every record ended in exactly one place, and each prediction is what its model says."""
        is_as_served = self.rollout is None or self.rollout.same == self.rollout.predictions
        return is_as_served and not (self.unaccounted or self.duplicated)


class _Joined(msgspec.Struct, gc=False):
    """Of an update, what is counted."""

    id: str
    status: str
    revision: int = 1
    prediction: bool | None = None
    true_class: bool | None = None


# A record among the dead letters that somebody else wrote
NOT_OURS = "unreadable"


class _LetterReason(msgspec.Struct, gc=False):
    code: str


class LatestUpdate(NamedTuple):
    """The last word on an id."""

    revision: int
    predicted: bool
    true_class: bool


class _Counts:
    """Output records, counted as they are read."""

    def __init__(self, names: TopicNames) -> None:
        self._names = names
        self.predictions = 0
        self.updates: Counter[str] = Counter()
        self.letters: Counter[str] = Counter()
        self.outcome_letters: Counter[str] = Counter()
        self.verdicts: dict[str, LatestUpdate] = {}
        self._decode_joined = msgspec.json.Decoder(_Joined).decode
        self._decode_reasons = msgspec.json.Decoder(list[_LetterReason]).decode

    def note(self, topic: str, records: Sequence[Record]) -> None:
        if topic == self._names.predictions:
            self.predictions += len(records)
        elif topic == self._names.dead_letters:
            for record in records:
                reasons = decode_or_none(self._decode_reasons, last_header(record.headers, ERRORS))
                first = reasons[0].code if reasons else NOT_OURS
                is_outcome = last_header(record.headers, STAGE) == Stage.OUTCOME.value.encode()
                (self.outcome_letters if is_outcome else self.letters)[first] += 1
        else:
            for record in records:
                update = decode_or_none(self._decode_joined, record.value)
                if update is not None:
                    self._note_update(update)

    def _note_update(self, update: _Joined) -> None:
        self.updates["corrected" if update.status == "joined" and update.revision > 1 else update.status] += 1
        if update.status == "joined" and update.prediction is not None and update.true_class is not None:
            before = self.verdicts.get(update.id)
            if before is None or before.revision < update.revision:
                self.verdicts[update.id] = LatestUpdate(update.revision, update.prediction, update.true_class)

    @property
    def success_rate(self) -> float | None:
        """The precision of `prediction: true` over the last words; None while there is none."""
        positives = [verdict.true_class for verdict in self.verdicts.values() if verdict.predicted]
        return round(sum(positives) / len(positives), 4) if positives else None


async def count_up(settings: Settings, latencies_ms: Sequence[float], warmed_up: int = 0) -> DemoSummary:
    """Read all topics from their beginning and count what is there. `warmed_up`: observations of the warm-up, all of
    which end as predictions."""
    started = time.monotonic()
    options, names = client_options(settings.kafka), TopicNames(settings.topics.prefix)
    report = await audit(
        options, names, settings.group_name, count_unread=True, join_window_s=settings.worker.join_window_s
    )
    counts = _Counts(names)
    async with Reader(options) as reader:
        spans = await reader.spans((names.predictions, names.dead_letters, names.outcome_updates))
        async for partition, records in reader.read(spans):
            counts.note(partition.topic, records)
    return _summary(report, counts, latencies_ms, warmed_up, time.monotonic() - started)


def _summary(
    report: AuditReport, counts: _Counts, latencies_ms: Sequence[float], warmed_up: int, counting_s: float
) -> DemoSummary:
    return DemoSummary(
        observations=report.inputs["observations"] - report.ended[Disposition.MOVE] - warmed_up,
        predictions=counts.predictions - warmed_up,
        dead_letters=counts.letters.total(),
        dead_letters_by_code=dict(counts.letters.most_common()),
        redelivered=report.ended[Disposition.REDELIVERY],
        conflicts=counts.letters[Code.CONFLICT],
        moved=report.ended[Disposition.MOVE],
        unaccounted=report.unaccounted,
        duplicated=report.duplicated + report.predicted_twice + report.strays,
        outcomes=report.inputs["outcomes"],
        outcome_updates=counts.updates.total(),
        joined=counts.updates["joined"],
        corrected=counts.updates["corrected"],
        waited=counts.updates["awaiting_prediction"],
        awaiting=report.ended[Disposition.AWAITING],
        unknown=counts.updates["unknown"],
        repeats=report.ended[Disposition.REPEAT],
        outcome_dead_letters=counts.outcome_letters.total(),
        outcome_dead_letters_by_code=dict(counts.outcome_letters.most_common()),
        success_rate=counts.success_rate,
        latency_ms=latency_figures(latencies_ms, (0.5, 0.99)),
        counting_s=round(counting_s, 3),
    )
