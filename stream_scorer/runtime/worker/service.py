"""The worker's life between start and stop: connect, check, load, join, deliver; and one orderly end, whatever the
cause.

Invariant: the first fault is told once, in words, and decides the exit status; after it nothing more is committed.
"""

import asyncio
import contextlib
import gc
import logging
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import faust
import msgspec
from aiokafka import AIOKafkaConsumer

import stream_scorer
from stream_scorer.core.observations.scoring import ModelFailure
from stream_scorer.core.quality.counts import Model
from stream_scorer.core.records.prediction import ModelIdentity
from stream_scorer.errors import ModelError, OffsetsError, OutageError, SettingsError, TopicsError, UserError
from stream_scorer.runtime.cluster.acl_check import check_worker_rights
from stream_scorer.runtime.cluster.topic_admin import TopicNames, ages_ms_max, blocking, cluster_id, plan
from stream_scorer.runtime.kafka.client import client_options
from stream_scorer.runtime.kafka.errors import AWAY, REFUSED, to_user_error
from stream_scorer.runtime.lanes.agents import Agents
from stream_scorer.runtime.lanes.consumer import ConsumerLoop
from stream_scorer.runtime.lanes.lane import Lane
from stream_scorer.runtime.metrics import catalogue as catalogue
from stream_scorer.runtime.metrics.registry import Metrics
from stream_scorer.runtime.rollout.model_rollout import ModelRollout, make_rollout
from stream_scorer.runtime.rollout.serving_models import ServingModels
from stream_scorer.runtime.settings.settings import Settings
from stream_scorer.runtime.worker.clock import CheckedClock
from stream_scorer.runtime.worker.clock_watch import ClockWatch
from stream_scorer.runtime.worker.commit_listener import CommitListener
from stream_scorer.runtime.worker.gauges import lane_statuses, update_gauges
from stream_scorer.runtime.worker.health import Health, liveness, readiness
from stream_scorer.runtime.worker.http_server import worker_server, write_address
from stream_scorer.runtime.worker.judge_figures import JudgeFigures
from stream_scorer.runtime.worker.lane_factory import LaneFactory
from stream_scorer.runtime.worker.log_format import IdHash
from stream_scorer.runtime.worker.retention_loss import RetentionLoss
from stream_scorer.runtime.worker.state_lookup import StateLookup, application_server
from stream_scorer.runtime.worker.status import JoinedCount, WorkerStatus
from stream_scorer.runtime.worker.topic_watch import TopicWatch

log = logging.getLogger(__name__)

# Cyclic garbage is collected here and not by allocation, which would halt the hot loop at any moment
COLLECT_EVERY_S = 30.0
# How long a worker that Kafka refused may ask which right it lacks
RIGHTS_WAIT_S = 5.0
# Between two looks at a broker that is there but not ready for us yet
RETRY_WAIT_S = 1.0
# How long what runs beside may take to end after a fault: whatever it does, the fault is told
CANCEL_WAIT_S = 10.0
# How long a worker that refuses to read on stays there, not ready, so that probes and metrics tell why
REFUSAL_SHOWN_S = 20.0


