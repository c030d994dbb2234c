"""A real worker, fed without end, watched by a real Prometheus with the rules that are shipped; then something goes
wrong, and the right alert fires, and no other.
"""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stream_scorer.core.records.model_control import DeployedModels
from stream_scorer.operations.harness.worker_process import WorkerProcess
from stream_scorer.operations.local_broker import LocalBroker
from stream_scorer.operations.monitoring.grafana_files import grafana_files
from stream_scorer.runtime.metrics.evidence_catalogue import CANDIDATE_EXPECTED
from tests.gateway.calls import GatewayProcess, a_gateway
from tests.integration.broker_sources import Broker
from tests.observability.real_prometheus import RealPrometheus
from tests.observability.slow_model import SLOW_TYPES, save_slow
from tests.observability.traffic_feeder import Observation, Producers, producing
from tests.support.builders import an_event
from tests.support.candidate_models import Models, uploaded
from tests.support.workers import Environment, an_environment

# A machine that does much else at the time may be slow, which is not what these tests are about
PATIENT = {"business__latency_ms_max": 30_000.0, "business__model_ms_max": 2_000.0}
# What the pictures leave to Grafana to fill in
FILLED_IN = {
    "$__rate_interval": "5s",
    "$__range": "30s",
    "$job": "stream-scorer",
    "$window": "month",
    "$column": "hour",
}
WAIT_S_MAX = 90.0


@dataclass
class Watched:
    """A world with its watchers."""

    environment: Environment
    prometheus: RealPrometheus
    producers: Producers
    workers: dict[str, WorkerProcess]
    began_s: float

    async def fired(self) -> set[str]:
        """Every alert that has fired since all was at work."""
        span_s = int(time.monotonic() - self.began_s)
        found = await self.prometheus.query(
            f'count by (alertname) (count_over_time(ALERTS{{alertstate="firing"}}[{span_s}s]))'
        )
        return {one["metric"]["alertname"] for one in found}

    async def until_firing(self, alert: str, wait_s_max: float = WAIT_S_MAX) -> list[dict[str, str]]:
        """Wait until the alert fires; its labels."""
        deadline = time.monotonic() + wait_s_max
        while alert not in (firing := await self.prometheus.firing()):
            assert time.monotonic() < deadline, f"{alert} did not fire within {wait_s_max:.0f} s, but {firing}"
            await asyncio.sleep(0.5)
        return firing[alert]

    async def until_seen_whole(self) -> None:
        """Wait until weekdays are judged: then a week was counted, and everything else is known too."""
        deadline = time.monotonic() + WAIT_S_MAX
        while not await self.prometheus.query('stream_scorer:feature_observations{column="day_of_week"}'):
            assert time.monotonic() < deadline, "a week was not over in time"
            await asyncio.sleep(0.5)


@asynccontextmanager
async def watched(
    broker: Broker, prefix: str, folder: Path, program: str, settings: Mapping[str, Any] | None = None, workers: int = 1
) -> AsyncIterator[Watched]:
    """Workers at work on generated stops, and Prometheus beside them."""
    async with AsyncExitStack() as stack:
        environment = await stack.enter_async_context(
            an_environment(broker.bootstrap, prefix, folder, **{**PATIENT, **(settings or {})})
        )
        started = [environment.worker(name).start() for name in "ab"[:workers]]
        for worker in started:
            await asyncio.to_thread(worker.wait_ready)
        named = dict(zip("ab", started, strict=False))
        prometheus = stack.enter_context(RealPrometheus(program, folder, environment.settings, named))
        # the counters of the workers that have just begun are seen at 0
        while len(await prometheus.query("stream_scorer_ready == 1")) < workers:
            await asyncio.sleep(0.2)
        producers = await stack.enter_async_context(producing(environment.topics))
        yield Watched(environment, prometheus, producers, named, time.monotonic())


