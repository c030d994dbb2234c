"""Models in production by hand: models to upload, and what workers write of them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaProducer

from stream_scorer.core.records.model_control import DeployedModels, ServedModel
from stream_scorer.core.records.model_evidence import GROUPS, SCORES, ModelEvidence, encode_evidence
from stream_scorer.core.records.model_switch import FirstOffsets, ModelSwitch, SwitchState, encode_switch
from stream_scorer.core.rollout.control import in_roles
from stream_scorer.models.artifacts.files import CARD, FILES, GOLDEN, PIPELINE, digest_of
from stream_scorer.operations.rollout.model_store import NewModel
from stream_scorer.operations.rollout.service import Rollout, open_rollout, served
from stream_scorer.runtime.cluster.topic_admin import TopicNames, apply
from stream_scorer.runtime.settings.settings import Settings, load_settings

AT = "2026-11-27T08:00:00.000Z"
NO_OFFSETS = FirstOffsets(0, 0)


def a_new_model(name: str = "stops", size: int = 1_000, threshold: float = 0.4) -> NewModel:
    """Files that hang together, of no model that could be loaded; another digest for another name or size."""
    contents = {CARD: name.encode(), GOLDEN: b"{}", PIPELINE: bytes(number % 251 for number in range(size))}
    digest = digest_of(contents)
    return NewModel(name, digest, threshold, "additive", {file: contents[file] for file in FILES})


def a_served_model(name: str = "stops", digit: str = "a", threshold: float = 0.4) -> ServedModel:
    """A model that control records can name."""
    return served(name, digit * 64, threshold)


def an_evidence(
    models: DeployedModels,
    candidate: ServedModel,
    outcomes: Sequence[int],
    *,
    lane: int = 0,
    residual_sum: float = 0.0,
) -> ModelEvidence:
    """How many outcomes of each cell a lane has counted, spread over all groups; every stop has one."""
    spread = [count // GROUPS for _ in range(GROUPS) for count in outcomes]
    for cell, count in enumerate(outcomes):
        spread[cell] += count % GROUPS
    total = sum(outcomes)
    return ModelEvidence(
        partition=lane,
        champion=models.champion,
        candidate=candidate,
        first=NO_OFFSETS,
        next=FirstOffsets(total, total),
        outcomes=tuple(spread),
        recent="".join(str(cell) * min(count, 200) for cell, count in enumerate(outcomes)),
        scored=tuple(outcomes[2 * says] + outcomes[2 * says + 1] for says in range(4)),
        residual_sum=residual_sum,
        residual_squares=total * 0.2,
        worker="worker-1",
        at=AT,
        scores=tuple(total for _ in range(SCORES)),
        calibration=tuple(count for _ in range(SCORES) for count in (total, total // 2)),
    )


@asynccontextmanager
async def fresh_topics(bootstrap: str, prefix: str, **settings: Any) -> AsyncIterator[Settings]:
    """An environment without a model."""
    given = {"kafka.bootstrap": bootstrap, "topics.prefix": prefix, "operator.name": "ann"}
    found = load_settings(None, {}, {**given, **{key.replace("__", "."): value for key, value in settings.items()}})
    await apply(found)
    yield found


@asynccontextmanager
async def rollout_on(bootstrap: str, prefix: str, **settings: Any) -> AsyncIterator[Rollout]:
    """An operator of a new environment."""
    async with fresh_topics(bootstrap, prefix, **settings) as found, open_rollout(found) as rollout:
        yield rollout


@asynccontextmanager
async def worker_hand(settings: Settings) -> AsyncIterator["WorkerHand"]:
    """Writes what workers write, in transactions as they do."""
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka.bootstrap,
        transactional_id=f"{settings.topics.prefix}worker-hand",
        transaction_timeout_ms=10_000,
    )
    await producer.start()
    try:
        yield WorkerHand(producer, TopicNames(settings.topics.prefix))
    finally:
        await producer.stop()


class WorkerHand:
    """One worker that owns all lanes."""

    def __init__(self, producer: AIOKafkaProducer, names: TopicNames) -> None:
        self.producer, self.names = producer, names

    async def switch(
        self,
        models: DeployedModels,
        control_offset: int | None,
        *,
        lanes: Sequence[int] = range(4),
        state: SwitchState = "serving",
        model: str = "",
        reason: str = "",
    ) -> None:
        """Say on lanes what became of a control record."""
        async with self.producer.transaction():
            for lane in lanes:
                switch = ModelSwitch(
                    partition=lane,
                    control_offset=control_offset,
                    state=state,
                    first=FirstOffsets(10 * lane, lane),
                    models=models,
                    versions={"scikit-learn": "1.7"},
                    worker="worker-1",
                    at=AT,
                    model=model,
                    reason=reason,
                )
                await self.producer.send_and_wait(self.names.model_switches, encode_switch(switch), switch.key, lane)

    async def count(
        self,
        models: DeployedModels,
        candidate: ServedModel,
        outcomes: Sequence[int],
        *,
        lane: int = 0,
        residual_sum: float = 0.0,
    ) -> None:
        """Say how many outcomes of each cell a lane has counted, spread over all groups."""
        evidence = an_evidence(models, candidate, outcomes, lane=lane, residual_sum=residual_sum)
        async with self.producer.transaction():
            await self.producer.send_and_wait(self.names.model_evidence, encode_evidence(evidence), evidence.key, lane)


def digests(models: DeployedModels) -> dict[str, str]:
    """The digest of each role."""
    return {role: model.digest for role, model, _ in in_roles(models)}
