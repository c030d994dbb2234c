"""The same partition as Java's clients."""

import pytest
from aiokafka.partitioner import murmur2 as murmur2_of_aiokafka
from hypothesis import given
from hypothesis import strategies as st

from stream_scorer.core.records.partitioner import FEW, murmur2, murmur2_of_all, partition_of, partitions_of

# From Apache Kafka's own tests (UtilsTest.testMurmur2), as signed numbers.
KNOWN = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}
KEYS = st.lists(st.binary(max_size=40) | st.binary(min_size=8, max_size=8) | st.binary(min_size=190, max_size=200))


@pytest.mark.parametrize(("key", "signed"), KNOWN.items(), ids=str)
def test_the_hash_is_that_of_java(key: bytes, signed: int) -> None:
    assert murmur2(key) == signed % 2**32


def test_the_hashes_of_many_are_those_of_java() -> None:
    assert murmur2_of_all(list(KNOWN)).tolist() == [signed % 2**32 for signed in KNOWN.values()]


@given(st.binary())
def test_one_key_is_hashed_as_aiokafka_does(key: bytes) -> None:
    assert murmur2(key) == murmur2_of_aiokafka(key) % 2**32


@given(KEYS, st.integers(1, 1000))
def test_many_keys_of_any_lengths_get_the_partitions_that_each_gets_alone(keys: list[bytes], partitions: int) -> None:
    assert partitions_of(keys, partitions).tolist() == [partition_of(key, partitions) for key in keys]
    assert murmur2_of_all(keys).tolist() == [murmur2(key) for key in keys]


@given(st.lists(st.binary(min_size=7, max_size=7), min_size=1))
def test_keys_of_one_length_get_the_partitions_that_each_gets_alone(keys: list[bytes]) -> None:
    assert partitions_of(keys, 4).tolist() == [partition_of(key, 4) for key in keys]
    many = keys * (FEW + 1)  # enough to go through the passes
    assert partitions_of(many, 4).tolist() == [partition_of(key, 4) for key in many]


@pytest.mark.parametrize("key", [b"", b"\0", b"\0\0\0\0", b"a\0", b"a"], ids=repr)
def test_zeros_at_the_end_count(key: bytes) -> None:
    assert murmur2_of_all([key, b"longer than that"])[0] == murmur2(key)
    assert murmur2_of_all([key, key]).tolist() == [murmur2(key)] * 2


def test_no_keys_give_no_partitions() -> None:
    found = partitions_of([], 4)
    assert found.tolist() == []
    assert found.dtype == "int32"
