"""The two requests of each transaction that name many partitions, and their answers, packed and read by hand: through
the tables they cost ten times as much.

Invariant: each writes the same bytes, and reads the same values, as its table in `messages.py`; an answer with anything
unusual in it is read through the table.
"""

from collections.abc import Iterable, Sequence
from io import BytesIO
from struct import Struct
from typing import Any, Final

from aiokafka.protocol.types import UnsignedVarInt32

Topics = Sequence[tuple[str, Sequence[Any], Any]]

NO_TAGS: Final = b"\0"
_NUMBER: Final = Struct(">i")
_ACKS_TIMEOUT: Final = Struct(">hi")
_PRODUCER_GENERATION: Final = Struct(">qhi")
# partition, offset, leader epoch; an empty text and no tags behind them
_COMMITTED: Final = Struct(">iqi2s")
_EMPTY_TEXT_NO_TAGS: Final = b"\1\0"
# partition, error code, base offset, log append time, log start offset; and what follows where nothing is wrong: no
# record errors, no message, no tags
_PRODUCED: Final = Struct(">ihqqq3s")
_NOTHING_WRONG: Final = b"\1\0\0"
# partition, error code, no tags
_OFFSET_TAKEN: Final = Struct(">ihc")
_LENGTH_MAX: Final = 0x7F


def _length(count: int) -> bytes:
    """A length as flexible versions write it: one more, because 0 stands for null."""
    return bytes((count + 1,)) if count < _LENGTH_MAX - 1 else UnsignedVarInt32.encode(count + 1)


def _text(value: str | None) -> bytes:
    if value is None:
        return b"\0"
    packed = value.encode()
    return _length(len(packed)) + packed


def _topics(topics: Topics, partition: Any) -> Iterable[bytes]:
    yield _length(len(topics))
    for name, partitions, _ in topics:
        yield _text(name)
        yield _length(len(partitions))
        for one in partitions:
            yield from partition(*one)
        yield NO_TAGS
    yield NO_TAGS


def pack_produce(transactional_id: str, acks: int, timeout_ms: int, topics: Topics) -> bytes:
    """A Produce request of version 12."""
    head = (_text(transactional_id), _ACKS_TIMEOUT.pack(acks, timeout_ms))
    return b"".join((*head, *_topics(topics, _records)))


def _records(number: int, records: bytes, _: Any) -> Iterable[bytes]:
    return _NUMBER.pack(number), _length(len(records)), records, NO_TAGS


def pack_txn_offset_commit(
    transactional_id: str,
    group: str,
    producer: tuple[int, int],
    membership: tuple[int, str, str | None],
    topics: Topics,
) -> bytes:
    """A TxnOffsetCommit request of version 3 to 5; no offset has metadata."""
    generation, member, instance = membership
    head = (_text(transactional_id), _text(group), _PRODUCER_GENERATION.pack(*producer, generation))
    return b"".join((*head, _text(member), _text(instance), *_topics(topics, _offset)))


def _offset(number: int, offset: int, leader_epoch: int, metadata: str, _: Any) -> Iterable[bytes]:
    if metadata:
        raise ValueError("offsets are packed without metadata")
    return (_COMMITTED.pack(number, offset, leader_epoch, _EMPTY_TEXT_NO_TAGS),)


class UnusualAnswerError(Exception):
    """An answer that is to be read through its table."""


def _count(packed: BytesIO) -> int:
    return int(UnsignedVarInt32.decode(packed)) - 1


def _read_topics(packed: BytesIO, partition: Struct, values: Any) -> list[tuple[str, list[Any], dict[int, bytes]]]:
    topics: list[tuple[str, list[Any], dict[int, bytes]]] = []
    for _ in range(_count(packed)):
        name = packed.read(_count(packed)).decode()
        count = _count(packed)
        found = [values(one) for one in partition.iter_unpack(packed.read(partition.size * count))]
        if len(found) != count or packed.read(1) != NO_TAGS:
            raise UnusualAnswerError
        topics.append((name, found, {}))
    return topics


def _produced(one: tuple[Any, ...]) -> tuple[Any, ...]:
    number, code, base_offset, append_time_ms, start_offset, rest = one
    if rest != _NOTHING_WRONG:
        raise UnusualAnswerError
    return number, code, base_offset, append_time_ms, start_offset, [], None, {}


def _offset_taken(one: tuple[Any, ...]) -> tuple[Any, ...]:
    number, code, tags = one
    if tags != NO_TAGS:
        raise UnusualAnswerError
    return number, code, {}


def read_produced(packed: BytesIO) -> tuple[Any, ...]:
    """The fields of an answer to Produce of version 12. Raises `UnusualAnswerError`."""
    topics = _read_topics(packed, _PRODUCED, _produced)
    return topics, *_NUMBER.unpack(packed.read(4)), _no_tags(packed)


def read_txn_offset_committed(packed: BytesIO) -> tuple[Any, ...]:
    """The fields of an answer to TxnOffsetCommit of version 3 to 5. Raises `UnusualAnswerError`."""
    (throttle_time_ms,) = _NUMBER.unpack(packed.read(4))
    return throttle_time_ms, _read_topics(packed, _OFFSET_TAKEN, _offset_taken), _no_tags(packed)


def _no_tags(packed: BytesIO) -> dict[int, bytes]:
    if packed.read(1) != NO_TAGS:
        raise UnusualAnswerError
    return {}
