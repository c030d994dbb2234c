"""Models in Kafka: uploaded in chunks with their manifest last, listed, and put together again.

Invariant: what is downloaded is, byte for byte, the digest's, whoever else has written to the topic; an upload that was
cut off has no manifest and does not exist.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import NamedTuple

from aiokafka import AIOKafkaProducer, TopicPartition

from stream_scorer.core.records.model_control import ModelName
from stream_scorer.core.records.model_manifest import (
    ModelManifest,
    chunk_key,
    chunks_of,
    encode_manifest,
    files_of,
)
from stream_scorer.core.records.timestamps import rfc3339
from stream_scorer.errors import ModelError
from stream_scorer.operations.reading.topic_position import TopicPosition
from stream_scorer.operations.reading.topic_reader import Reader, Record, Span
from stream_scorer.runtime.rollout.model_topic import ModelTopic, ReadBetween, UploadedModel, joined_upload

# Chunks so far, chunks in all
OnChunk = Callable[[int, int], None]


class NewModel(NamedTuple):
    """What is to be uploaded: the files of a model directory that its digest is of, checked, and what they say of
    themselves."""

    name: ModelName
    digest: str
    threshold: float
    form: str
    contents: Mapping[str, bytes]


class ModelStore:
    """The topic of models, as far as it was read. `bytes_max`: the largest model that is taken, in or out."""

    def __init__(self, topic: str, bytes_max: int) -> None:
        self._topic, self._bytes_max = topic, bytes_max
        self._position = TopicPosition(topic)
        self._read_so_far = ModelTopic(bytes_max)

    @property
    def models(self) -> list[UploadedModel]:
        """Every model that is there, by its first upload, the newest last."""
        return self._read_so_far.models

    @property
    def passed_over(self) -> int:
        """How many records nobody of us wrote."""
        return self._read_so_far.passed_over

    async def refresh(self, reader: Reader) -> None:
        """Read on; records that nobody of us wrote are passed over and counted."""
        async for _, records in self._position.read_on(reader):
            for record in records:
                self._read_so_far.note(record)

    def find(self, named: str) -> UploadedModel:
        """The model with this digest, the beginning of one, or this label. Raises ModelError where none or several
        are meant."""
        _, _, digits = named.rpartition("@")
        found = [model for model in self.models if digits and model.manifest.digest.startswith(digits)]
        found = found or [model for model in self.models if model.manifest.name == named]
        if not found:
            raise ModelError(f"no model {named} was uploaded: `stream-scorer model list` says which ones were")
        if len(found) > 1:
            labels = ", ".join(model.manifest.label for model in found[:10])
            raise ModelError(f"{named} may be {labels}: give more digits of its digest")
        return found[0]

    async def upload(
        self,
        reader: Reader,
        producer: AIOKafkaProducer,
        model: NewModel,
        *,
        who: str,
        now_ms: int,
        on_chunk: OnChunk = lambda done, total: None,
    ) -> ModelManifest:
        """Write a model, unless it is there already and whole: chunks, then, once they were read back, its manifest.
        Raises ModelError for one that is too large."""
        size = sum(map(len, model.contents.values()))
        if size > self._bytes_max:
            raise ModelError(
                f"{model.name} has {size:,} bytes, more than {self._bytes_max:,}: make it smaller, or raise "
                "models.bytes_max here and for all workers"
            )
        await self.refresh(reader)
        if there := self._read_so_far.uploads(model.digest):
            try:
                await self.download(reader, model.digest)
            except ModelError:
                pass  # damaged: written again
            else:
                return there[0].manifest
        chunks = list(chunks_of(model.contents))
        offsets = []
        for number, chunk in enumerate(chunks):
            sent = await producer.send_and_wait(self._topic, chunk, chunk_key(model.digest, number), 0)
            offsets.append(sent.offset)
            on_chunk(number + 1, len(chunks))
        manifest = ModelManifest(
            name=model.name,
            digest=model.digest,
            threshold=model.threshold,
            form=model.form,
            chunks=len(chunks),
            files=files_of(model.contents),
            first_offset=offsets[0],
            who=who,
            at=rfc3339(now_ms),
        )
        if await joined_upload(manifest, offsets[-1] + 1, self._reading(reader)) is None:
            raise ModelError(f"{manifest.label} was read back otherwise than it was written: upload it again")
        await producer.send_and_wait(self._topic, encode_manifest(manifest), manifest.key, 0)
        return manifest

    async def download(self, reader: Reader, digest: str) -> dict[str, bytes]:
        """The files of a model directory, by name. Raises ModelError where no upload of it is whole."""
        await self.refresh(reader)
        files = await self._read_so_far.files_of(digest, self._reading(reader))
        if files is not None:
            return files
        if not (uploads := self._read_so_far.uploads(digest)):
            raise ModelError(f"no model with the digest {digest} was uploaded: `stream-scorer model list`")
        raise ModelError(
            f"{uploads[0].manifest.label} is damaged in the topic {self._topic}: chunks are missing, or other "
            "ones than were uploaded. Deploy it again from its source"
        )

    def _reading(self, reader: Reader) -> ReadBetween:
        async def read(begin: int, end: int) -> AsyncIterator[list[Record]]:
            async for _, records in reader.read({TopicPartition(self._topic, 0): Span(begin, end)}):
                yield records

        return read
