"""Models for tests: values in memory, and uploads to an environment's topics written with a plain client."""

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from numpy.typing import NDArray

from stream_scorer.core.observations.scoring import Codes
from stream_scorer.core.records.model_control import (
    FORMAT,
    AcceptanceTest,
    ControlAct,
    DeployedModels,
    ModelControl,
    ServedModel,
    encode_control,
    environment_of,
)
from stream_scorer.core.records.model_manifest import ModelManifest, chunk_key, chunks_of, encode_manifest, files_of
from stream_scorer.core.records.model_switch import ModelSwitch, decode_switch
from stream_scorer.core.records.timestamps import rfc3339
from stream_scorer.models.artifacts.files import FILES, read_files
from stream_scorer.models.registry.model_directory import save_model
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.rollout.serving_models import ServingModel, ServingModels
from tests.support.workers import Environment

WAIT_S_MAX = 60.0


def a_served_model(digit: str = "a", threshold: float = 0.5, name: str = "stops") -> ServedModel:
    """A model as control records name it."""
    return ServedModel(name=name, digest=digit * 64, threshold=threshold)


def says(probability: float) -> Callable[[Codes], Any]:
    """A model that says the same of everything."""
    return lambda codes: np.full(len(codes), probability)


def champion_alone(
    predict: Callable[[Codes], Any], model: ServedModel | None = None, control_offset: int | None = None
) -> ServingModels:
    """One champion, asked on the loop."""
    champion = model or a_served_model()
    loaded = ServingModel(champion.label, champion.digest, predict, expensive=False)
    return ServingModels(control_offset, DeployedModels(champion=champion), {champion.digest: loaded})


def save_additive(folder: Path, name: str, seed: int, threshold: float = 0.3) -> ServedModel:
    """A real model directory; another seed is another model."""
    from stream_scorer.core.contract.columns import COLUMN_NAMES
    from stream_scorer.models.synthetic.generator import Generator

    codes = Generator(seed).codes(2_000)
    classes = np.random.default_rng(seed).random(len(codes)) < 0.3
    return save_fitted(folder, name, codes, classes, COLUMN_NAMES[:4], threshold=threshold)


def save_fitted(
    folder: Path, name: str, codes: Codes, classes: NDArray[np.bool_], columns: Sequence[str], *, threshold: float
) -> ServedModel:
    """A real model directory of a logistic regression that was fitted to these outcomes and sees these columns."""
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    from stream_scorer.core.contract.columns import COLUMN_NAMES
    from stream_scorer.models.dataframes import frame_of

    encode = ColumnTransformer([("columns", OneHotEncoder(handle_unknown="ignore"), list(columns))])
    pipeline = make_pipeline(encode, LogisticRegression(max_iter=200))
    pipeline.fit(frame_of(codes, COLUMN_NAMES), classes)
    digest = save_model(folder, pipeline, name=name, threshold=threshold)
    return ServedModel(name=name, digest=digest, threshold=threshold)


def save_trees(folder: Path, name: str, threshold: float = 0.3, trees: int = 10) -> ServedModel:
    """A real model directory of gradient boosting, which is not additive."""
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    from stream_scorer.core.contract.columns import COLUMN_NAMES
    from stream_scorer.models.dataframes import frame_of
    from stream_scorer.models.synthetic.generator import Generator

    codes = Generator(5).codes(2_000)
    classes = np.random.default_rng(5).random(len(codes)) < 0.3
    unknown = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    encode = ColumnTransformer([("columns", unknown, list(COLUMN_NAMES))])
    pipeline = make_pipeline(encode, HistGradientBoostingClassifier(max_iter=trees))
    pipeline.fit(frame_of(codes, COLUMN_NAMES), classes)
    digest = save_model(folder, pipeline, name=name, threshold=threshold)
    return ServedModel(name=name, digest=digest, threshold=threshold)


class Deployer:
    """Uploads models and writes control records, as operators' commands do; reads switches back."""

    def __init__(self, environment: Environment) -> None:
        self.environment, self.names = environment, environment.names
        self._environment_name = environment_of(environment.settings.topics.prefix)
        self.last: int | None = None

    async def upload(self, folder: Path, model: ServedModel, *, spoil: bool = False) -> None:
        """The chunks of a model directory, then its manifest; `spoil`: with bytes that are not the model's."""
        contents, digest = read_files(folder)
        contents = {file: contents[file] for file in FILES}
        chunks = [chunk[:-1] + b"!" if spoil else chunk for chunk in chunks_of(contents)]
        first = [await self._send(self.names.models, chunk_key(digest, n), chunk) for n, chunk in enumerate(chunks)]
        manifest = ModelManifest(
            name=model.name,
            digest=digest,
            threshold=model.threshold,
            form="additive",
            chunks=len(chunks),
            files=files_of(contents),
            first_offset=first[0],
            who="a test",
            at=rfc3339(time.time_ns() // 1_000_000),
        )
        await self._send(self.names.models, manifest.key, encode_manifest(manifest))

    async def control(
        self,
        models: DeployedModels,
        act: ControlAct = ControlAct.DEPLOY,
        *,
        based_on: int | None = -1,
        format_: int = FORMAT,
        test: AcceptanceTest | None = None,
    ) -> int:
        """A control record; its offset. `based_on`: by default the last one that this deployer wrote."""
        record = ModelControl(
            format=format_,
            environment=self._environment_name,
            based_on=self.last if based_on == -1 else based_on,
            act=act,
            models=models,
            test=test or AcceptanceTest(),
            who="a test",
            at=rfc3339(time.time_ns() // 1_000_000),
        )
        offset = await self._send(self.names.model_control, record.key, encode_control(record))
        if based_on == -1:
            self.last = offset
        return offset

    async def _send(self, topic: str, key: bytes, value: bytes) -> int:
        producer: AIOKafkaProducer = self.environment.topics.producer
        return int((await producer.send_and_wait(topic, value, key, 0)).offset)

    async def switches(self) -> dict[int, list[ModelSwitch]]:
        """All switch records by partition, in their order."""
        found: dict[int, list[ModelSwitch]] = {}
        for record in await records_of(self.environment, self.names.model_switches):
            switch = decode_switch(record.value)
            assert switch is not None
            assert switch.partition == record.partition
            found.setdefault(record.partition, []).append(switch)
        return found

    async def until_served(self, control_offset: int | None, lanes: Sequence[int], state: str = "serving") -> None:
        """Wait until these lanes say so of that control record."""
        deadline = time.monotonic() + WAIT_S_MAX
        while True:
            told = await self.switches()
            if all(
                any(one.control_offset == control_offset and one.state == state for one in told.get(lane, ()))
                for lane in lanes
            ):
                return
            assert time.monotonic() < deadline, f"in vain: {told}"
            await asyncio.sleep(0.05)


async def records_of(environment: Environment, topic: str) -> list[Any]:
    """All committed records of a topic, by partition, then offset."""
    names = TopicNames(environment.settings.topics.prefix)
    partitions = environment.topics.partitions if topic not in (names.model_control, names.models) else 1
    consumer = AIOKafkaConsumer(
        bootstrap_servers=environment.bootstrap,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        found: list[Any] = []
        for number in range(partitions):
            one = TopicPartition(topic, number)
            consumer.assign([one])
            end = (await consumer.end_offsets([one]))[one]
            while await consumer.position(one) < end:
                for records in (await consumer.getmany(timeout_ms=50)).values():
                    found += records
        return found
    finally:
        await consumer.stop()
