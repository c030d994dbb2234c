"""The partition of an id.

Invariant: the same as Java's clients compute for the same key, on any bytes and any machine.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

SEED = 0x9747B28C
M = 0x5BD1E995
WORD = 0xFFFFFFFF
WITHOUT_SIGN = 0x7FFFFFFF
# So many keys are hashed sooner one by one
FEW = 12

Words = npt.NDArray[np.uint32]


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of one key: its murmur2 hash without the sign bit, modulo the number of partitions."""
    return (murmur2(key) & WITHOUT_SIGN) % partitions


def partitions_of(keys: Sequence[bytes], partitions: int) -> npt.NDArray[np.int32]:
    """The partition of each key, as `partition_of` says: 0.1 µs a key instead of 3. The passes take 40 µs even for a
    few keys, which therefore go one by one."""
    if len(keys) <= FEW:
        return np.array([partition_of(key, partitions) for key in keys], np.int32)
    return ((murmur2_of_all(keys) & np.uint32(WITHOUT_SIGN)) % np.uint32(partitions)).astype(np.int32)


def murmur2(key: bytes) -> int:
    """The 32-bit murmur2 hash with Kafka's seed, as an unsigned number."""
    hashed = SEED ^ len(key)
    whole = len(key) // 4 * 4
    for start in range(0, whole, 4):
        mixed = int.from_bytes(key[start : start + 4], "little") * M & WORD
        mixed = (mixed ^ mixed >> 24) * M & WORD
        hashed = hashed * M & WORD ^ mixed
    if whole < len(key):
        hashed = (hashed ^ int.from_bytes(key[whole:], "little")) * M & WORD
    hashed = (hashed ^ hashed >> 13) * M & WORD
    return hashed ^ hashed >> 15


def murmur2_of_all(keys: Sequence[bytes]) -> Words:
    """`murmur2` of each key, all going through each step at once; numpy's uint32 wraps around as Java's int does."""
    lengths = np.fromiter(map(len, keys), np.int64, len(keys))
    if (lengths == lengths[:1]).all():
        return murmur2_of_sorted(keys, lengths)
    order = np.argsort(-lengths, kind="stable")
    hashes = np.empty(len(keys), np.uint32)
    hashes[order] = murmur2_of_sorted([keys[index] for index in order.tolist()], lengths[order])
    return hashes


def murmur2_of_sorted(keys: Sequence[bytes], lengths: npt.NDArray[np.int64]) -> Words:
    """`murmur2` of keys that come longest first: those that have a word left at a step are always the first so many."""
    whole_words, rest = lengths // 4, lengths % 4
    words = padded_words(keys, int(lengths.max(initial=0)))
    rows_left = np.searchsorted(-whole_words, -np.arange(len(words)), side="left").tolist()
    m = np.uint32(M)
    hashes = np.uint32(SEED) ^ lengths.astype(np.uint32)
    for word, rows in zip(words, rows_left, strict=True):
        mixed = word[:rows] * m
        mixed ^= mixed >> np.uint32(24)
        mixed *= m
        hashes[:rows] *= m
        hashes[:rows] ^= mixed
    if rest.any():
        ragged = np.flatnonzero(rest)
        hashes[ragged] = (hashes[ragged] ^ words[whole_words[ragged], ragged]) * m
    hashes ^= hashes >> np.uint32(13)
    hashes *= m
    hashes ^= hashes >> np.uint32(15)
    return hashes


def padded_words(keys: Sequence[bytes], longest: int) -> Words:
    """The keys as little-endian words, filled up with zeros; shape (words, keys), so that a step reads one row."""
    width = max(4, -(-longest // 4) * 4)
    # An array of byte strings of one width is what pads: in C, and zeros at the end of a key are kept.
    words = np.array(keys, f"S{width}").view("<u4").reshape(len(keys), width // 4)
    return np.ascontiguousarray(words.T).astype(np.uint32, copy=False)
