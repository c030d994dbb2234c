"""Models in production as an operator sees and changes them: one connection to the topics of one environment.

Invariant: nothing is changed but by a control record that was planned, shown and written by compare-and-set.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from stream_scorer.core.records.model_control import AcceptanceTest, ServedModel, environment_of
from stream_scorer.core.records.timestamps import rfc3339
from stream_scorer.core.rollout.contrasts import contrasts_of
from stream_scorer.core.rollout.control import InForce, in_roles, judged_at_once
from stream_scorer.core.rollout.evidence_counter import pair_of
from stream_scorer.core.rollout.score_histograms import ScoreHistograms, no_histograms
from stream_scorer.errors import ModelError, OvertakenError, SettingsError
from stream_scorer.operations.dead_letters.service import user
from stream_scorer.operations.reading.topic_reader import Reader
from stream_scorer.operations.rollout import planned_act
from stream_scorer.operations.rollout.control_log import ControlLog, control_producer, overtaken, told
from stream_scorer.operations.rollout.evidence_log import EvidenceLog, EvidencePoint
from stream_scorer.operations.rollout.lane_switches import LaneRolloutStatus, LaneSwitches
from stream_scorer.operations.rollout.model_store import ModelStore, NewModel, OnChunk
from stream_scorer.operations.rollout.planned_act import PlannedAct
from stream_scorer.operations.rollout.status import RolloutStatus, status_of
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.kafka.client import client_options
from stream_scorer.runtime.rollout.model_topic import UploadedModel
from stream_scorer.runtime.settings.settings import Settings

WAIT_POLL_S: Final = 0.5
WHY_CHARACTERS_MAX: Final = 300

T = TypeVar("T")
OnLanes = Callable[[list[LaneRolloutStatus]], None]


class Rollout:
    """Safe for many tasks of one event loop: they take turns."""

    def __init__(self, settings: Settings, options: dict[str, Any], reader: Reader, who: str) -> None:
        names = TopicNames(settings.topics.prefix)
        self.settings, self.who = settings, who
        self.environment = environment_of(settings.topics.prefix)
        self._options, self._reader = options, reader
        self._turn = asyncio.Lock()
        self._control = ControlLog(names.model_control, self.environment)
        self._store = ModelStore(names.models, settings.models.bytes_max)
        self._switches = LaneSwitches(names.model_switches)
        self._evidence = EvidenceLog(names.model_evidence)

    # Looks

    async def status(self) -> RolloutStatus:
        """Who serves where and what outcomes say, as of now."""
        async with self._turn:
            await self._control.refresh(self._reader)
            await self._switches.refresh(self._reader)
            await self._evidence.refresh(self._reader)
            return status_of(
                self.environment,
                self._control.in_force,
                self._lanes(),
                self._evidence,
                passed_over=self._control.passed_over + self._switches.passed_over + self._evidence.passed_over,
                late=self._control.late,
            )

    async def uploads(self) -> tuple[list[UploadedModel], int]:
        """Every model that was uploaded, and how many records were passed over."""
        async with self._turn:
            await self._store.refresh(self._reader)
            return self._store.models, self._store.passed_over

    async def find_upload(self, named: str) -> UploadedModel:
        """An uploaded model by its label, its name or the beginning of its digest. Raises ModelError."""
        await self.uploads()
        return self._store.find(named)

    async def download(self, digest: str) -> dict[str, bytes]:
        """The files of an uploaded model, checked. Raises ModelError."""
        async with self._turn:
            return await self._store.download(self._reader, digest)

    def acts(self) -> list[InForce]:
        """The last acts that counted, the newest last, as of the last look."""
        return list(self._control.acts)

    def growth(self, candidate: str) -> list[EvidencePoint]:
        """How the evidence for a candidate beside today's champion grew, as of the last look."""
        if self._control.in_force is None:
            return []
        models = self._control.in_force.control.models
        found = (model for _, model, _ in in_roles(models)[1:] if model.digest == candidate)
        return [point for model in found for point in self._evidence.points(pair_of(models.champion, model))]

    def histograms(self, candidate: str) -> ScoreHistograms:
        """How the probabilities of a candidate and of today's champion lie, as of the last look."""
        if self._control.in_force is not None:
            models = self._control.in_force.control.models
            for _, model, _ in in_roles(models)[1:]:
                if model.digest == candidate:
                    return self._evidence.histograms(pair_of(models.champion, model))
        return no_histograms()

    def judged_at_once(self) -> int:
        """How many candidates share the errors."""
        return 1 if self._control.in_force is None else judged_at_once(self._control.in_force.control.models)

    def _lanes(self) -> list[LaneRolloutStatus]:
        in_force = self._control.in_force
        return self._switches.lanes(None if in_force is None else in_force.offset)

    # Acts: planned, shown, and written

    async def plan_deploy(
        self,
        model: ServedModel,
        role: str,
        *,
        share: float = 0.0,
        auto: bool = False,
    ) -> PlannedAct:
        """One more model. What is asked of it is fixed here, from the settings; `auto`: the judge may decide by itself.
        Raises ModelError, SettingsError."""
        if self.settings.worker.delivery == "at-least-once" and role == "canary":
            raise SettingsError(
                "with worker.delivery = at-least-once no canary can be deployed: one observation could be published by "
                "two models. Deploy a shadow or the champion, or use exactly-once"
            )
        if auto:
            self._refuse_automatic(role)
        business = self.settings.business
        test = AcceptanceTest(
            floor=business.success_rate_min,
            gap_max=business.group_gap_max,
            contrasts=contrasts_of(self.settings.models.contrasts),
            auto=auto,
        )
        in_force = await self._in_force()
        return planned_act.deploy(in_force, model, role, share=share, test=test, environment=self.environment)

    async def plan_share(self, part: float) -> PlannedAct:
        """The canary with another share of the ids. Raises ModelError."""
        return planned_act.share(await self._in_force(), part, self.environment)

    async def plan_promote(self, named: str | None = None, *, force: bool = False) -> PlannedAct:
        """A candidate as champion. Raises ModelError where a lane has not loaded it, unless forced."""
        planned = planned_act.promote(await self._in_force(), await self._digest_of(named), self.environment)
        if not force:
            async with self._turn:
                await self._switches.refresh(self._reader)
                missing = [lane for lane in self._lanes() if not lane.has_loaded(planned.models.champion.digest)]
            if missing:
                numbers = ", ".join(f"{lane.partition} ({lane.state})" for lane in missing)
                raise ModelError(
                    f"{planned.model} is not loaded on the lanes {numbers}: they would stand still until it is. Wait "
                    "until `model status` says that they are ready, or say --force"
                )
        return planned

    async def plan_rollback(self) -> PlannedAct:
        """The champion before as champion again. Raises ModelError."""
        return planned_act.roll_back(await self._in_force(), self.environment)

    async def plan_withdraw(self, named: str | None = None) -> PlannedAct:
        """A candidate goes, by default the canary. Raises ModelError."""
        return planned_act.withdraw(await self._in_force(), await self._digest_of(named), self.environment)

    async def plan_auto(self, *, on: bool) -> PlannedAct:
        """The judge may decide by itself, or not any more. Raises ModelError, SettingsError."""
        if on:
            self._refuse_automatic()
        return planned_act.auto(await self._in_force(), on=on, environment=self.environment)

    def _refuse_automatic(self, role: str = "") -> None:
        if self.settings.worker.delivery == "at-least-once":
            raise SettingsError(
                "with worker.delivery = at-least-once nothing can be promoted or withdrawn automatically: an outcome "
                "may count twice. Decide yourself (leave out --auto), or use exactly-once"
            )
        if role == "champion":
            raise SettingsError("a champion is not judged, its candidates are: deploy a shadow or a canary with --auto")

    async def plan_stop(self, named: str) -> PlannedAct:
        """A model is unloaded. Raises ModelError."""
        digest = await self._digest_of(named)
        assert digest is not None
        return planned_act.stop(await self._in_force(), digest, self.environment)

    async def upload(self, model: NewModel, on_chunk: OnChunk = lambda done, total: None) -> None:
        """Upload a model, unless it is there already. Raises ModelError."""

        async def write(producer: AIOKafkaProducer) -> None:
            now_ms = time.time_ns() // 1_000_000
            await self._store.upload(self._reader, producer, model, who=self.who, now_ms=now_ms, on_chunk=on_chunk)

        await self._with_producer("uploading a model", write)

    async def commit(self, planned: PlannedAct, why: str = "", who: str | None = None) -> InForce:
        """Do what was planned. Raises OvertakenError where another act came first."""
        at = rfc3339(time.time_ns() // 1_000_000)
        control = planned.control(self.environment, who or self.who, at, why.strip()[:WHY_CHARACTERS_MAX])
        await self._in_force()
        if self._offset != planned.based_on:
            raise OvertakenError(overtaken(self._control.in_force))

        async def write(producer: AIOKafkaProducer) -> InForce:
            return await self._control.append(self._reader, producer, control)

        return await self._with_producer("writing a control record", write)

    async def wait(
        self, act: InForce, timeout_s: float, on_lanes: OnLanes = lambda lanes: None
    ) -> list[LaneRolloutStatus]:
        """Wait until every lane serves what an act says, one refuses it, or the time is over; gives the lanes. Raises
        OvertakenError where another act comes meanwhile."""
        deadline = time.monotonic() + timeout_s
        while True:
            async with self._turn:
                await self._control.refresh(self._reader)
                await self._switches.refresh(self._reader)
                lanes = self._lanes()
            if self._offset != act.offset:
                raise OvertakenError(overtaken(self._control.in_force).replace("nothing was changed", "waiting ends"))
            on_lanes(lanes)
            states = {lane.state for lane in lanes}
            if states == {"serving"} or "refused" in states or time.monotonic() > deadline:
                return lanes
            await asyncio.sleep(WAIT_POLL_S)

    async def _in_force(self) -> InForce | None:
        async with self._turn:
            await self._control.refresh(self._reader)
            return self._control.in_force

    @property
    def _offset(self) -> int | None:
        return None if self._control.in_force is None else self._control.in_force.offset

    async def _digest_of(self, named: str | None) -> str | None:
        """The digest of a model that is deployed, by its label, its name or the beginning of its digest."""
        if named is None:
            return None
        in_force = await self._in_force()
        deployed = [] if in_force is None else [model for _, model, _ in in_roles(in_force.control.models)]
        _, _, digits = named.rpartition("@")
        found = {model.digest for model in deployed if digits and model.digest.startswith(digits)}
        found = found or {model.digest for model in deployed if model.name == named}
        if len(found) != 1:
            labels = ", ".join(model.label for model in deployed) or "none"
            what = "no model" if not found else "more than one model"
            raise ModelError(f"{what} of {self.environment} is called {named}: there are {labels}")
        return found.pop()

    async def _with_producer(self, doing: str, write: Callable[[AIOKafkaProducer], Awaitable[T]]) -> T:
        producer = control_producer(self._options)
        try:
            await producer.start()
            async with self._turn:
                return await write(producer)
        except (KafkaError, OSError, TimeoutError) as error:
            raise told(error, doing, self.settings.kafka.bootstrap) from error
        finally:
            await producer.stop()


@asynccontextmanager
async def open_rollout(settings: Settings, *, who: str | None = None) -> AsyncIterator[Rollout]:
    """The models of the settings' environment. `who`: default the settings' operator, else the operating system's
    user. Raises OutageError where Kafka does not answer."""
    options = client_options(settings.kafka)
    async with Reader(options) as reader:
        yield Rollout(settings, options, reader, who or settings.operator.name or user())


def served(name: str, digest: str, threshold: float) -> ServedModel:
    """A model as control records name it. Raises ModelError for a name or threshold that they can't hold."""
    try:
        return msgspec.convert({"name": name, "digest": digest, "threshold": threshold}, ServedModel)
    except msgspec.ValidationError as error:
        raise ModelError(f"{name} can't be deployed ({error}): save it again under another name") from error
