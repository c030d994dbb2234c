"""Models as records: their files in chunks, and a manifest that says how to put them together.

Invariant: a model is there once its manifest is, and what is put together is the digest's or nothing.

A digest's chunks always hold the same bytes: the files in the order of its manifest, one behind the other, cut after
every `CHUNK_BYTES_MAX`. So two who upload the same model at the same moment do no harm.
"""

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Annotated, Final

import msgspec

from stream_scorer.core.records.decode import Offset, Size, TimeText, decode_or_none
from stream_scorer.core.records.model_control import DIGEST_DIGITS, FORMAT, Digest, ModelName

CHUNK_BYTES_MAX: Final = 512 * 1024
MANIFEST: Final = "manifest"  # what stands in the key in the place of a chunk's number

FileName = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9._-]{0,63}$")]


class ModelFile(msgspec.Struct, frozen=True):
    """One file of a model directory."""

    name: FileName
    bytes: Size
    sha256: Digest


class ModelManifest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an uploaded model consists of. `first_offset`: of its first chunk in the topic, so that a reader need not
    begin at the topic's beginning. `threshold`: the card's; which one counts says the control record."""

    format: Annotated[int, msgspec.Meta(ge=1)] = FORMAT
    name: ModelName
    digest: Digest
    threshold: Annotated[float, msgspec.Meta(ge=0, le=1)]
    form: str
    chunks: Annotated[int, msgspec.Meta(ge=1)]
    files: Annotated[tuple[ModelFile, ...], msgspec.Meta(min_length=1)]
    first_offset: Offset
    who: str
    at: TimeText

    @property
    def label(self) -> str:
        """As predictions name it: `<name>@<first digits of the digest>`."""
        return f"{self.name}@{self.digest[:DIGEST_DIGITS]}"

    @property
    def total_bytes(self) -> int:
        """Of all files together."""
        return sum(file.bytes for file in self.files)

    @property
    def key(self) -> bytes:
        """The key of its record."""
        return f"{self.digest}/{MANIFEST}".encode()


def chunk_key(digest: str, chunk: int) -> bytes:
    """The key of a chunk's record; chunks are counted from 0."""
    return f"{digest}/{chunk}".encode()


def parse_key(key: bytes | None) -> tuple[str, int | None] | None:
    """The digest of a record of a model and its chunk's number, None for its manifest; None where the key is no such
    thing."""
    digest, slash, chunk = (key or b"").decode(errors="replace").partition("/")
    if not slash or len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        return None
    if chunk == MANIFEST:
        return digest, None
    return (digest, int(chunk)) if chunk.isascii() and chunk.isdigit() and len(chunk) <= 6 else None


def files_of(contents: Mapping[str, bytes]) -> tuple[ModelFile, ...]:
    """What a manifest says of these files, in their order."""
    return tuple(ModelFile(name, len(content), sha256(content).hexdigest()) for name, content in contents.items())


def chunks_of(contents: Mapping[str, bytes]) -> Iterator[bytes]:
    """The files, in their order, cut into chunks."""
    joined = b"".join(contents.values())
    for begin in range(0, max(1, len(joined)), CHUNK_BYTES_MAX):
        yield joined[begin : begin + CHUNK_BYTES_MAX]


def joined_files(manifest: ModelManifest, chunks: Mapping[int, bytes]) -> dict[str, bytes] | None:
    """The files again, by name; None where a chunk is missing or a file is not the one that was uploaded."""
    if any(number not in chunks for number in range(manifest.chunks)):
        return None
    joined = b"".join(chunks[number] for number in range(manifest.chunks))
    files, begin = {}, 0
    for file in manifest.files:
        files[file.name] = joined[begin : begin + file.bytes]
        begin += file.bytes
        if sha256(files[file.name]).hexdigest() != file.sha256:
            return None
    return files if begin == len(joined) else None


encode_manifest: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(ModelManifest).decode


def decode_manifest(value: bytes | None) -> ModelManifest | None:
    """The manifest that these bytes are; None where they are none, or one of a later version."""
    manifest = decode_or_none(_decode, value)
    return manifest if manifest is not None and manifest.format <= FORMAT else None
