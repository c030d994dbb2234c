"""Models on a real Kafka: uploaded, listed, put together again, whatever else is written to their topic."""

from collections.abc import AsyncIterator

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from stream_scorer.core.records.model_manifest import CHUNK_BYTES_MAX, chunk_key, chunks_of, encode_manifest
from stream_scorer.errors import ModelError
from stream_scorer.operations.rollout.service import Rollout
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from tests.integration.broker_sources import Broker
from tests.support.rollout import a_new_model, rollout_on


@pytest.fixture
async def rollout(broker: Broker, prefix: str) -> AsyncIterator[Rollout]:
    async with rollout_on(broker.bootstrap, prefix, models__bytes_max=2 * 1024 * 1024) as rollout:
        yield rollout


@pytest.fixture
async def stranger(rollout: Rollout) -> AsyncIterator[AIOKafkaProducer]:
    """Somebody else who may write to the topics."""
    async with AIOKafkaProducer(bootstrap_servers=rollout.settings.kafka.bootstrap) as producer:
        yield producer


def topic_of(rollout: Rollout) -> str:
    return TopicNames(rollout.settings.topics.prefix).models


@pytest.mark.parametrize("size", [0, 1_000, CHUNK_BYTES_MAX, 3 * CHUNK_BYTES_MAX + 1])
async def test_a_model_comes_back_as_it_was(rollout: Rollout, size: int) -> None:
    model, told = a_new_model(size=size), []
    await rollout.upload(model, lambda done, total: told.append((done, total)))
    assert await rollout.download(model.digest) == model.contents
    assert told == [(number + 1, len(told)) for number in range(len(told))]
    uploads, passed_over = await rollout.uploads()
    assert [(each.manifest.digest, each.manifest.who) for each in uploads] == [(model.digest, "ann")]
    assert uploads[0].manifest.chunks == len(told) == len(list(chunks_of(model.contents)))
    assert passed_over == 0


async def test_a_model_that_is_there_is_not_uploaded_again(rollout: Rollout) -> None:
    model, told = a_new_model(), []
    await rollout.upload(model)
    await rollout.upload(model, lambda done, total: told.append(done))
    assert told == []


async def test_an_upload_that_was_cut_off_does_not_exist(rollout: Rollout, stranger: AIOKafkaProducer) -> None:
    model = a_new_model(size=2 * CHUNK_BYTES_MAX)
    first, *_ = chunks_of(model.contents)
    await stranger.send_and_wait(topic_of(rollout), first, chunk_key(model.digest, 0), 0)
    assert await rollout.uploads() == ([], 0)
    with pytest.raises(ModelError, match="no model with the digest"):
        await rollout.download(model.digest)
    await rollout.upload(model)
    assert await rollout.download(model.digest) == model.contents


async def test_a_model_that_is_too_large_is_refused(rollout: Rollout) -> None:
    with pytest.raises(ModelError, match="more than 2,097,152: make it smaller"):
        await rollout.upload(a_new_model(size=2 * 1024 * 1024))
    assert await rollout.uploads() == ([], 0)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (None, b"{}"),
        (b"a/b", b"{}"),
        (b"a" * 64 + b"/manifest", b"{}"),
        (b"a" * 64 + b"/manifest", None),
        (b"\xff" * 64 + b"/0", b"bytes"),
        (b"a" * 64 + b"/0", b"x" * (CHUNK_BYTES_MAX + 1)),
    ],
    ids=["no-key", "no-digest", "no-manifest", "null", "no-utf8", "chunk-too-large"],
)
async def test_strangers_records_are_passed_over_and_counted(
    rollout: Rollout, stranger: AIOKafkaProducer, key: bytes | None, value: bytes | None
) -> None:
    await stranger.send_and_wait(topic_of(rollout), value, key, 0)
    model = a_new_model()
    await rollout.upload(model)
    uploads, passed_over = await rollout.uploads()
    assert ([each.manifest.digest for each in uploads], passed_over) == ([model.digest], 1)


async def test_a_strangers_manifest_of_other_bytes_is_no_model(rollout: Rollout, stranger: AIOKafkaProducer) -> None:
    good, bad = a_new_model("good"), a_new_model("bad")
    await rollout.upload(good)
    manifest = (await rollout.find_upload(good.digest)).manifest
    forged = msgspec.structs.replace(manifest, digest=bad.digest)
    await stranger.send_and_wait(topic_of(rollout), encode_manifest(forged), forged.key, 0)
    with pytest.raises(ModelError, match="is damaged in the topic"):
        await rollout.download(bad.digest)
    await rollout.upload(bad)
    assert await rollout.download(bad.digest) == bad.contents


async def test_a_strangers_chunk_does_not_get_into_a_model(rollout: Rollout, stranger: AIOKafkaProducer) -> None:
    model = a_new_model(size=2 * CHUNK_BYTES_MAX)
    await rollout.upload(model)
    await stranger.send_and_wait(topic_of(rollout), b"other", chunk_key(model.digest, 1), 0)
    assert await rollout.download(model.digest) == model.contents


async def test_models_are_found_by_name_label_and_digits(rollout: Rollout) -> None:
    one, other = a_new_model("one"), a_new_model("other", size=20)
    for model in (one, other):
        await rollout.upload(model)
    for named in ("one", one.digest, one.digest[:12], f"one@{one.digest[:12]}"):
        assert (await rollout.find_upload(named)).manifest.digest == one.digest
    with pytest.raises(ModelError, match="no model neither was uploaded"):
        await rollout.find_upload("neither")
    await rollout.upload(a_new_model("one", size=30))
    with pytest.raises(ModelError, match="give more digits"):
        await rollout.find_upload("one")
