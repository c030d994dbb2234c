"""What a worker shows: the catalogue and nothing else, from the start, within its budget, in Prometheus' own format."""

import re
from collections.abc import Callable

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Metric
from prometheus_client import Histogram as LibraryHistogram
from prometheus_client.parser import text_string_to_metric_families

from stream_scorer.core.contract.observation_code import CODES
from stream_scorer.core.contract.reasons import Code, Stage
from stream_scorer.core.observations.speakers import ScoredSample
from stream_scorer.core.quality.counts import QualityCounts
from stream_scorer.core.quality.drift_buckets import FEATURE_BUCKETS, GROUP_BUCKETS, PROBABILITY_BUCKETS
from stream_scorer.core.records.model_switch import FirstOffsets
from stream_scorer.models.registry.reference_distributions import ReferenceDistributions
from stream_scorer.runtime.lanes.batch import Batch, BatchStats
from stream_scorer.runtime.metrics import catalogue as catalogue
from stream_scorer.runtime.metrics.definitions import Definition
from stream_scorer.runtime.metrics.evidence_catalogue import EVIDENCE_CATALOGUE
from stream_scorer.runtime.metrics.exposition import Histogram, escaped, family_text
from stream_scorer.runtime.metrics.registry import Metrics
from stream_scorer.runtime.settings.settings import BusinessSettings
from stream_scorer.runtime.state.pending_writes import PendingWrites
from tests.support.models import champion_alone, says

CHAMPION = ("default@0123456789ab", "champion")
TRAINED_ON = ReferenceDistributions(np.arange(len(FEATURE_BUCKETS)), np.arange(len(GROUP_BUCKETS)))
NO_STATE: PendingWrites = None  # type: ignore[assignment]  # counting asks nothing of it
MODELS = champion_alone(says(0.5))


def families(metrics: Metrics) -> dict[str, Metric]:
    """What is shown, as a Prometheus client reads it: by name."""
    return {family.name: family for family in text_string_to_metric_families(metrics.expose().decode())}


def series(metrics: Metrics) -> list[str]:
    lines = metrics.expose().decode().splitlines()
    return [line.rpartition(" ")[0] for line in lines if not line.startswith("#")]


