"""Models as chunks and a manifest: whole and right, or nothing."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_scorer.core.records.model_manifest import (
    CHUNK_BYTES_MAX,
    ModelManifest,
    chunk_key,
    chunks_of,
    decode_manifest,
    encode_manifest,
    files_of,
    joined_files,
    parse_key,
)

DIGEST = "a" * 64
CONTENTS = {"card.json": b"{}", "golden.json": b"", "pipeline.skops": bytes(range(256)) * 5_000}


def a_manifest(contents: dict[str, bytes]) -> ModelManifest:
    return ModelManifest(
        name="stops",
        digest=DIGEST,
        threshold=0.4,
        form="additive",
        chunks=len(list(chunks_of(contents))),
        files=files_of(contents),
        first_offset=0,
        who="ann",
        at="2026-01-02T03:04:05.678Z",
    )


@given(st.dictionaries(st.sampled_from(list(CONTENTS)), st.binary(max_size=50), min_size=1))
def test_files_come_back_as_they_were_cut(contents: dict[str, bytes]) -> None:
    assert joined_files(a_manifest(contents), dict(enumerate(chunks_of(contents)))) == contents


def test_a_model_larger_than_a_chunk_is_cut_and_put_together() -> None:
    chunks = list(chunks_of(CONTENTS))
    assert [len(chunk) for chunk in chunks] == [CHUNK_BYTES_MAX, CHUNK_BYTES_MAX, 1_280_002 - 2 * CHUNK_BYTES_MAX]
    assert joined_files(a_manifest(CONTENTS), dict(enumerate(chunks))) == CONTENTS


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({1: None}, id="missing"),
        pytest.param({1: b"other"}, id="another"),
        pytest.param({2: bytes(300_000)}, id="longer"),
    ],
)
def test_chunks_that_are_not_the_manifest_s_are_no_model(change: dict[int, bytes | None]) -> None:
    chunks = dict(enumerate(chunks_of(CONTENTS))) | change
    there = {number: chunk for number, chunk in chunks.items() if chunk is not None}
    assert joined_files(a_manifest(CONTENTS), there) is None


def test_keys_name_a_digest_and_a_chunk_or_the_manifest() -> None:
    assert parse_key(chunk_key(DIGEST, 12)) == (DIGEST, 12)
    assert parse_key(a_manifest(CONTENTS).key) == (DIGEST, None)
    for strange in (None, b"", b"a", b"a/1", DIGEST.encode(), chunk_key(DIGEST, 0) + b"x", b"\xff" * 64 + b"/1"):
        assert parse_key(strange) is None


@given(st.binary() | st.just(b"[" * 100_000))
def test_strange_bytes_are_no_manifest(value: bytes) -> None:
    assert decode_manifest(value) is None


def test_a_manifest_is_read_as_it_was_written_and_a_later_format_is_none() -> None:
    manifest = a_manifest(CONTENTS)
    assert decode_manifest(encode_manifest(manifest)) == manifest
    assert decode_manifest(encode_manifest(msgspec.structs.replace(manifest, format=2))) is None