async def test_all_is_quiet_every_picture_has_data_and_bad_producers_are_told_of(
    broker: Broker, prefix: str, tmp_path: Path, prometheus_program: str
) -> None:
    async with watched(broker, prefix, tmp_path, prometheus_program) as world:
        with a_gateway(broker.bootstrap, prefix, tmp_path, gateway__timeout_s=40) as gateway:
            world.prometheus.watch_gateway(gateway)
            asking = asyncio.create_task(asked_again_and_again(gateway))
            await world.until_seen_whole()
            assert await world.fired() == set()
            await every_picture_has_data(world)
            world.producers.broken_share = 0.5
            await world.until_firing("StreamScorerManyDeadLetters")
            assert await world.fired() == {"StreamScorerManyDeadLetters"}
            asking.cancel()


async def asked_again_and_again(gateway: GatewayProcess) -> None:
    """Somebody sends over HTTP, as long as one looks."""
    for number in itertools.count():
        answered = await asyncio.to_thread(gateway.call, "/predict", an_event(f"over HTTP {number}"))
        assert answered.status == 200
        await asyncio.sleep(0.1)


async def every_picture_has_data(world: Watched, *, of_candidates: bool = False) -> None:
    """Whatever a dashboard asks, this Prometheus has an answer. `of_candidates`: of them alone; otherwise there are
    none."""
    empty = []
    for path, text in grafana_files(world.environment.settings).items():
        if not path.endswith(".json"):
            continue
        dashboard = json.loads(text)
        for panel in dashboard["panels"]:
            for target in panel.get("targets", ()):
                found = await world.prometheus.query(filled_in(target["expr"]))
                if CANDIDATE_EXPECTED.name in target["expr"]:
                    continue  # while a verdict is not in sight there is no figure
                is_of_candidates = "stream_scorer_candidate_" in target["expr"]
                if is_of_candidates is of_candidates and all(one["value"][1] == "NaN" for one in found):
                    empty.append((dashboard["title"], panel["title"], target["expr"]))
        for annotation in dashboard["annotations"]["list"]:
            await world.prometheus.query(filled_in(annotation["expr"]))
    assert empty == []


def filled_in(expr: str) -> str:
    for name, value in FILLED_IN.items():
        expr = expr.replace(name, value)
    return expr


@pytest.mark.long
async def test_evidence_of_a_candidate_has_its_pictures_and_its_verdict_an_alert(
    models: Models, broker: Broker, prefix: str, tmp_path: Path, prometheus_program: str
) -> None:
    async with watched(broker, prefix, tmp_path, prometheus_program) as world:
        deployer = await uploaded(world.environment, models)
        await deployer.control(DeployedModels(champion=models.champion))
        hardly_ever = msgspec.structs.replace(models.other, threshold=0.99)
        await deployer.control(DeployedModels(champion=models.champion, shadows=(hardly_ever, models.trees)))
        deadline = time.monotonic() + WAIT_S_MAX
        judged = f'stream_scorer_candidate_condition_shown{{condition=~"gap_.+", model="{models.trees.label}"}}'
        while len(await world.prometheus.query(judged)) < 6:
            assert time.monotonic() < deadline, "groups were not judged in time"
            await asyncio.sleep(0.5)
        await every_picture_has_data(world, of_candidates=True)
        for role, model in (("champion", models.champion), ("shadow", models.trees)):
            rate = await world.prometheus.value(
                f'stream_scorer:model_success_rate{{role="{role}", model="{model.label}", window="month"}}'
            )
            assert 0 < rate < 1
        # a model that finds nothing is shown to be worse
        labels = await world.until_firing("StreamScorerCandidateWorse")
        assert hardly_ever.label in {one["model"] for one in labels}


@pytest.mark.long
async def test_a_stopped_worker(broker: Broker, prefix: str, tmp_path: Path, prometheus_program: str) -> None:
    async with watched(broker, prefix, tmp_path, prometheus_program, workers=2) as world:
        await world.until_seen_whole()
        world.workers["b"].pause()
        (labels,) = await world.until_firing("StreamScorerWorkerDown")
        assert labels["instance"] == "b"
        assert await world.fired() == {"StreamScorerWorkerDown"}
        # the last one too: now nobody is left
        world.workers["a"].pause()
        await world.until_firing("StreamScorerNoWorker")
        assert await world.fired() == {"StreamScorerWorkerDown", "StreamScorerNoWorker"}