class WorkerService(faust.Service):
    """Owns everything that touches Kafka. Supervised by Faust; ends the worker through `end_worker`."""

    mundane_level = "debug"

    def __init__(
        self,
        settings: Settings,
        *,
        partitions: int,
        agents: Agents,
        metrics: Metrics,
        clock: CheckedClock,
        load_own: Callable[[], ServingModels],
        http_address_file: Path | None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.settings, self.partitions, self.agents, self.metrics = settings, partitions, agents, metrics
        self.exit_status = 0
        self.end_worker: Callable[[], None] = lambda: None
        self._clock = clock
        self._load_own, self._http_address_file = load_own, http_address_file
        self._names = TopicNames(settings.topics.prefix)
        self._consumer_loop: ConsumerLoop | None = None
        self._warm = False
        self._listener = CommitListener(metrics, settings.worker, IdHash(settings.logging.id_hash_key))
        self._refusal: OffsetsError | None = None
        self._lost = RetentionLoss(metrics, self._names)
        self._rollout: ModelRollout | None = None
        self._shown: set[Model] = set()
        self._judge_figures = JudgeFigures()
        self.speaker: ModelIdentity | None = None
        self._server = worker_server(
            live=self.live,
            ready=self.is_ready,
            metrics=self.figures,
            status=self.status,
            state=StateLookup(settings.http, partitions, self._lanes).view,
            closed=metrics.connection_closed,
        )
        self._instance = secrets.token_hex(8)

    @faust.Service.task
    async def _live_and_end(self) -> None:
        """A task that returns would leave a process that does nothing: so every end goes through here."""
        try:
            await self._deliver()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._tell(await self._naming_rights(error))
            if isinstance(error, OffsetsError):
                await self._show_refusal(error)
        self.end_worker()

    async def _show_refusal(self, refusal: OffsetsError) -> None:
        """Leave the group, and stay for a moment, so that whoever asks is told."""
        self._refusal = refusal
        self.metrics.refused(refusal.cause)
        if self._consumer_loop is not None:
            await self._consumer_loop.stop(1.0)
        await asyncio.sleep(REFUSAL_SHOWN_S)

    async def _deliver(self) -> None:
        http = self.settings.http
        host, port = await self._server.start(http.host, http.port)
        if self._http_address_file is not None:
            write_address(self._http_address_file, host, port)
        log.info("probes, metrics and status at http://%s:%s", host, port)
        self._consumer_loop = consumer_loop = self._make_intake(application_server(self.settings, host, port))
        await consumer_loop.connect()
        watch = TopicWatch(consumer_loop.consumer, self._names)
        self._rollout = rollout = make_rollout(self.settings, self._names, self._load_own)
        rollout.changed = self._models_changed
        rollout.judge.noted = self.metrics.judged
        await self._check_topics(watch)
        clock_watch = ClockWatch(self.settings, self._clock)
        await asyncio.gather(rollout.start(), clock_watch.ask())
        self._warm = True
        # what lives until the end is never looked at again by the collector
        gc.collect()
        gc.freeze()
        gc.disable()
        collecting = asyncio.create_task(self._collect_garbage())
        asking = asyncio.create_task(clock_watch.run())
        watching, running = asyncio.create_task(watch.run()), asyncio.create_task(consumer_loop.run())
        following = asyncio.create_task(rollout.run())
        judging = asyncio.create_task(rollout.judge.run(self._owns_first_lane))
        try:
            await asyncio.wait((running, watching, following), return_when=asyncio.FIRST_COMPLETED)
            # a topic made anew tells more than what the reader found there
            for ended in (watching, running, following):
                if ended.done():
                    ended.result()
        finally:
            await _cancelled(collecting, asking, watching, running, following, judging)

    def _models_changed(self, models: ServingModels | None) -> None:
        """Show who serves, and let the lanes look."""
        if models is not None:
            speaker = models.champion.speaker
            shown = {(speaker.model, "champion"): models.champion.loaded}
            if (canary := models.ids.canary) is not None:
                shown[canary.label, "canary"] = models.loaded[canary.digest]
            shown |= {(shadow.label, "shadow"): models.loaded[shadow.digest] for shadow in models.ids.shadows}
            for model, role in self._shown - set(shown):
                self.metrics.model_unloaded(model, role)
            for (model, role), loaded in shown.items():
                self.metrics.model_loaded(model, role, loaded.trained_on)
            self._shown, self.speaker = set(shown), speaker
            self.metrics.set(catalogue.MODELS_REFUSED, len(models.refused))
            offset = models.control_offset
            self.metrics.set(catalogue.CONTROL_OFFSET, -1 if offset is None else offset)
            log.info("model %s is warm, threshold %s", speaker.model, speaker.threshold)
        if self._consumer_loop is not None:
            for lane in self._consumer_loop.lanes.values():
                lane.wake()

    def _make_intake(self, server: str) -> ConsumerLoop:
        settings, worker = self.settings, self.settings.worker
        return ConsumerLoop(
            client_options(settings.kafka),
            group=settings.group_name,
            group_instance_id=worker.group_instance_id,
            session_timeout_ms=worker.session_timeout_ms,
            names=self._names,
            batch_records_max=worker.batch_records_max,
            open_lane=self._open_lane,
            rebalanced=self.metrics.rebalanced,
            fetched=self.metrics.fetched,
            held_back_s=self._listener.held_back_s,
            lost=self._lost,
            application_server=server,
        )

    def _lanes(self) -> Mapping[int, Lane]:
        return self._consumer_loop.lanes if self._consumer_loop is not None else {}

    def _owns_first_lane(self) -> bool:
        first = self._lanes().get(0)
        return first is not None and first.open

    def _open_lane(self, partition: int, consumer: AIOKafkaConsumer) -> Lane:
        return self._lane_factory.open_lane(partition, consumer)

    async def _check_topics(self, watch: TopicWatch) -> None:
        """Refuse to start on topics that are not as they must be. A broker that goes away meanwhile is waited for."""
        while True:
            try:
                await check_worker_rights(self.settings)
                rows = await plan(self.settings)
                if problems := blocking(rows):
                    raise TopicsError("Topic configuration is invalid:\n  - " + "\n  - ".join(problems))
                await watch.start()
                identity = watch.identity(await cluster_id(self.settings))
            except (OutageError, *AWAY) as error:
                log.warning("%s", to_user_error(error, "checking the topics", self.settings.kafka.bootstrap))
                await asyncio.sleep(RETRY_WAIT_S)
                continue
            if self._rollout is None:
                raise RuntimeError("lanes are made before there is a roll-out to follow")
            self._lane_factory = LaneFactory(
                self.settings,
                partitions=self.partitions,
                identity=identity,
                metrics=self.metrics,
                work=self.agents.work,
                ask=self.agents.ask,
                committed=self._listener.committed,
                lost=self._lost,
                ages_ms_max=ages_ms_max(rows, self.settings),
                clock=self._clock,
                rollout=self._rollout,
                worker=self.settings.worker.group_instance_id or self._instance,
            )
            return

    async def _collect_garbage(self) -> None:
        while True:
            await asyncio.sleep(COLLECT_EVERY_S)
            gc.collect()

    # The end

    async def _naming_rights(self, error: BaseException) -> BaseException:
        """Which rights were taken away from us meanwhile, where that is why Kafka refuses."""
        refused = isinstance(error, REFUSED)
        with contextlib.suppress(OutageError, TimeoutError):
            if refused:
                try:
                    await asyncio.wait_for(check_worker_rights(self.settings), RIGHTS_WAIT_S)
                except SettingsError as named:
                    return named
        return error

    def _tell(self, error: BaseException) -> None:
        """Say once what ended the worker."""
        known: UserError | None
        if isinstance(error, ModelFailure):
            known = ModelError(
                f"The model failed, not the data: {error}. Nothing of this batch was committed or dead-lettered. "
                "Roll back to a model that works, then start the worker again."
            )
        else:
            known = to_user_error(error, "scoring", self.settings.kafka.bootstrap)
        if known is None:
            self.exit_status = 1
            log.critical("Internal error; worker stopped: %s", type(error).__name__, exc_info=error)
        else:
            self.exit_status = known.exit_status
            log.error("%s", known)

    async def on_stop(self) -> None:
        """Commit what is under way, leave the group, close the door: within the deadline that `worker.py` watches
        over."""
        if self._consumer_loop is not None:
            # after a fault there is nothing to wait for: an abort is quick or impossible
            await self._consumer_loop.stop(1.0 if self.exit_status else self.settings.worker.shutdown_deadline_s * 0.8)
        self.agents.close()
        if self._rollout is not None:
            await self._rollout.stop()
        await self._server.stop()

    # What the probes ask

    async def is_ready(self) -> Health:
        """Joined, the assigned lanes open, the model warm; with no partition too."""
        return self._readiness()

    def _readiness(self) -> Health:
        if self._refusal is not None:
            return Health(False, f"refuses to resume: {self._refusal}")
        return readiness(self._consumer_loop, self._clock, warm=self._warm)

    async def live(self) -> Health:
        """False only when records are held, the broker answers, and nothing was committed for
        `worker.commit_stall_s`."""
        return await liveness(self._consumer_loop, self.settings.worker.commit_stall_s)

    def figures(self) -> bytes:
        """The metrics as of now, as text."""
        self.metrics.set(catalogue.CLOCK_SKEW, self._clock.skew_ms / 1000)
        self.metrics.set(catalogue.BREAKER_OPEN, self._listener.held_back_s() > 0)
        update_gauges(
            self.metrics, self._consumer_loop, ready=self._readiness().ok, state_path=self.settings.state_path
        )
        if self._rollout is not None:
            self.metrics.evidence.show(self._judge_figures.of(self._rollout.judge.view))
        return self.metrics.expose()

    # What whoever shows this worker asks

    def status(self) -> bytes:
        """This worker's own figures as of now, as JSON."""
        return msgspec.json.encode(self._status())

    def _status(self) -> WorkerStatus:
        health, speaker, metrics = self._readiness(), self.speaker, self.metrics
        bounds, counts = metrics.latency()
        return WorkerStatus(
            version=stream_scorer.__version__,
            instance=self._instance,
            ready=health.ok,
            state=health.why,
            partitions=self.partitions,
            model=speaker.model if speaker is not None else None,
            role=speaker.role if speaker is not None else None,
            threshold=speaker.threshold if speaker is not None else None,
            lanes=lane_statuses(self._consumer_loop) if self._consumer_loop is not None else [],
            observations={end: count for (end,), count in metrics.counts(catalogue.OBSERVATIONS).items()},
            outcomes={end: count for (end,), count in metrics.counts(catalogue.OUTCOMES).items()},
            dead_letters=sum(metrics.counts(catalogue.DEAD_LETTERS).values()),
            latency_bounds_s=bounds,
            latency_counts=counts,
            predictions=metrics.models.predictions(),
            joined=[
                JoinedCount(column=column, group=group, predicted=said == "true", actual=was == "true", count=count)
                for (column, group, said, was), count in metrics.models.joined().items()
            ],
        )


async def _cancelled(*tasks: asyncio.Task[None]) -> None:
    """Cancel these, and wait until they have ended, but not for ever."""
    for task in tasks:
        task.cancel()
    ended, _ = await asyncio.wait(tasks, timeout=CANCEL_WAIT_S)
    for task in ended:
        if not task.cancelled():
            task.exception()  # the first fault is the one to tell
