"""Uploaded models: fetched from their topic, kept on this machine's disk, and loaded from there.

Invariant: what is loaded has the digest that was asked for, whoever wrote to the topic or to the folder meanwhile.
"""

import asyncio
import logging
import shutil
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from stream_scorer.core.records.model_control import ServedModel
from stream_scorer.errors import ModelError
from stream_scorer.models.artifacts.files import FILES, read_files, write_files
from stream_scorer.models.registry.model_process import host_model
from stream_scorer.models.registry.reference_distributions import trained_on
from stream_scorer.private_files import private_folder
from stream_scorer.runtime.kafka.partition_span import records_between, span_consumer
from stream_scorer.runtime.rollout.model_topic import ModelTopic
from stream_scorer.runtime.rollout.serving_models import ServingModel

log = logging.getLogger(__name__)

# A control record may be read a moment before the manifest that it needs, when the broker was away in between
LOOKS: Final = 3
LOOK_AGAIN_S: Final = 1.0


class ModelCache:
    """Loads models by their digests. `folder`: where they are kept, its owner's only; `bytes_max`: the largest that is
    fetched; `timeout_s`: within which a model that is not additive must answer a batch."""

    def __init__(
        self,
        options: Mapping[str, Any],
        topic: str,
        *,
        folder: Path,
        bytes_max: int,
        timeout_s: float,
        trusted_types: Collection[str],
    ) -> None:
        self._options, self._partition, self._folder = options, TopicPartition(topic, 0), folder
        self._bytes_max, self._timeout_s, self._trusted_types = bytes_max, timeout_s, trusted_types

    async def load(self, wanted: ServedModel) -> ServingModel:
        """The model, checked and warm; loaded in a process of its own. Raises `ModelError`, saying why not."""
        folder = self._folder / wanted.digest
        if not await asyncio.to_thread(_is_kept, folder, wanted.digest):
            contents = await self._fetch(wanted)
            await asyncio.to_thread(self._keep, folder, contents)
        hosted = await asyncio.to_thread(host_model, folder, self._trusted_types, timeout_s=self._timeout_s)
        process = hosted.process
        if hosted.digest != wanted.digest:
            if process is not None:
                process.close()
            raise ModelError(f"{wanted.label} is {hosted.digest} on disk: delete {folder}")
        return ServingModel(
            label=wanted.label,
            digest=wanted.digest,
            predict=hosted.predict,
            expensive=process is not None,
            trained_on=trained_on(hosted.card),
            ended=lambda: None if process is None or process.is_alive else "its process has ended",
            close=lambda: None if process is None else process.close(),
            restart=lambda: None if process is None else process.restart(),
        )

    async def _fetch(self, wanted: ServedModel) -> dict[str, bytes]:
        """The model's files, from the topic."""
        consumer = span_consumer(self._options)
        fault = ""
        try:
            await consumer.start()
            consumer.assign([self._partition])
            for look in range(LOOKS):
                if look:
                    await asyncio.sleep(LOOK_AGAIN_S)
                found = await self._look(consumer, wanted.digest)
                if not isinstance(found, str):
                    return found
                fault = found
        except KafkaError as error:
            fault = f"Kafka does not give it ({error})"
        finally:
            await consumer.stop()
        raise ModelError(f"{wanted.label} can't be fetched from {self._partition.topic}: {fault}. Upload it again.")

    async def _look(self, consumer: AIOKafkaConsumer, digest: str) -> dict[str, bytes] | str:
        """The files of the digest, or why they are not there."""
        begin = (await consumer.beginning_offsets([self._partition]))[self._partition]
        end = (await consumer.end_offsets([self._partition]))[self._partition]
        read = partial(records_between, consumer, self._partition)
        topic = ModelTopic(self._bytes_max)
        async for records in read(begin, end):
            for record in records:
                topic.note(record)
        if topic.uploads(digest):
            return await topic.files_of(digest, read) or "its chunks are not what its digest says"
        if (size := topic.size_of_too_large(digest)) is not None:
            return f"it has {size:,} bytes, more than models.bytes_max = {self._bytes_max:,}"
        return "it has no manifest there"

    def _keep(self, folder: Path, contents: dict[str, bytes]) -> None:
        try:
            private_folder(self._folder)
            shutil.rmtree(folder, ignore_errors=True)  # one that is damaged, or was cut off
        except OSError as error:
            raise ModelError(f"{self._folder} can't be written ({error.strerror}): make room, or let it be") from error
        write_files(folder, {file: contents[file] for file in FILES})
        with suppress(OSError):
            folder.chmod(0o700)
        log.info("model %s fetched into %s", folder.name[:12], folder)


def _is_kept(folder: Path, digest: str) -> bool:
    """Whether the folder holds this very model."""
    try:
        return read_files(folder)[1] == digest
    except ModelError:
        return False
