"""Fetch requests of version 11 and their answers, packed and read by hand: through aiokafka's tables both together take
62 µs for the eight partitions of four lanes, 593 µs for the 96 of 48 lanes.

Invariant: each writes the same bytes, and reads the same values, as aiokafka's tables of that version.
"""

from collections.abc import Mapping, Sequence
from struct import Struct
from typing import Any, Final, NamedTuple

# replica, wait, bytes at least and at most, isolation; session and its epoch
_HEAD: Final = Struct(">iiiibii")
_COUNT: Final = Struct(">i")
_TEXT_LENGTH: Final = Struct(">h")
# partition, leader epoch, offset, log start offset, bytes at most
_PARTITION: Final = Struct(">iiqqi")
# throttle time, error code, session
_ANSWER_HEAD: Final = Struct(">ihi")
# partition, error code, high watermark, last stable offset, log start offset, number of aborted transactions
_ANSWERED: Final = Struct(">ihqqqi")
# producer id, first offset
_ABORTED: Final = Struct(">qq")
# preferred read replica, bytes of records
_RECORDS: Final = Struct(">ii")
_CONSUMER: Final = -1
_UNKNOWN: Final = -1
_NO_RACK: Final = b"\0\0"


class FetchLimits(NamedTuple):
    """How long the broker may wait, how many bytes it is to give, and which records count."""

    wait_ms_max: int
    bytes_min: int
    bytes_max: int
    isolation_level: int


class FetchAnswer(NamedTuple):
    """What a broker gave. `topics`: for each partition its number, error code, high watermark, last stable offset, log
    start offset, aborted transactions (producer id, first offset), preferred replica and records."""

    error_code: int
    session_id: int
    topics: list[tuple[str, list[tuple[Any, ...]]]]
    API_VERSION: int = 11


def pack_fetch(
    limits: FetchLimits,
    session: tuple[int, int],
    partitions: Mapping[str, Sequence[tuple[int, int, int]]],
    forgotten: Mapping[str, Sequence[int]],
) -> bytes:
    """A Fetch request. `session`: its id and epoch; `partitions`: by topic, number, offset and bytes at most."""
    packed = [_HEAD.pack(_CONSUMER, *limits, *session), _COUNT.pack(len(partitions))]
    for topic, wanted in partitions.items():
        packed += _text(topic), _COUNT.pack(len(wanted))
        packed += [
            _PARTITION.pack(number, _UNKNOWN, offset, _UNKNOWN, bytes_max) for number, offset, bytes_max in wanted
        ]
    packed.append(_COUNT.pack(len(forgotten)))
    for topic, numbers in forgotten.items():
        packed += _text(topic), _COUNT.pack(len(numbers)), *map(_COUNT.pack, numbers)
    packed.append(_NO_RACK)
    return b"".join(packed)


def _text(value: str) -> bytes:
    packed = value.encode()
    return _TEXT_LENGTH.pack(len(packed)) + packed


def read_fetched(packed: bytes, place: int) -> FetchAnswer:
    """An answer to Fetch, from that place on. Raises `struct.error` where it ends too early."""
    _, error_code, session_id = _ANSWER_HEAD.unpack_from(packed, place)
    (topics_left,) = _COUNT.unpack_from(packed, place := place + _ANSWER_HEAD.size)
    place += _COUNT.size
    topics = []
    for _ in range(topics_left):
        (length,) = _TEXT_LENGTH.unpack_from(packed, place)
        place += _TEXT_LENGTH.size
        topic = packed[place : place + length].decode()
        (partitions_left,) = _COUNT.unpack_from(packed, place := place + length)
        place += _COUNT.size
        partitions = []
        for _ in range(partitions_left):
            *fields, aborted_count = _ANSWERED.unpack_from(packed, place)
            place += _ANSWERED.size
            aborted = []
            for _ in range(aborted_count):  # -1 under `read_uncommitted`
                aborted.append(_ABORTED.unpack_from(packed, place))
                place += _ABORTED.size
            replica, size = _RECORDS.unpack_from(packed, place)
            place += _RECORDS.size
            end = place + max(size, 0)
            partitions.append((*fields, aborted, replica, packed[place:end]))
            place = end
        topics.append((topic, partitions))
    return FetchAnswer(error_code, session_id, topics)