def all_on_sundays(observation: Observation) -> Observation:
    return observation | {"day_of_week": "Sunday"}


@pytest.mark.long
async def test_drifted_traffic(broker: Broker, prefix: str, tmp_path: Path, prometheus_program: str) -> None:
    async with watched(broker, prefix, tmp_path, prometheus_program) as world:
        await world.until_seen_whole()
        world.producers.change = all_on_sundays
        (labels,) = await world.until_firing("StreamScorerColumnDrifted")
        assert labels["column"] == "day_of_week"
        assert await world.fired() == {"StreamScorerColumnDrifted"}


def unfair(observation: Observation, found: bool) -> bool:
    """Nearly every search of one sex finds something, and few of the other."""
    return hash(str(observation)) % 100 < (90 if observation["SubjectSexCode"] == "M" else 20)


def hopeless(observation: Observation, found: bool) -> bool:
    """Whatever is predicted, next to nothing is found."""
    return hash(str(observation)) % 100 < 5


@pytest.mark.long
@pytest.mark.parametrize(
    ("truth", "alert", "others"),
    [(unfair, "StreamScorerGroupGapHigh", set()), (hopeless, "StreamScorerSuccessRateLow", set())],
    ids=["unfair", "hopeless"],
)
async def test_a_model_that_does_badly(
    truth: Callable[[Observation, bool], bool],
    alert: str,
    others: set[str],
    broker: Broker,
    prefix: str,
    tmp_path: Path,
    prometheus_program: str,
) -> None:
    async with watched(broker, prefix, tmp_path, prometheus_program) as world:
        await world.until_seen_whole()
        assert await world.fired() == set()
        world.producers.truth = truth
        await world.until_firing(alert)
        assert await world.fired() == {alert} | others


@pytest.mark.long
async def test_outcomes_that_no_longer_come(
    broker: Broker, prefix: str, tmp_path: Path, prometheus_program: str
) -> None:
    settings = {"business__outcome_silence_s_max": 3_600.0 * 3}
    async with watched(broker, prefix, tmp_path, prometheus_program, settings) as world:
        await world.until_seen_whole()
        world.producers.outcome_share = 0.0
        await world.until_firing("StreamScorerOutcomesMissing")
        assert await world.fired() == {"StreamScorerOutcomesMissing"}


@pytest.mark.long
async def test_a_slow_model(broker: Broker, prefix: str, tmp_path: Path, prometheus_program: str) -> None:
    slowed = tmp_path / "slowed"
    save_slow(tmp_path / "model", slowed, seconds=0.5)
    settings = {
        "business__model_ms_max": 250.0,
        "model__folder": str(tmp_path / "model"),
        "model__trusted_types": SLOW_TYPES,
    }
    async with watched(broker, prefix, tmp_path, prometheus_program, settings) as world:
        await world.until_seen_whole()
        assert await world.fired() == set()
        slowed.touch()
        await world.until_firing("StreamScorerModelSlow")
        assert await world.fired() == {"StreamScorerModelSlow"}


@pytest.mark.long
async def test_a_broker_that_hangs(
    own_broker: LocalBroker, prefix: str, tmp_path: Path, prometheus_program: str
) -> None:
    settings = {"worker__commit_stall_s": 5.0, "business__lag_age_s_max": 1_000.0}
    broker = Broker(own_broker.bootstrap, "local")
    async with watched(broker, prefix, tmp_path, prometheus_program, settings) as world:
        await world.until_seen_whole()
        assert await world.fired() == set()
        own_broker.pause()
        try:
            await world.until_firing("StreamScorerCommitsStalled")
            assert await world.fired() == {"StreamScorerCommitsStalled"}
        finally:
            own_broker.resume()
