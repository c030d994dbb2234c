"""The catalogue of metrics, filled: what a worker shows of the batches that it has committed.

Invariant: a figure stands in the catalogue or nowhere; what was aborted is in none. Whoever reads a figure has every
committed batch in it, although batches are counted many at once.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from itertools import chain
from typing import Final, NamedTuple

import msgspec
import numpy as np
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import generate_latest

import stream_scorer
from stream_scorer.core.contract.columns import COLUMNS
from stream_scorer.core.contract.reasons import Code, Stage
from stream_scorer.core.observations.speakers import ScoredSample
from stream_scorer.core.quality.counts import Model
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
# Committed batches wait to be counted together: counting one of two records alone takes 33 µs, among others 5
WAITING_BATCHES_MAX: Final = 256
WAITING_RECORDS_MAX: Final = 4_096


class Committed(NamedTuple):
    """A committed batch, to be counted."""

    records: int
    stats: BatchStats
    at_ms: int


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
        self._models = ModelMetrics()
        self._waiting: list[Committed] = []
        self._waiting_records = 0
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
        self._waiting.append(Committed(batch.records, stats, committed_at_ms))
        self._waiting_records += batch.records
        if len(self._waiting) >= WAITING_BATCHES_MAX or self._waiting_records >= WAITING_RECORDS_MAX:
            self._count()

    def _count(self) -> None:
        """Count the batches that wait."""
        if not self._waiting:
            return
        waiting, self._waiting, self._waiting_records = self._waiting, [], 0
        figures, histograms = self._figures, self._histograms
        all_stats = [one.stats for one in waiting]
        figures[catalogue.COMMITS].add(len(waiting))
        figures[catalogue.REPLAYED].add(sum(stats.replayed for stats in all_stats))
        figures[catalogue.QUARANTINED].add(sum(stats.quarantined for stats in all_stats))
        figures[catalogue.SHADOW_PREDICTIONS].add(sum(stats.shadow_predictions for stats in all_stats))
        figures[catalogue.SHADOWS_MISSING].add(sum(stats.shadows_missing for stats in all_stats))
        histograms[catalogue.BATCH_RECORDS].observe_many([one.records for one in waiting])
        self._count_ends(waiting)
        self._count_times(waiting)
        samples: defaultdict[Model, list[ScoredSample]] = defaultdict(list)
        for stats in all_stats:
            for model, sample in stats.scored:
                samples[model].append(sample)
            for model, codes, probabilities in stats.shadow_scored:
                self._models.add_probabilities(model, codes, probabilities)
            self._models.add(stats.counted, stats.retracted)
        for model, scored in samples.items():
            codes, decisions, probabilities = map(np.concatenate, zip(*scored, strict=True))
            self._features.add(codes)
            self._models.scored(model, codes, decisions, probabilities)

    def _count_ends(self, waiting: Sequence[Committed]) -> None:
        """Where records ended."""
        observations: Counter[str] = Counter()
        outcomes: Counter[str] = Counter()
        letters: Counter[tuple[Code, Stage]] = Counter()
        for _, stats, at_ms in waiting:
            observations.update(stats.observations)
            outcomes.update(stats.outcomes)
            letters.update(stats.letters)
            for code, _ in stats.letters:
                if code not in self._codes_seen:
                    self._codes_seen.add(code)
                    self._figures[catalogue.CODE_FIRST_SEEN].set(at_ms / 1000, code.value)
        for end, count in observations.items():
            self._figures[catalogue.OBSERVATIONS].add(count, end)
        for end, count in outcomes.items():
            self._figures[catalogue.OUTCOMES].add(count, end)
        for (code, stage), count in letters.items():
            self._figures[catalogue.DEAD_LETTERS].add(count, code.value, stage.value)

    def _count_times(self, waiting: Sequence[Committed]) -> None:
        """How long batches took, and what was predicted waited."""
        steps_s: defaultdict[str, list[float]] = defaultdict(list)
        for _, stats, _ in waiting:
            for step, seconds in stats.steps_s.items():
                steps_s[step].append(seconds)
        for step, each_s in steps_s.items():
            self._histograms[catalogue.STEP_SECONDS].observe_many(each_s, step)
        predicted = [one for one in waiting if one.stats.predicted_ms]
        if not predicted:
            return
        counts = [len(one.stats.predicted_ms) for one in predicted]
        stamped_ms = np.fromiter(chain.from_iterable(one.stats.predicted_ms for one in predicted), np.int64)
        waited_ms = (np.repeat([one.at_ms for one in predicted], counts) - stamped_ms)[stamped_ms >= 0]
        self._histograms[catalogue.LATENCY_SECONDS].observe_many(np.maximum(waited_ms, 0) / 1000)
        in_model_s = np.repeat([one.stats.steps_s["predict"] for one in predicted], counts)
        self._histograms[catalogue.MODEL_SECONDS].observe_many(in_model_s)

    @property
    def models(self) -> ModelMetrics:
        """What is told by model."""
        self._count()
        return self._models

    def counts(self, counter: Definition) -> dict[Labels, int]:
        """A counter's values so far, by labels."""
        self._count()
        return self._figures[counter].counts()

    def latency(self) -> tuple[list[float], list[int]]:
        """The bounds of the latency's buckets in seconds, and how many predictions lie in each and beyond the last."""
        self._count()
        histogram = self._histograms[catalogue.LATENCY_SECONDS]
        return list(histogram.bounds), histogram.counts()

    def set(self, gauge: Definition, value: float) -> None:
        """A gauge's value as of now."""
        self._figures[gauge].set(value)

    def expose(self) -> bytes:
        """The text that Prometheus reads."""
        self._count()
        plain: list[Series | Histogram] = [*self._figures.values(), *self._histograms.values()]
        features = series_lines(catalogue.FEATURES, (), self._features.counts())
        texts = [
            *(family_text(one.definition, one.lines()) for one in plain),
            family_text(catalogue.FEATURES, features),
            *self._models.texts(),
            *self.evidence.texts(),
            self._build,
        ]
        return "".join(texts).encode() + generate_latest(self._process)


def with_bound(definition: Definition, bound: float) -> Definition:
    return replace(definition, bounds=tuple(sorted({*definition.bounds, bound})))


def contract_digest() -> str:
    """Changes whenever the columns or their values do."""
    return sha256(msgspec.json.encode([(line.name, line.domain) for line in COLUMNS])).hexdigest()[:12]
