"""Which models this worker offers its lanes: it follows the control topic, loads what that asks for, and tells lanes.

Invariant: a lane is never offered models that are older than those it was served by before, and nothing is loaded on
the event loop. Until a first control record counts, the worker's own model serves; afterwards never again.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

from stream_scorer.core.records.model_control import ServedModel, environment_of
from stream_scorer.core.records.model_switch import ModelSwitch
from stream_scorer.core.rollout.control import InForce
from stream_scorer.errors import ModelError, RolloutError
from stream_scorer.runtime.cluster.topic_admin import TopicNames, definitions_for
from stream_scorer.runtime.kafka.client import client_options
from stream_scorer.runtime.rollout.control_topic import ControlTopic
from stream_scorer.runtime.rollout.evidence_follower import EvidenceFollower
from stream_scorer.runtime.rollout.evidence_topic import EvidenceTopic
from stream_scorer.runtime.rollout.judge import Judge, write_control
from stream_scorer.runtime.rollout.model_cache import ModelCache
from stream_scorer.runtime.rollout.serving_models import ServingModel, ServingModels, models_of
from stream_scorer.runtime.rollout.switch_topic import SwitchTopic
from stream_scorer.runtime.settings.settings import Settings

log = logging.getLogger(__name__)

# Lanes that were told of a champion that can't be loaded have so long to note it before the worker ends
REFUSAL_WAIT_S: Final = 3.0
# What a lane has left is still asked by its batch under way: longer than any transaction may take
LEFT_BEHIND_S: Final = 120.0
NO_CANARY: Final = "worker.delivery is at-least-once: one offset could be published by two models"


class RefusedChampion(NamedTuple):
    """A control record that can't be followed here, and why."""

    in_force: InForce
    reason: str

    @property
    def error(self) -> RolloutError:
        champion = self.in_force.control.models.champion
        return RolloutError(
            f"The champion {champion.label}, which the control record at offset {self.in_force.offset} asks for, can't "
            f"be loaded here: {self.reason} Nothing else may predict in its place: roll back (`stream-scorer model "
            "rollback`) or deploy a model that loads, then start the worker again."
        )


