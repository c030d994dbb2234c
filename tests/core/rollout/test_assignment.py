"""Who is the canary's: sticky, monotone, and as many as asked for."""

from hashlib import sha256
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_scorer.core.records.partitioner import partition_of
from stream_scorer.core.rollout.assignment import canary_ids, position

SALT = b"\x07" * 16
IDS = [f"ev-{number:08d}".encode() for number in range(20_000)]


@given(salt=st.binary(max_size=32), id_=st.binary(min_size=1, max_size=200), share=st.floats(0, 1))
def test_an_id_is_the_canarys_when_the_first_64_bits_of_its_salted_hash_lie_below_the_share(
    salt: bytes, id_: bytes, share: float
) -> None:
    first = int.from_bytes(sha256(salt + id_).digest()[:8], "big")
    assert position(salt, id_) == first
    assert canary_ids(salt, [id_], share)[0] == (first < round(share * 2**64))


def test_a_growing_share_keeps_the_ids_that_it_had() -> None:
    shares = [canary_ids(SALT, IDS, share) for share in (0.0, 0.01, 0.1, 0.5, 0.99, 1.0)]
    assert all((before <= after).all() for before, after in pairwise(shares))
    assert not shares[0].any()
    assert shares[-1].all()


def test_a_tenth_is_a_tenth_of_every_partition() -> None:
    partitions = np.array([partition_of(id_, 4) for id_ in IDS])
    canary = canary_ids(SALT, IDS, 0.1)
    assert [round(float(canary[partitions == partition].mean()), 2) for partition in range(4)] == [0.1] * 4


def test_another_salt_chooses_other_ids() -> None:
    both = canary_ids(SALT, IDS, 0.1) & canary_ids(b"another", IDS, 0.1)
    assert 0.005 < both.mean() < 0.015


@pytest.mark.parametrize("share", [-0.01, 1.01, float("nan")])
def test_no_share_lies_outside_of_0_and_1(share: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        canary_ids(SALT, IDS[:1], share)
