"""The records of the topic of models: which uploads there are, and a model's files put together from its chunks.

Invariant: what is put together is, byte for byte, the digest's, whoever else has written to the topic; an upload that
was cut off has no manifest and does not exist.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple

from stream_scorer.core.records.model_manifest import (
    CHUNK_BYTES_MAX,
    ModelManifest,
    decode_manifest,
    joined_files,
    parse_key,
)
from stream_scorer.core.records.record import ConsumedRecord
from stream_scorer.models.artifacts.files import FILES, digest_of

# The topic's records from one offset to before another, in lists
ReadBetween = Callable[[int, int], AsyncIterator[Sequence[ConsumedRecord]]]


class UploadedModel(NamedTuple):
    """A manifest that was read, and the offset of its record: all its chunks lie before it."""

    manifest: ModelManifest
    offset: int


class ModelTopic:
    """What was read of the topic. `bytes_max`: the largest model that is taken; `passed_over`: records that nobody of
    us wrote, or of models that are larger."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        # by digest, the manifest that was written last behind the others
        self._uploads: dict[str, list[UploadedModel]] = {}
        self._too_large: dict[str, int] = {}
        self.passed_over = 0

    @property
    def models(self) -> list[UploadedModel]:
        """Every model that is there, by its first upload, the newest last."""
        return sorted((uploads[0] for uploads in self._uploads.values()), key=lambda model: model.offset)

    def uploads(self, digest: str) -> list[UploadedModel]:
        """Every upload of one model, the newest last."""
        return self._uploads.get(digest, [])

    def size_of_too_large(self, digest: str) -> int | None:
        """How many bytes a model has that is larger than what is taken; None where none is said to be."""
        return self._too_large.get(digest)

    def note(self, record: ConsumedRecord) -> None:
        """Take in the next record."""
        self.passed_over += not self._is_ours(record)

    def _is_ours(self, record: ConsumedRecord) -> bool:
        found, value = parse_key(record.key), _value_of(record)
        if found is None or value is None:
            return False
        digest, chunk = found
        if chunk is not None:
            return len(value) <= CHUNK_BYTES_MAX
        manifest = decode_manifest(value)
        if manifest is None or not _is_possible(manifest, digest, record.offset):
            return False
        if manifest.total_bytes > self._bytes_max:
            self._too_large[digest] = manifest.total_bytes
            return False
        self._uploads.setdefault(digest, []).append(UploadedModel(manifest, record.offset))
        return True

    async def files_of(self, digest: str, read: ReadBetween) -> dict[str, bytes] | None:
        """The files of a model directory, by name, from its newest upload that is whole; None where none is."""
        for upload in reversed(self.uploads(digest)):
            files = await joined_upload(upload.manifest, upload.offset, read)
            if files is not None:
                return files
        return None


async def joined_upload(manifest: ModelManifest, end: int, read: ReadBetween) -> dict[str, bytes] | None:
    """The manifest's files from its chunks before the offset `end`; None where they are not the digest's."""
    first: dict[int, bytes] = {}
    last: dict[int, bytes] = {}
    async for records in read(manifest.first_offset, end):
        for record in records:
            digest, chunk = parse_key(record.key) or ("", None)
            if digest == manifest.digest and chunk is not None and chunk < manifest.chunks:
                last[chunk] = (_value_of(record) or b"")[:CHUNK_BYTES_MAX]
                first.setdefault(chunk, last[chunk])
    # a chunk that stands there twice is the same twice, or a stranger's beside ours
    for chunks in (first, last):
        files = joined_files(manifest, chunks)
        if files is not None and digest_of(files) == manifest.digest:
            return {name: files[name] for name in FILES}
    return None


def _is_possible(manifest: ModelManifest, digest: str, offset: int) -> bool:
    return (
        manifest.digest == digest
        and manifest.first_offset < offset
        and manifest.chunks == max(1, -(-manifest.total_bytes // CHUNK_BYTES_MAX))
        and {file.name for file in manifest.files} >= set(FILES)
    )


def _value_of(record: ConsumedRecord) -> bytes | None:
    """None also where the record stands for a batch that was not decompressed."""
    return record.value if isinstance(record.value, bytes) else None