class ModelRollout:
    """One for each worker. `load_own`: loads the model of the settings; `changed` is called once other models are
    loaded."""

    def __init__(
        self,
        control: ControlTopic,
        switches: SwitchTopic,
        evidence: EvidenceTopic,
        store: ModelCache,
        judge: Judge,
        *,
        load_own: Callable[[], ServingModels],
        has_own: bool,
        loaded_max: int,
        canaries_allowed: bool,
    ) -> None:
        """`has_own`: whether the settings name a model; `canaries_allowed`: whether a batch is published by one model
        at most once."""
        self._control, self._switches, self._store = control, switches, store
        self.evidence, self.judge = evidence, judge
        self._load_own, self._has_own = load_own, has_own
        self._loaded_max, self._canaries_allowed = loaded_max, canaries_allowed
        self._loaded: dict[str, ServingModel] = {}
        self._progress = asyncio.Event()
        self.current: ServingModels | None = None
        self.refused: RefusedChampion | None = None
        self.changed: Callable[[ServingModels | None], None] = lambda models: None

    @property
    def switches_topic(self) -> str:
        return self._switches.topic

    async def start(self) -> None:
        """Load what serves now. Raises `ModelError` where that is the worker's own model and it can't be loaded, and
        `RolloutError`."""
        await asyncio.gather(self._control.start(), self._switches.start())
        if self._control.in_force is None:
            self.current = own = await asyncio.to_thread(self._load_own)
            # one that is not additive can't be cut off here: as a candidate it is loaded again, in its own process
            self._loaded = {digest: model for digest, model in own.loaded.items() if not model.expensive}
            self._tell()
            return
        if self._has_own:
            log.warning(
                "the settings' model is passed over: since the control record at offset %s models are deployed by "
                "`stream-scorer model`",
                self._control.in_force.offset,
            )
        await self._adopt(self._control.in_force)

    async def run(self) -> None:
        """Follow the control topic until cancelled. Raises `RolloutError` where it can't be followed."""
        while True:
            if self.refused is not None:
                await asyncio.sleep(REFUSAL_WAIT_S)
                raise self.refused.error
            if await self._control.follow() and self._control.in_force is not None:
                await self._adopt(self._control.in_force)
            else:
                self._tell_progress()

    async def stop(self) -> None:
        """Let go of everything; models in processes of their own are killed."""
        for stop in (self._control.stop, self._switches.stop, self.evidence.stop, self.judge.stop):
            with contextlib.suppress(Exception):
                await stop()
        await asyncio.to_thread(_close_all, list(self._loaded.values()))

    # What lanes ask

    async def last_switch(self, partition: int) -> ModelSwitch | None:
        """What the lane's former owners were served by last. Returns once this worker is as far. Raises `RolloutError`
        where it can't get there."""
        last = await self._switches.last(partition)
        if last is not None and last.control_offset is not None:
            await self._reach(partition, last.control_offset)
        return last

    async def _reach(self, partition: int, offset: int) -> None:
        end = await self._control.end()
        if end <= offset:
            raise self._lost(partition, offset, f"ends at offset {end}")
        while not self._is_at(offset):
            in_force = self._control.in_force
            if self._control.position > offset and (in_force is None or in_force.offset < offset):
                raise self._lost(partition, offset, "holds no record there that counts")
            self._progress.clear()
            await self._progress.wait()

    def _is_at(self, offset: int) -> bool:
        if self.refused is not None:
            return True
        at = None if self.current is None else self.current.control_offset
        return at is not None and at >= offset

    def _lost(self, partition: int, offset: int, what: str) -> RolloutError:
        return RolloutError(
            f"Lane {partition} is to be served by the control record at offset {offset} or a later one, and the "
            f"control topic {what}: it was deleted, cut or restored. Which models should serve can't be known. Restore "
            "the topic, or begin anew under another topics.prefix."
        )

    # Loading

    async def _adopt(self, in_force: InForce) -> None:
        """Load what a control record asks for, and offer it to the lanes."""
        wanted = models_of(in_force.control.models)
        refused = {model.digest: self._too_many for model in wanted[self._loaded_max :]}
        canary = in_force.control.models.canary
        if canary is not None and not self._canaries_allowed:
            refused[canary.digest] = NO_CANARY
        for model in wanted:
            if model.digest not in self._loaded and model.digest not in refused:
                fault = await self._load(model)
                if fault is not None:
                    refused[model.digest] = fault
        champion = in_force.control.models.champion
        if (why := refused.get(champion.digest)) is not None:
            self.refused = RefusedChampion(in_force, why)
            log.error("%s", self.refused.error)
        else:
            ids = in_force.control.models
            loaded = {model.digest: self._loaded[model.digest] for model in wanted if model.digest not in refused}
            reasons = {model.label: refused[model.digest] for model in wanted if model.digest in refused}
            offered = ServingModels(in_force.offset, ids, loaded, reasons)
            for digest in refused:
                offered = offered.without(digest)
            self._leave_behind([one for digest, one in self._loaded.items() if digest not in loaded])
            self._loaded, self.current = dict(loaded), offered
            log.info("models of the control record at offset %s are loaded: %s", in_force.offset, _named(offered))
        self._tell()

    async def _load(self, model: ServedModel) -> str | None:
        """Load one more; why it can't be."""
        try:
            self._loaded[model.digest] = await self._store.load(model)
        except ModelError as error:
            log.warning("model %s can't be loaded: %s", model.label, error)
            return str(error)
        return None

    @property
    def _too_many(self) -> str:
        return f"more than models.loaded_max = {self._loaded_max} models are asked for"

    def _leave_behind(self, models: Sequence[ServingModel]) -> None:
        if models:
            loop = asyncio.get_running_loop()
            loop.call_later(LEFT_BEHIND_S, lambda: loop.run_in_executor(None, _close_all, models))

    def _tell(self) -> None:
        self._tell_progress()
        self.changed(self.current)

    def _tell_progress(self) -> None:
        self._progress.set()


def make_rollout(settings: Settings, names: TopicNames, load_own: Callable[[], ServingModels]) -> ModelRollout:
    """The roll-out of a worker with these settings; to be called on the event loop."""
    options = client_options(settings.kafka)
    store = ModelCache(
        options,
        names.models,
        folder=settings.state_path / "models",
        bytes_max=settings.models.bytes_max,
        timeout_s=settings.models.timeout_ms / 1000,
        trusted_types=settings.model.trusted_types,
    )
    control = ControlTopic(options, names.model_control, environment_of(settings.topics.prefix))
    switches = SwitchTopic(options, names.model_switches)
    exactly_once = settings.worker.delivery == "exactly-once"
    partitions = next(topic.partitions for topic in definitions_for(settings) if topic.name == names.model_evidence)
    judge = Judge(
        control,
        switches,
        EvidenceFollower(options, names.model_evidence, partitions),
        partial(write_control, options, names.model_control),
        lambda: time.time_ns() // 1_000_000,
        partitions=partitions,
        may_decide=exactly_once,
        control_topic=names.model_control,
    )
    return ModelRollout(
        control,
        switches,
        EvidenceTopic(options, names.model_evidence),
        store,
        judge,
        load_own=load_own,
        has_own=bool(settings.model.folder),
        loaded_max=settings.models.loaded_max,
        canaries_allowed=exactly_once,
    )


def _close_all(models: Sequence[ServingModel]) -> None:
    for model in models:
        model.close()


def _named(models: ServingModels) -> str:
    roles = [("champion", models.ids.champion), ("canary", models.ids.canary), ("previous", models.ids.previous)]
    named = [f"{role} {model.label}" for role, model in roles if model is not None]
    return ", ".join([*named, *(f"shadow {shadow.label}" for shadow in models.ids.shadows)])
