"""Every figure that a worker shows, in one catalogue; updated once a batch, after its commit.

Law: base units, names by Prometheus' rules, labels bounded by closed sets, every combination there from the start at 0.
"""

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import generate_latest

import stream_scorer
from stream_scorer.core.reasons import Code, Stage
from stream_scorer.runtime.batches import Batch, Noted
from stream_scorer.runtime.histograms import BulkHistogram
from stream_scorer.runtime.quality_counters import QualityCounters

# when a series was made is of no use to anybody here, and doubles what is scraped
disable_created_metrics()  # type: ignore[no-untyped-call]

STEPS = ("decode", "admit", "predict", "encode", "join", "publish")
OBSERVATION_ENDS = ("predicted", "dead_lettered", "redelivered", "moved")
OUTCOME_ENDS = ("joined", "corrected", "repeated", "awaiting", "unknown", "dead_lettered", "moved")
STAGES_OF_CODES = {
    Code.NOT_JSON: Stage.DECODE,
    Code.TOO_LARGE: Stage.DECODE,
    Code.NOT_AN_OBJECT: Stage.DECODE,
    Code.CONFLICT: Stage.CONFLICT,
    Code.SCORING_FAILED: Stage.SCORE,
    Code.INVALID_OUTPUT: Stage.OUTPUT,
    Code.MISSING_TRUE_CLASS: Stage.OUTCOME,
    Code.INVALID_TRUE_CLASS: Stage.OUTCOME,
    Code.UNKNOWN_ID: Stage.OUTCOME,
}
STEP_BOUNDS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
LATENCY_BOUNDS_S = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)
RESTORE_BOUNDS_S = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
BATCH_BOUNDS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000)


class Metrics:
    """The catalogue, filled. One for each worker process."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._observations = Counter(
            "stream_scorer_observations", "Observation records, by where they ended", ["end"], registry=registry
        )
        self._outcomes = Counter(
            "stream_scorer_outcomes", "Outcome records, by where they ended", ["end"], registry=registry
        )
        self._letters = Counter(
            "stream_scorer_dead_letters",
            "Dead letters, by the first reason's code and the stage",
            ["code", "stage"],
            registry=registry,
        )
        self._batches = BulkHistogram(
            "stream_scorer_batch_records", "Records that went through together", BATCH_BOUNDS, registry
        )
        self._steps = Histogram(
            "stream_scorer_step_seconds",
            "Time of a batch in each step",
            ["step"],
            buckets=STEP_BOUNDS_S,
            registry=registry,
        )
        self._latency = BulkHistogram(
            "stream_scorer_latency_seconds",
            "From a record's timestamp to its committed prediction",
            LATENCY_BOUNDS_S,
            registry,
        )
        self._commits = Counter("stream_scorer_commits", "Batches committed", registry=registry)
        self.rebalances = Counter(
            "stream_scorer_rebalances", "Times that partitions were assigned anew", registry=registry
        )
        self.lanes = Gauge("stream_scorer_lanes", "Lanes of this worker that are open", registry=registry)
        self.held = Gauge("stream_scorer_held_records", "Records read and not committed yet", registry=registry)
        self.lag = Gauge("stream_scorer_lag_records", "Records that wait, in Kafka and here", registry=registry)
        self.oldest = Gauge(
            "stream_scorer_oldest_waiting_seconds", "Age of the oldest record that waits here", registry=registry
        )
        self.commit_age = Gauge(
            "stream_scorer_commit_age_seconds", "Time since the last commit while records are held", registry=registry
        )
        self.state_ids = Gauge("stream_scorer_state_ids", "Ids that the lanes' state holds, about", registry=registry)
        self.state_bytes = Gauge("stream_scorer_state_bytes", "Bytes on disk of the lanes' state", registry=registry)
        self._restores = Histogram(
            "stream_scorer_restore_seconds",
            "Time to bring a lane's state up to date",
            buckets=RESTORE_BOUNDS_S,
            registry=registry,
        )
        self.quality = QualityCounters(registry)
        self.ready = Gauge("stream_scorer_ready", "1 while the worker is ready", registry=registry)
        self._model = Gauge(
            "stream_scorer_model_loaded", "The models that are loaded", ["model", "role"], registry=registry
        )
        build = Gauge("stream_scorer_build", "The version that runs", ["version"], registry=registry)
        build.labels(stream_scorer.__version__).set(1)
        self._step_children = {step: self._steps.labels(step) for step in STEPS}
        self._observation_children = {end: self._observations.labels(end) for end in OBSERVATION_ENDS}
        self._outcome_children = {end: self._outcomes.labels(end) for end in OUTCOME_ENDS}
        for code in Code:
            self._letters.labels(code.value, STAGES_OF_CODES.get(code, Stage.CONTRACT).value)
        for code in (Code.NOT_JSON, Code.TOO_LARGE, Code.NOT_AN_OBJECT, Code.MISSING_ID, Code.INVALID_ID):
            self._letters.labels(code.value, Stage.OUTCOME.value)

    def model_loaded(self, model: str, role: str) -> None:
        self._model.labels(model, role).set(1)
        self.quality.announce(model, role)

    def restored(self, seconds: float) -> None:
        self._restores.observe(seconds)

    def committed(self, batch: Batch, noted: Noted, committed_at_ms: int) -> None:
        """Count a batch whose transaction has ended well."""
        self._commits.inc()
        self._batches.observe_many([batch.records])
        for step, seconds in noted.steps_s.items():
            self._step_children[step].observe(seconds)
        for end, count in noted.observations.items():
            self._observation_children[end].inc(count)
        for end, count in noted.outcomes.items():
            self._outcome_children[end].inc(count)
        for (code, stage), count in noted.letters.items():
            self._letters.labels(code.value, stage.value).inc(count)
        if noted.predicted_ms:
            waited_ms = committed_at_ms - np.array(noted.predicted_ms)
            self._latency.observe_many(np.maximum(waited_ms, 0) / 1000)
        self.quality.add(noted.counted, noted.retracted)

    def ended(self) -> dict[str, int]:
        """How many records ended where so far, as `observations.predicted`, and dead letters as `letters`."""
        ended = {
            f"{kind}.{sample.labels['end']}": int(sample.value)
            for kind, counter in (("observations", self._observations), ("outcomes", self._outcomes))
            for family in counter.collect()
            for sample in family.samples
        }
        ended["letters"] = ended["observations.dead_lettered"] + ended["outcomes.dead_lettered"]
        return ended

    @property
    def latency_counts(self) -> tuple[int, ...]:
        """Committed predictions so far, by latency: one count for each of `LATENCY_BOUNDS_S` and one beyond."""
        return self._latency.counts

    def expose(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)
