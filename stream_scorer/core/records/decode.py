"""A record of which nobody knows who wrote it, read as what we write, or as nothing.

Invariant: on any bytes the answer is a value within bounds that everything behind it can hold, or None; never an
exception. Everybody who has the right to write to a topic can write anything there, and a reader that raises is stopped
by the same record at every start.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Final, TypeVar

import msgspec

T = TypeVar("T")

# What the fields of our records hold: wider than Kafka or a calendar needs, narrow enough for every row and every
# encoder that they go through. Bounds are checked where a record is decoded, not where it is made.
PartitionNumber = Annotated[int, msgspec.Meta(ge=0, lt=1 << 15)]
Offset = Annotated[int, msgspec.Meta(ge=0, lt=1 << 44)]
TimestampMs = Annotated[int, msgspec.Meta(ge=-1, le=(1 << 63) - 1)]
Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)]
Size = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]
Name = Annotated[str, msgspec.Meta(max_length=200)]
TimeText = Annotated[str, msgspec.Meta(max_length=40)]

# What decoders raise on bytes that they do not take: not JSON, not UTF-8 and out of range are all ValueErrors; then
# nesting without end, and a number that no C type holds.
UNREADABLE: Final = (ValueError, RecursionError, OverflowError)


def decode_or_none(decode: Callable[[bytes], T], value: bytes | None) -> T | None:
    """What the bytes say; None where the decoder does not take them."""
    try:
        return decode(value or b"")
    except UNREADABLE:
        return None


def decode_each(decode: Callable[[bytes], T], values: Sequence[bytes | None]) -> list[T | None]:
    """Every value decoded, None where the decoder does not take it.

    One value at a time: joined to one array they would decode a third faster, but a value such as `{…},{…}` would then
    count as two, and every record behind it would be taken for its neighbour."""
    decoded: list[T | None] = []
    rest = iter(values)
    # `extend` keeps what came before a value that raises, and `rest` stands behind that: long runs of good values in C
    while len(decoded) < len(values):
        try:
            decoded.extend(map(decode, rest))  # type: ignore[arg-type]  # None is refused like any other bad value
        except (*UNREADABLE, TypeError):
            decoded.append(None)
    return decoded
