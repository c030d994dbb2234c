"""The topic of models: what is put together from its records, whoever else has written among them."""

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

import pytest

from stream_scorer.core.records.model_manifest import (
    CHUNK_BYTES_MAX,
    ModelManifest,
    chunk_key,
    chunks_of,
    encode_manifest,
    files_of,
)
from stream_scorer.models.artifacts.files import FILES, digest_of
from stream_scorer.runtime.rollout.model_topic import ModelTopic, ReadBetween

BYTES_MAX = 4 * CHUNK_BYTES_MAX
CONTENTS = {name: name.encode() * (CHUNK_BYTES_MAX // 10) for name in FILES}
DIGEST = digest_of(CONTENTS)
CHUNKS = list(chunks_of(CONTENTS))


class Written(NamedTuple):
    """A record as a client's decoder would have made it."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int = 0
    headers: Sequence[tuple[str, bytes]] = ()


Log = list[tuple[bytes | None, bytes | None]]


def a_manifest(first_offset: int = 0, contents: dict[str, bytes] = CONTENTS) -> tuple[bytes, bytes]:
    """The key and value of a manifest's record."""
    size = sum(map(len, contents.values()))
    manifest = ModelManifest(
        name="stops",
        digest=digest_of(contents),
        threshold=0.5,
        form="additive",
        chunks=-(-size // CHUNK_BYTES_MAX),
        files=files_of(contents),
        first_offset=first_offset,
        who="ann",
        at="2026-01-02T03:04:05.678Z",
    )
    return manifest.key, encode_manifest(manifest)


def an_upload(first_offset: int = 0) -> Log:
    """Chunks and manifest of a model, whose first record gets that offset."""
    return [*((chunk_key(DIGEST, n), chunk) for n, chunk in enumerate(CHUNKS)), a_manifest(first_offset)]


def read_of(log: Log) -> tuple[ModelTopic, ReadBetween]:
    records = [Written(offset, key, value) for offset, (key, value) in enumerate(log)]

    async def read(begin: int, end: int) -> AsyncIterator[Sequence[Written]]:
        yield records[begin:end]

    topic = ModelTopic(BYTES_MAX)
    for record in records:
        topic.note(record)
    return topic, read


WHOLE = an_upload()
CHUNK_OF_A_STRANGER = (chunk_key(DIGEST, 0), b"another chunk")
DAMAGED: Log = [CHUNK_OF_A_STRANGER, *WHOLE[1:]]


@pytest.mark.parametrize(
    "log",
    [
        WHOLE,
        [*WHOLE, CHUNK_OF_A_STRANGER],
        [CHUNK_OF_A_STRANGER, *an_upload(1)],
        [*an_upload(0)[:-1], CHUNK_OF_A_STRANGER, a_manifest(0)],
        [CHUNK_OF_A_STRANGER, *an_upload(0)],
        [*DAMAGED, *an_upload(len(DAMAGED))],
        [*WHOLE, CHUNK_OF_A_STRANGER, a_manifest(len(WHOLE))],
        [*DAMAGED, *an_upload(len(DAMAGED)), CHUNK_OF_A_STRANGER],
    ],
    ids=[
        "alone",
        "a stranger's chunk behind it",
        "a stranger's chunk before it",
        "a stranger's chunk in it",
        "a stranger's chunk that it counts as its first",
        "uploaded again after damage",
        "a stranger's manifest behind it",
        "uploaded again, a stranger's chunk behind it",
    ],
)
async def test_a_model_is_put_together_whoever_wrote_among_its_chunks(log: Log) -> None:
    topic, read = read_of(log)
    assert [model.manifest.digest for model in topic.models] == [DIGEST]
    assert await topic.files_of(DIGEST, read) == CONTENTS


@pytest.mark.parametrize("log", [DAMAGED, [WHOLE[0], WHOLE[-1]]], ids=["another chunk", "chunks are missing"])
async def test_nothing_is_put_together_that_is_not_the_digests(log: Log) -> None:
    topic, read = read_of(log)
    assert len(topic.uploads(DIGEST)) == 1
    assert await topic.files_of(DIGEST, read) is None


async def test_an_upload_without_its_manifest_does_not_exist() -> None:
    topic, read = read_of(WHOLE[:-1])
    assert (topic.models, topic.passed_over) == ([], 0)
    assert await topic.files_of(DIGEST, read) is None


def test_a_model_that_is_too_large_is_none_and_its_size_is_known() -> None:
    contents = dict.fromkeys(FILES, b"x" * BYTES_MAX)
    topic, _ = read_of([(chunk_key(digest_of(contents), 0), b"x"), a_manifest(0, contents)])
    assert (topic.models, topic.passed_over) == ([], 1)
    assert topic.size_of_too_large(digest_of(contents)) == sum(map(len, contents.values()))


def test_records_of_strangers_are_passed_over_and_counted() -> None:
    manifest_key, manifest = a_manifest()
    topic, _ = read_of(
        [(None, b"{}"), (b"a/b", b"{}"), (manifest_key, b"{}"), (manifest_key, None), (WHOLE[0][0], None)]
    )
    assert (topic.models, topic.passed_over) == ([], 5)
    topic, _ = read_of([(manifest_key, manifest)])  # it says that its first chunk lies where it lies itself
    assert (topic.models, topic.passed_over) == ([], 1)
