"""What Prometheus has scraped in a made-up world: every series of two healthy workers, in promtool's notation, and the
ways in which such a world goes wrong.
"""

from collections.abc import Mapping

from stream_scorer.core.quality.drift_buckets import FEATURE_BUCKETS, GROUP_BUCKETS, PROBABILITY_BUCKET_NAMES
from stream_scorer.runtime.metrics import catalogue as catalogue

World = dict[str, str]

MODEL = {"model": "default@0123456789ab", "role": "champion"}
LATENCY, MODEL_TIME = catalogue.LATENCY_SECONDS.name, catalogue.MODEL_SECONDS.name
# Of the tenths of the probability the middle ones are frequent
SHAPE = (2, 8, 20, 30, 60, 60, 30, 20, 8, 2)


def series(name: str, labels: Mapping[str, str] | None = None, **more: str) -> str:
    """A series of the first worker unless told otherwise."""
    told = {"job": "stream-scorer", "instance": "a:8080", **(labels or {}), **more}
    return name + "{" + ",".join(f'{label}="{value}"' for label, value in told.items()) + "}"


def steady(value: float, samples: int = 400) -> str:
    """The same value at every scrape."""
    return f"{value}+0x{samples}"


def growing(by: float, samples: int = 400) -> str:
    """A counter that grows by the same at every scrape."""
    return f"0+{by}x{samples}"


def healthy() -> World:
    """Two workers at work, nothing wrong."""
    return worker("a:8080") | worker("b:8080")


def worker(instance: str) -> World:
    of = {"instance": instance}
    world = {
        series("up", of): steady(1),
        series("process_start_time_seconds", of): steady(1_000),
        series("process_open_fds", of): steady(60),
        series("process_max_fds", of): steady(1_000),
        series(catalogue.READY.name, of): steady(1),
        series(catalogue.COMMIT_AGE.name, of): steady(0),
        series(catalogue.OLDEST_UNCOMMITTED_RECORD_AGE.name, of): steady(0),
        series(catalogue.CONSUMER_LAG.name, of): steady(3),
        series(catalogue.REBALANCES.name, of): steady(2),
        series(catalogue.DISK_FREE.name, of): steady(50e9),
        series(catalogue.DISK_SIZE.name, of): steady(100e9),
        series(catalogue.COMMITS.name, of): growing(60),
        series(catalogue.MODEL_LOADED.name, of, **MODEL): steady(1),
        series(catalogue.CONTROL_OFFSET.name, of): steady(3),
        series(f"{LATENCY}_bucket", of, le="1.0"): growing(600),
        series(f"{LATENCY}_bucket", of, le="+Inf"): growing(600),
        series(f"{LATENCY}_count", of): growing(600),
        series(f"{MODEL_TIME}_bucket", of, le="0.02"): growing(600),
        series(f"{MODEL_TIME}_count", of): growing(600),
    }
    for end in catalogue.OBSERVATION_ENDS:
        grown = {"predicted": 600.0, "dead_lettered": 12.0}.get(end, 0)
        world[series(catalogue.OBSERVATIONS.name, of, end=end)] = growing(grown)
    for end in catalogue.OUTCOME_ENDS:
        world[series(catalogue.OUTCOMES.name, of, end=end)] = growing(30 if end == "joined" else 0)
    for code, stage in catalogue.CODES_AND_STAGES:
        frequent = code in ("not_json", "out_of_range") and stage != "outcome"
        world[series(catalogue.DEAD_LETTERS.name, of, code=code, stage=stage)] = growing(6 if frequent else 0)
    return world


def outcomes(of: Mapping[str, str], found: int = 12, missed: int = 8) -> World:
    """Joined outcomes: of the positive predictions of each group so many were right and wrong at each scrape."""
    world = {}
    for column, group, predicted, actual in catalogue.JOINED_GROUPS:
        told = {**of, **MODEL, "column": column, "group": group, "predicted": predicted, "actual": actual}
        grown = (found if actual == "true" else missed) if predicted == "true" else 10
        world[series(catalogue.JOINED.name, told)] = growing(grown)
        world[series(catalogue.JOINED_RETRACTED.name, told)] = growing(0)
    for column, group, predicted in catalogue.DECIDED_GROUPS:
        told = {**of, **MODEL, "column": column, "group": group, "predicted": predicted}
        world[series(catalogue.PREDICTIONS.name, told)] = growing(60)
    for definition, grown_error in ((catalogue.SQUARED_ERROR, 4.0), (catalogue.SQUARED_ERROR_RETRACTED, 0.0)):
        world[series(definition.name, {**of, **MODEL})] = growing(grown_error)
    return world


def distributions(of: Mapping[str, str]) -> World:
    """Traffic that is distributed as the training was."""
    world = {}
    for column, bucket in FEATURE_BUCKETS:
        told = {"column": column, "bucket": bucket}
        world[series(catalogue.FEATURES.name, of, **told)] = growing(20)
        world[series(catalogue.TRAINING_FEATURES.name, of, **MODEL, **told)] = steady(1_000)
    for column, group, bucket in GROUP_BUCKETS:
        told = {**MODEL, "column": column, "group": group, "bucket": bucket}
        weight = SHAPE[PROBABILITY_BUCKET_NAMES.index(bucket)]
        world[series(catalogue.PROBABILITIES.name, of, **told)] = growing(weight)
        world[series(catalogue.TRAINING_PROBABILITIES.name, of, **told)] = steady(100 * weight)
    return world
