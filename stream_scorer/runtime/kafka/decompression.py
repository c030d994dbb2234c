"""A batch's records unfolded, up to a bound.

Invariant: whatever the compressed bytes say of themselves, no more memory is written to than the bound.
"""

import struct
from collections.abc import Callable
from typing import Any, Final

import cramjam
import numpy as np
from numpy.typing import NDArray

CODECS: Final = {1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}
# What cramjam says where its output has no room left; a test holds it to that
_FULL: Final = "write whole buffer"
_XERIAL_MAGIC: Final = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES: Final = 16
_BLOCK: Final = struct.Struct(">i")

Room = NDArray[np.uint8]


class UnfoldsTooFarError(Exception):
    """The bytes unfold to more than the bound."""


class UndecodableError(Exception):
    """The bytes are not what their codec writes."""


def unfold(codec: int, body: bytes | memoryview, room: Room) -> int:
    """Unfold into `room`, which is the bound; how many bytes it took. Raises UnfoldsTooFarError and
    UndecodableError."""
    try:
        return _UNFOLD[codec](body, room)
    except cramjam.DecompressionError as error:
        if _FULL in str(error):
            raise UnfoldsTooFarError from error
        raise UndecodableError(str(error)) from error
    except KeyError as error:
        raise UndecodableError(f"no codec has the number {codec}") from error


def room_of(size_bytes: int) -> Room:
    """Memory of which only what is written to is taken from the machine."""
    return np.empty(size_bytes, dtype=np.uint8)


def _into(decompress_into: Callable[[Any, Any], int]) -> Callable[[Any, Room], int]:
    def unfold_into(body: bytes | memoryview, room: Room) -> int:
        return int(decompress_into(body, room))

    return unfold_into


def _snappy(body: bytes | memoryview, room: Room) -> int:
    """One raw block, or the blocks of xerial's framing, which Java's clients write. Each says how long it will be."""
    whole = memoryview(body)
    if bytes(whole[: len(_XERIAL_MAGIC)]) != _XERIAL_MAGIC:
        return _snappy_block(whole, room)
    place, written = _XERIAL_HEADER_BYTES, 0
    while place < len(whole):
        if place + _BLOCK.size > len(whole):
            raise UndecodableError("a block of snappy that is cut short")
        (length,) = _BLOCK.unpack_from(whole, place)
        place += _BLOCK.size
        if not 0 <= length <= len(whole) - place:
            raise UndecodableError("a block of snappy that is longer than its batch")
        written += _snappy_block(whole[place : place + length], room[written:])
        place += length
    return written


def _snappy_block(block: memoryview, room: Room) -> int:
    raw = bytes(block)
    if cramjam.snappy.decompress_raw_len(raw) > len(room):
        raise UnfoldsTooFarError
    return int(cramjam.snappy.decompress_raw_into(raw, room))  # type: ignore[arg-type]  # an array has a buffer


_UNFOLD: Final[dict[int, Callable[[Any, Room], int]]] = {
    1: _into(cramjam.gzip.decompress_into),
    2: _snappy,
    3: _into(cramjam.lz4.decompress_into),
    4: _into(cramjam.zstd.decompress_into),
}
