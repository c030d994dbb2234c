"""What follows a commit: it is counted, and watched for what somebody must be told.

Invariant: nothing is counted before it is committed.
"""

import logging
import time

from stream_scorer.core.dead_letters.circuit_breaker import CircuitBreaker
from stream_scorer.runtime.lanes.batch import Batch, BatchResult
from stream_scorer.runtime.metrics.registry import Metrics
from stream_scorer.runtime.settings.settings import WorkerSettings
from stream_scorer.runtime.worker.clock import wall_clock_ms
from stream_scorer.runtime.worker.log_format import IdHash

log = logging.getLogger(__name__)

# A model that fails at many rows fails in many batches: one line now and then says as much
TELL_UNSCORED_EVERY_S = 60.0
HASHES_TOLD_MAX = 5


class CommitListener:
    """Hears of every batch of every lane, once it is committed."""

    def __init__(self, metrics: Metrics, worker: WorkerSettings, hash_id: IdHash) -> None:
        self._metrics, self._worker, self._hash_id = metrics, worker, hash_id
        self._brake = letter_brake(worker)
        self._tell_unscored_at_s = 0.0

    def committed(self, batch: Batch, work: BatchResult) -> None:
        """Count a batch."""
        now_ms = wall_clock_ms()
        self._metrics.committed(batch, work.stats, now_ms)
        if work.suspensions:
            self._metrics.suspended(len(work.suspensions))
            for suspension in work.suspensions:
                log.error(
                    "lane %s goes on without %s: %s. The next control record brings it back",
                    batch.partition,
                    suspension.label,
                    suspension.reason,
                )
        if self._brake is not None:
            self._watch_letters(self._brake, batch.records, work.stats.letters.total(), now_ms)
        if (ids := work.stats.unscored) and time.monotonic() >= self._tell_unscored_at_s:
            self._tell_unscored_at_s = time.monotonic() + TELL_UNSCORED_EVERY_S
            log.warning(
                "the model could not score %s observations of a batch of lane %s: they are dead letters now. "
                "The hashes of their ids, of some at least: %s",
                len(ids),
                batch.partition,
                " ".join(map(self._hash_id, ids[:HASHES_TOLD_MAX])),
            )

    def held_back_s(self) -> float:
        """For how long nothing is to be read, because of too many dead letters."""
        return 0.0 if self._brake is None else self._brake.holds_for_ms(wall_clock_ms()) / 1000

    def _watch_letters(self, brake: CircuitBreaker, records: int, letters: int, now_ms: int) -> None:
        if (pulled := brake.add(now_ms, records, letters)) is not None:
            self._metrics.breaker_tripped()
            log.error(
                "%s of %s records became dead letters within %s s: consumption pauses for as long. See what they "
                "have in common with `stream-scorer dead-letters list`",
                pulled.letters,
                pulled.records,
                self._worker.dead_letter_brake_window_s,
            )


def letter_brake(worker: WorkerSettings) -> CircuitBreaker | None:
    """The brake on dead letters, where the settings want one."""
    if worker.dead_letter_brake_share is None:
        return None
    return CircuitBreaker(
        worker.dead_letter_brake_share,
        int(worker.dead_letter_brake_window_s * 1000),
        worker.dead_letter_brake_records_min,
    )
