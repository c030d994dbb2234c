"""The composition root of a worker process: settings in, exit status out; everything is built here and nowhere else.

Invariant: Faust is the frame (app, agents, supervision), never the carrier: its own Kafka transport stays off.
"""

import asyncio
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import faust
import faust.app.base
import faust.worker

from stream_scorer.core.observations.limits import Limits
from stream_scorer.core.observations.scoring import FailureThreshold
from stream_scorer.errors import ModelError
from stream_scorer.models.registry.default_model import default_model_folder, ensure_default_model
from stream_scorer.models.registry.model_directory import load_model
from stream_scorer.models.registry.reference_distributions import trained_on
from stream_scorer.runtime.cluster.topic_admin import TopicNames, definitions_for
from stream_scorer.runtime.lanes.agents import Agents
from stream_scorer.runtime.lanes.join_step import OutcomeStep
from stream_scorer.runtime.lanes.score_step import ObservationStep
from stream_scorer.runtime.metrics.registry import Metrics
from stream_scorer.runtime.rollout.serving_models import ServingModel, ServingModels, local_models
from stream_scorer.runtime.settings.settings import LoggingSettings, Settings, masked
from stream_scorer.runtime.worker.clock import CheckedClock
from stream_scorer.runtime.worker.ending_signals import ending_signals
from stream_scorer.runtime.worker.log_format import start_logging
from stream_scorer.runtime.worker.service import WorkerService

log = logging.getLogger(__name__)


class Boot(faust.app.base.BootStrategy):
    """What Faust starts: agents, then delivery; so that delivery stops first, while agents can still answer."""

    enable_kafka = False
    enable_web = False

    def server(self) -> Iterable[Any]:
        return self._chain(self.sensors(), self.agents(), [cast(ScorerApp, self.app).delivery])


class ScorerApp(faust.App):
    """The Faust app: two agents' home, without a broker of its own."""

    BootStrategy = Boot
    mundane_level = "debug"
    delivery: WorkerService

    def _create_directories(self) -> None:
        """Faust keeps its tables in a folder; we have none, and the root may be read-only or not ours."""


class Process(faust.worker.Worker):
    """Faust's worker process, without its greeting and with a deadline for its end."""

    mundane_level = "debug"

    def __init__(self, app: ScorerApp, *, shutdown_deadline_s: float, **options: Any) -> None:
        super().__init__(app, quiet=True, override_logging=False, redirect_stdouts=False, **options)
        self.spinner = None
        self._shutdown_deadline_s = shutdown_deadline_s

    def end(self) -> None:
        """Stop as on a signal."""
        self._schedule_shutdown(signal.SIGTERM)

    def _install_signal_handlers_unix(self) -> None:
        for number in ending_signals():
            self.loop.add_signal_handler(number, self._schedule_shutdown, number)
        # by default they would print every frame, or stop everything for a debugger on a terminal that nobody watches
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            self.loop.add_signal_handler(number, log.info, "signal %s is ignored", number.name)

    def _schedule_shutdown(self, signal_: signal.Signals) -> None:
        if not self._signal_stop_time:
            # from a thread, because what keeps us may keep the loop
            deadline = threading.Timer(self._shutdown_deadline_s, _give_up, [self._shutdown_deadline_s])
            deadline.daemon = True
            deadline.start()
        super()._schedule_shutdown(signal_)

    async def _sentinel_task(self) -> None:
        """Faust waits a second here for what it does not know; we know that nothing is left."""

    def _setproctitle(self, info: str, *, ident: str = "") -> None:
        """The process keeps the name that it was started by."""


def _give_up(deadline_s: float) -> None:
    log.error(
        "shutdown did not finish within worker.shutdown_deadline_s = %s: exiting now; Kafka delivers uncommitted "
        "records again",
        deadline_s,
    )
    logging.shutdown()
    os._exit(1)


