"""The catalogue of metrics, filled: what a worker shows, updated once a batch, after its commit.

Invariant: a figure stands in the catalogue or nowhere; what was aborted is in none.
"""

from dataclasses import replace
from hashlib import sha256

import msgspec
import numpy as np
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import generate_latest

import stream_scorer
from stream_scorer.core.contract.columns import COLUMNS
from stream_scorer.core.contract.reasons import Code
from stream_scorer.core.quality.drift_buckets import FeatureCounts
from stream_scorer.models.registry.reference_distributions import ReferenceDistributions
from stream_scorer.runtime.lanes.batch import Batch, BatchStats
from stream_scorer.runtime.metrics import catalogue as catalogue
from stream_scorer.runtime.metrics.definitions import Definition, Labels
from stream_scorer.runtime.metrics.evidence_metrics import EvidenceMetrics
from stream_scorer.runtime.metrics.exposition import Histogram, Series, family_text, series_lines
from stream_scorer.runtime.metrics.model_metrics import ModelMetrics
from stream_scorer.runtime.settings.sections import BusinessSettings

# Everything that has one value or histogram for each set of labels; what is told by model is kept elsewhere
PLAIN = tuple(
    one for one in catalogue.CATALOGUE if not one.models_max and one not in (catalogue.FEATURES, catalogue.BUILD)
)


class Metrics:
    """One for each worker process. `business`: histograms get its limits as bounds, so that the share beyond them is
    known exactly."""

    def __init__(self, business: BusinessSettings | None = None) -> None:
        limits = business or BusinessSettings()
        extra = {
            catalogue.LATENCY_SECONDS: limits.latency_ms_max / 1000,
            catalogue.MODEL_SECONDS: limits.model_ms_max / 1000,
        }
        self._figures = {one: Series(one) for one in PLAIN if one.kind != "histogram"}
        self._histograms = {
            one: Histogram(with_bound(one, extra[one]) if one in extra else one)
            for one in PLAIN
            if one.kind == "histogram"
        }
        self._codes_seen: set[Code] = set()
        self._features = FeatureCounts()
        self.models = ModelMetrics()
        self.evidence = EvidenceMetrics()
        build = replace(catalogue.BUILD, combinations=((stream_scorer.__version__, contract_digest()),))
        self._build = family_text(build, series_lines(build, (), [1.0]))
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)

    def model_loaded(self, model: str, role: str, trained_on: ReferenceDistributions | None = None) -> None:
        self.models.load((model, role), trained_on)

    def suspended(self, models: int) -> None:
        self._figures[catalogue.SUSPENSIONS].add(models)

    def judged(self, event: str) -> None:
        """The judge promoted or withdrew a candidate, or could not."""
        self._figures[catalogue.JUDGE_EVENTS].add(1.0, event)

    def model_unloaded(self, model: str, role: str) -> None:
        self.models.unload((model, role))

    def restored(self, seconds: float) -> None:
        self._histograms[catalogue.RESTORE_SECONDS].observe(seconds)

    def rebalanced(self) -> None:
        self._figures[catalogue.REBALANCES].add()

    def breaker_tripped(self) -> None:
        """Intake pauses because too many records became dead letters."""
        self._figures[catalogue.BREAKER_TRIPS].add()

    def lost_to_retention(self, input_: str, offsets: int) -> None:
        """So many offsets of an input were deleted unread."""
        self._figures[catalogue.LOST_TO_RETENTION].add(offsets, input_)

    def refused(self, cause: str) -> None:
        """The worker reads on no more."""
        self._figures[catalogue.REFUSED].set(1, cause)

    def connection_closed(self, why: str) -> None:
        """The HTTP server closed a connection by itself."""
        self._figures[catalogue.HTTP_CONNECTIONS_CLOSED].add(1.0, why)

    def fetched(self, seconds: float) -> None:
        """A fetch brought records after this time."""
        self._histograms[catalogue.STEP_SECONDS].observe(seconds, "fetch")

    def committed(self, batch: Batch, stats: BatchStats, committed_at_ms: int) -> None:
        """Count a batch whose transaction has ended well."""
        figures, histograms = self._figures, self._histograms
        figures[catalogue.COMMITS].add()
        figures[catalogue.REPLAYED].add(stats.replayed)
        figures[catalogue.QUARANTINED].add(stats.quarantined)
        figures[catalogue.SHADOW_PREDICTIONS].add(stats.shadow_predictions)
        figures[catalogue.SHADOWS_MISSING].add(stats.shadows_missing)
        histograms[catalogue.BATCH_RECORDS].observe(batch.records)
        for step, seconds in stats.steps_s.items():
            histograms[catalogue.STEP_SECONDS].observe(seconds, step)
        for end, count in stats.observations.items():
            figures[catalogue.OBSERVATIONS].add(count, end)
        for end, count in stats.outcomes.items():
            figures[catalogue.OUTCOMES].add(count, end)
        for (code, stage), count in stats.letters.items():
            figures[catalogue.DEAD_LETTERS].add(count, code.value, stage.value)
            if code not in self._codes_seen:
                self._codes_seen.add(code)
                figures[catalogue.CODE_FIRST_SEEN].set(committed_at_ms / 1000, code.value)
        if stats.predicted_ms:
            stamped_ms = np.array(stats.predicted_ms)
            waited_ms = committed_at_ms - stamped_ms[stamped_ms >= 0]
            histograms[catalogue.LATENCY_SECONDS].observe_many(np.maximum(waited_ms, 0) / 1000)
            histograms[catalogue.MODEL_SECONDS].observe(stats.steps_s["predict"], times=len(stats.predicted_ms))
        for model, codes, probabilities in stats.scored:
            self._features.add(codes)
            self.models.scored(model, codes, probabilities)
        for model, codes, probabilities in stats.shadow_scored:
            self.models.scored(model, codes, probabilities)
        self.models.add(stats.counted, stats.retracted)

    def counts(self, counter: Definition) -> dict[Labels, int]:
        """A counter's values so far, by labels."""
        return self._figures[counter].counts()

    def latency(self) -> tuple[list[float], list[int]]:
        """The bounds of the latency's buckets in seconds, and how many predictions lie in each and beyond the last."""
        histogram = self._histograms[catalogue.LATENCY_SECONDS]
        return list(histogram.bounds), histogram.counts()

    def set(self, gauge: Definition, value: float) -> None:
        """A gauge's value as of now."""
        self._figures[gauge].set(value)

    def expose(self) -> bytes:
        """The text that Prometheus reads."""
        plain: list[Series | Histogram] = [*self._figures.values(), *self._histograms.values()]
        features = series_lines(catalogue.FEATURES, (), self._features.counts())
        texts = [
            *(family_text(one.definition, one.lines()) for one in plain),
            family_text(catalogue.FEATURES, features),
            *self.models.texts(),
            *self.evidence.texts(),
            self._build,
        ]
        return "".join(texts).encode() + generate_latest(self._process)


def with_bound(definition: Definition, bound: float) -> Definition:
    return replace(definition, bounds=tuple(sorted({*definition.bounds, bound})))


def contract_digest() -> str:
    """Changes whenever the columns or their values do."""
    return sha256(msgspec.json.encode([(line.name, line.domain) for line in COLUMNS])).hexdigest()[:12]