def value(metrics: Metrics, name: str, **labels: str) -> float:
    found = [
        sample.value
        for family in families(metrics).values()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    assert found, f"no series {name} {labels}"
    return sum(found)


def commit(metrics: Metrics, stats: BatchStats, records: int = 1) -> None:
    metrics.committed(Batch(0, [None] * records, (), {}, NO_STATE, MODELS, FirstOffsets(0, 0)), stats, 10_000)


def loaded(*models: tuple[str, str]) -> Metrics:
    metrics = Metrics()
    for model, role in models or (CHAMPION,):
        metrics.model_loaded(model, role, TRAINED_ON)
    return metrics


def test_every_metric_of_the_catalogue_is_shown_and_no_other() -> None:
    found = families(loaded())
    shown = {name for name in found if name.startswith("stream_scorer_")}
    assert shown == {
        definition.name.removesuffix("_total") for definition in (*catalogue.CATALOGUE, *EVIDENCE_CATALOGUE)
    }
    for definition in catalogue.CATALOGUE:
        assert found[definition.name.removesuffix("_total")].type == definition.kind


def test_every_definition_stands_in_the_catalogue_once() -> None:
    defined = [value for value in vars(catalogue).values() if isinstance(value, Definition)]
    assert len(set(catalogue.CATALOGUE)) == len(catalogue.CATALOGUE) == len(defined)
    assert set(catalogue.CATALOGUE) == set(defined)


@pytest.mark.parametrize("definition", [*catalogue.CATALOGUE, *EVIDENCE_CATALOGUE], ids=lambda one: one.name)
def test_names_and_units_are_as_prometheus_wants_them(definition: Definition) -> None:
    assert re.fullmatch(r"stream_scorer_[a-z0-9_]+", definition.name)
    assert definition.name.endswith("_total") == (definition.kind == "counter")
    stem = definition.name.removesuffix("_total")
    if definition.unit in ("seconds", "bytes"):
        assert stem.endswith(f"_{definition.unit}")
    assert definition.meaning
    assert definition.meaning[-1] not in ".,"
    assert len(set(definition.combinations)) == len(definition.combinations)
    assert all(len(labels) == len(definition.labels) for labels in definition.combinations) or definition.name.endswith(
        "_build_info"
    )
    assert list(definition.bounds) == sorted(set(definition.bounds))


def test_every_combination_stands_at_zero_from_the_start() -> None:
    found = series(loaded())
    for definition in catalogue.CATALOGUE:
        own = [one for one in found if re.match(rf"{definition.name}(_bucket|_sum|_count)?(\{{|$)", one)]
        models = 1 if definition.models_max else 0
        assert len(own) == definition.series * len(definition.combinations) * (models or 1), definition.name
    metrics = loaded()
    for definition in (catalogue.OBSERVATIONS, catalogue.DEAD_LETTERS, catalogue.JOINED, catalogue.PROBABILITIES):
        assert value(metrics, definition.name) == 0


def test_every_code_has_its_stage() -> None:
    for code in Code:
        assert [stage for shown, stage in catalogue.CODES_AND_STAGES if shown == code.value]
    assert all(Stage(stage) for _, stage in catalogue.CODES_AND_STAGES)


def test_no_traffic_and_no_rollout_goes_beyond_the_budget() -> None:
    metrics = loaded()
    most = 0
    for number in range(12):
        former, model = (f"m{number - 1}@0", "champion"), (f"m{number}@0", "champion")
        if number:
            metrics.model_unloaded(*former)
        metrics.model_loaded(*model, TRAINED_ON)
        metrics.model_loaded(f"m{number}@0", "canary", TRAINED_ON)
        quality = QualityCounts()
        for old in range(10):
            quality[f"old{old}@0", "champion"].count_one(5, 0.5, True, True)
        commit(metrics, BatchStats(counted=quality, retracted=quality))
        most = max(most, len(series(metrics)))
        metrics.model_unloaded(f"m{number}@0", "canary")
    most_ever = sum(definition.series_max for definition in (*catalogue.CATALOGUE, *EVIDENCE_CATALOGUE))
    assert most_ever <= catalogue.SERIES_MAX
    process = len([one for one in series(metrics) if one.startswith("process_")])
    assert most <= most_ever + process <= catalogue.SERIES_MAX


def test_a_model_that_serves_is_never_let_go() -> None:
    metrics = loaded()
    for number in range(10):
        quality = QualityCounts()
        quality[f"old{number}@0", "champion"].count_one(5, 0.5, True, True)
        commit(metrics, BatchStats(counted=quality))
    assert value(metrics, catalogue.MODEL_LOADED.name, model=CHAMPION[0]) == 1
    assert value(metrics, catalogue.JOINED.name, model=CHAMPION[0]) == 0
    assert value(metrics, catalogue.JOINED.name, model="old9@0") == 3


def test_a_model_without_distributions_on_its_card_shows_none() -> None:
    metrics = Metrics()
    metrics.model_loaded(*CHAMPION)
    assert not families(metrics)["stream_scorer_training_probabilities"].samples
    assert families(metrics)["stream_scorer_probabilities"].samples


def test_scored_observations_are_counted_by_bucket_and_probability() -> None:
    metrics, codes = loaded(), np.random.default_rng(3).integers(0, CODES, 500)
    sample = ScoredSample(codes, np.arange(500) % 5 == 0, np.full(500, 0.42))
    commit(metrics, BatchStats(scored=[(CHAMPION, sample)]))
    assert value(metrics, catalogue.PREDICTIONS.name, column="SubjectSexCode", predicted="true") == 100
    assert value(metrics, catalogue.FEATURES.name, column="SubjectAge") == 500
    assert value(metrics, catalogue.FEATURES.name, column="hour") == 500
    assert value(metrics, catalogue.PROBABILITIES.name, column="SubjectSexCode", bucket="0.4-0.5") == 500
    assert value(metrics, catalogue.TRAINING_FEATURES.name) == TRAINED_ON.features.sum()
    assert value(metrics, catalogue.TRAINING_PROBABILITIES.name) == TRAINED_ON.probabilities.sum()


def test_joined_outcomes_are_counted_in_each_of_the_three_columns() -> None:
    metrics, counted, retracted = loaded(), QualityCounts(), QualityCounts()
    counted[CHAMPION].count_one(0, 0.75, True, True)
    counted[CHAMPION].count_one(CODES - 1, 0.25, False, True)
    retracted[CHAMPION].count_one(CODES - 1, 0.25, False, False)
    commit(metrics, BatchStats(counted=counted, retracted=retracted))
    name = catalogue.JOINED.name
    assert value(metrics, name, column="SubjectRaceCode", group="W", predicted="true", actual="true") == 1
    assert value(metrics, name, column="SubjectRaceCode", group="I", predicted="false", actual="true") == 1
    assert value(metrics, name, column="SubjectEthnicityCode") == 2
    assert value(metrics, catalogue.JOINED_RETRACTED.name, column="SubjectSexCode", group="F", actual="false") == 1
    assert value(metrics, catalogue.SQUARED_ERROR.name) == 0.25**2 + 0.75**2


def test_a_committed_batch_is_counted_by_where_its_records_ended() -> None:
    metrics, stats = loaded(), BatchStats(predicted_ms=[9_000, 9_999, -1], steps_s={"predict": 0.004, "commit": 0.2})
    stats.observations.update(predicted=3, dead_lettered=1)
    stats.outcomes.update(joined=2)
    stats.letters[Code.NOT_JSON, Stage.OUTCOME] += 1
    commit(metrics, stats, records=7)
    assert value(metrics, "stream_scorer_observations_total", end="predicted") == 3
    assert value(metrics, "stream_scorer_outcomes_total", end="joined") == 2
    assert value(metrics, "stream_scorer_dead_letters_total", code="not_json", stage="outcome") == 1
    assert value(metrics, "stream_scorer_dead_letters_total") == 1
    assert value(metrics, "stream_scorer_batch_records_sum") == 7
    assert value(metrics, "stream_scorer_commits_total") == 1
    assert value(metrics, "stream_scorer_model_seconds_count") == 3, "each prediction took what its batch took"
    assert value(metrics, "stream_scorer_model_seconds_bucket", le="0.005") == 3
    assert value(metrics, "stream_scorer_latency_seconds_count") == 2, "a record without a time has no latency"
    assert value(metrics, "stream_scorer_latency_seconds_sum") == pytest.approx(1.001)
    assert value(metrics, "stream_scorer_step_seconds_count", step="commit") == 1


def test_batches_that_wait_to_be_counted_together_come_to_the_same_as_each_alone() -> None:
    together, one_by_one = loaded(), loaded()
    random = np.random.default_rng(5)
    for number in range(600):
        rows = int(random.integers(0, 30))
        codes, probabilities = random.integers(0, CODES, rows), random.random(rows)
        stats = BatchStats(steps_s={"predict": 0.001 * number, "commit": 0.25}, replayed=number % 2)
        stats.predicted_ms = [9_000 + number] * rows
        stats.scored.append((CHAMPION, ScoredSample(codes, probabilities > 0.5, probabilities)))
        stats.observations["predicted"] += rows
        stats.outcomes["joined"] += 2
        stats.letters[Code.NOT_JSON, Stage.OUTCOME] += 1
        for metrics in (together, one_by_one):
            commit(metrics, stats, records=rows)
        assert one_by_one.counts(catalogue.COMMITS) == {(): number + 1}, "whoever reads has every batch in it"
    # what a float's last digits are depends on the order in which numbers are added up
    for ours, other in zip(plain_lines(together), plain_lines(one_by_one), strict=True):
        assert ours[0] == other[0]
        assert ours[1] == pytest.approx(other[1])


def plain_lines(metrics: Metrics) -> list[tuple[str, float]]:
    """Every series of ours with its value."""
    lines = [line for line in metrics.expose().decode().splitlines() if line.startswith("stream_scorer_")]
    return [(name, float(number)) for name, _, number in (line.rpartition(" ") for line in lines)]


def test_a_code_is_marked_with_the_time_of_its_first_dead_letter_and_only_that() -> None:
    metrics, name = loaded(), "stream_scorer_dead_letter_code_first_seen_timestamp_seconds"
    assert {labels for (labels,) in catalogue.CODE_FIRST_SEEN.combinations} == {code.value for code in Code}
    assert value(metrics, name) == 0
    for at_ms, code, stage in (
        (7_500, Code.NOT_JSON, Stage.OUTCOME),
        (9_000, Code.NOT_JSON, Stage.DECODE),
        (9_250, Code.CONFLICT, Stage.CONFLICT),
    ):
        stats = BatchStats()
        stats.letters[code, stage] += 2
        metrics.committed(Batch(0, (), (), {}, NO_STATE, MODELS, FirstOffsets(0, 0)), stats, at_ms)
    assert value(metrics, name, code="not_json") == 7.5
    assert value(metrics, name, code="conflict") == 9.25
    assert value(metrics, name) == 7.5 + 9.25


def test_the_limits_of_the_settings_are_bounds() -> None:
    metrics = Metrics(BusinessSettings(latency_ms_max=333, model_ms_max=7))
    assert 'stream_scorer_latency_seconds_bucket{le="0.333"}' in series(metrics)
    assert 'stream_scorer_model_seconds_bucket{le="0.007"}' in series(metrics)


def test_the_process_is_shown_too() -> None:
    assert {"process_open_fds", "process_max_fds", "process_resident_memory_bytes"} <= families(Metrics()).keys()


BOUNDS = (0.5, 1.0, 2.5)
VALUES = (0.0, 0.5, 0.50001, 1.0, 2.4, 2.5, 2.6, 1e9)


def one_by_one(histogram: Histogram) -> None:
    for observed in VALUES:
        histogram.observe(observed)


@pytest.mark.parametrize(
    "observe", [one_by_one, lambda histogram: histogram.observe_many(VALUES)], ids=["single", "many"]
)
def test_a_histogram_counts_as_the_client_library_does(observe: Callable[[Histogram], None]) -> None:
    ours = Histogram(Definition("h", "histogram", "1", "help", bounds=BOUNDS))
    observe(ours)
    registry = CollectorRegistry()
    theirs = LibraryHistogram("h", "help", buckets=BOUNDS, registry=registry)
    for observed in VALUES:
        theirs.observe(observed)
    (found,) = text_string_to_metric_families(family_text(ours.definition, ours.lines()))
    (expected,) = registry.collect()
    wanted = [(one.name, one.labels, one.value) for one in expected.samples if not one.name.endswith("_created")]
    assert sorted(map(str, wanted)) == sorted(str((one.name, one.labels, one.value)) for one in found.samples)


@pytest.mark.parametrize("odd", ['a"b', "a\\b", "a\nb", 'a\\"\nb'], ids=["quote", "backslash", "newline", "all"])
def test_odd_characters_in_a_label_are_read_back(odd: str) -> None:
    (family,) = text_string_to_metric_families(f'# TYPE g gauge\ng{{label="{escaped(odd)}"}} 1\n')
    assert family.samples[0].labels == {"label": odd}


def test_a_tenth_of_probabilities_is_a_tenth_of_the_card_s() -> None:
    assert 20 % PROBABILITY_BUCKETS == 0, "cards tell twentieths"


def shadow_stats(*models: str) -> BatchStats:
    """One stop that each of these would have called positive, and its outcome."""
    stats = BatchStats()
    codes, probabilities = np.array([5]), np.array([0.7])
    for model in models:
        stats.counted.count_predictions((model, "shadow"), codes, probabilities >= 0.5)
        stats.counted.count_joined((model, "shadow"), codes, probabilities, probabilities >= 0.5, probabilities >= 0.5)
        stats.shadow_scored.append(((model, "shadow"), codes, probabilities))
    return stats


def test_what_a_shadow_would_have_said_is_told_apart_from_what_was_published() -> None:
    metrics = loaded(CHAMPION, ("trees@1", "shadow"))
    stats = shadow_stats("trees@1")
    stats.counted[CHAMPION].count_one(5, 0.9, True, True)
    commit(metrics, stats)
    for name in (catalogue.JOINED.name, catalogue.PREDICTIONS.name, catalogue.PROBABILITIES.name):
        assert value(metrics, name, model="trees@1", role="shadow") == 3  # in each of three columns
    assert value(metrics, catalogue.SQUARED_ERROR.name, model="trees@1") == pytest.approx(0.09)
    assert value(metrics, catalogue.FEATURES.name) == 0  # the champion's traffic is counted, once
    assert sum(metrics.models.joined().values()) == 3
    assert metrics.models.predictions() == 0


def test_too_many_shadows_neither_push_the_champion_out_nor_begin_again() -> None:
    shadows = [f"shadow{number}@0" for number in range(9)]
    metrics = loaded(CHAMPION, ("canary@0", "canary"), *((shadow, "shadow") for shadow in shadows))
    kept: set[tuple[str, ...]] = set()
    for batches in range(1, 4):
        commit(metrics, shadow_stats(*shadows))
        counted = metrics.models._counted.models
        assert {CHAMPION, ("canary@0", "canary")} <= counted.keys()
        assert len(counted) == catalogue.COUNTED_MODELS_MAX
        assert {int(counted[model].joined.sum()) for model in counted if model[1] == "shadow"} == {batches}
        assert not kept or kept == set(counted)
        kept = set(counted)