def run_worker(settings: Settings, *, http_address_file: Path | None = None) -> int:
    """Run a worker until it is told to stop or can't go on. Gives the exit status: 0 told to, 1 at fault, 2 settings,
    3 the champion can't be loaded, 75 Kafka is away."""
    start_logging(settings.logging.format, settings.logging.level)
    log.info("settings: %s", masked(settings))
    loop = _new_loop()
    asyncio.set_event_loop(loop)
    partitions = _partitions(settings)
    app = ScorerApp(
        "stream-scorer", broker="kafka://", loop=loop, web_enabled=False, autodiscover=False, datadir="/nonexistent"
    )
    app.flow_control.resume()  # the consumer that would do this is off
    metrics = Metrics(settings.business)
    limits = Limits(
        partitions,
        event_bytes_max=settings.worker.event_bytes_max,
        dead_letter_bytes_max=settings.worker.dead_letter_bytes_max,
        include_observation=settings.worker.include_observation,
        cloudevents=settings.worker.cloudevents,
        repeats_are_conflicts=settings.worker.repeats_are_conflicts,
        schema_registry_frames=settings.worker.schema_registry_frames,
        join_window_ms=int(settings.worker.join_window_s * 1000),
    )
    names, brake = (
        TopicNames(settings.topics.prefix),
        FailureThreshold(settings.worker.brake_share, settings.worker.brake_rows_min),
    )
    clock = CheckedClock(limits.join_window_ms, int(settings.worker.clock_skew_s_max * 1000))
    agents = Agents(
        app,
        ObservationStep(
            names,
            limits,
            brake,
            clock.now_ms,
            clock.slack_ms,
            shadow_budget_s=settings.models.shadow_budget_ms / 1000,
            only_disagreements=settings.models.shadow_predictions == "disagreements",
        ),
        OutcomeStep(names, limits, clock.now_ms, clock.slack_ms),
    )
    app.delivery = delivery = WorkerService(
        settings,
        partitions=partitions,
        agents=agents,
        metrics=metrics,
        clock=clock,
        load_own=lambda: _own_models(settings),
        http_address_file=http_address_file,
        loop=loop,
    )
    process = Process(app, shutdown_deadline_s=settings.worker.shutdown_deadline_s, loop=loop)
    delivery.end_worker = process.end
    try:
        process.execute_from_commandline()
    except SystemExit as ended:
        status = delivery.exit_status or int(ended.code or 0)
    log.info("worker stopped with exit status %s", status)
    return status


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # not made for every system
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def _partitions(settings: Settings) -> int:
    names = TopicNames(settings.topics.prefix)
    return next(
        definition.partitions for definition in definitions_for(settings) if definition.name == names.observations
    )


def _default_model(logging_: LoggingSettings) -> Path:
    """The default model's directory. Trained, where it must be, in a process of its own: training takes more memory
    than a worker may, and a worker that is told to stop can't stop it."""
    folder = default_model_folder()
    if not folder.is_dir():
        child = multiprocessing.get_context("spawn").Process(target=_train_default, args=(logging_,), daemon=True)
        child.start()
        child.join()
        if child.exitcode:
            raise ModelError(f"The default model could not be trained (exit status {child.exitcode}); see above.")
    return folder


def _train_default(logging_: LoggingSettings) -> None:
    start_logging(logging_.format, logging_.level)
    load_model(ensure_default_model(lambda step: log.info("%s", step)))


def _own_models(settings: Settings) -> ServingModels:
    """Load, check and warm the settings' model. Raises `ModelError`."""
    wanted = settings.model
    folder = Path(wanted.folder) if wanted.folder else _default_model(settings.logging)
    if not folder.is_dir():
        raise ModelError(
            f"There is no model directory {folder}. Make one with `stream-scorer train CSV --out {folder}`."
        )
    model = load_model(folder, trusted_types=wanted.trusted_types)
    threshold = model.threshold if wanted.threshold is None else wanted.threshold
    loaded = ServingModel(model.name, model.digest, model.score, model.expensive, trained_on(model.card))
    return local_models(loaded, threshold)
