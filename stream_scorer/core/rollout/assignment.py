"""Which ids are the canary's.

Invariant: a share that grows keeps every id that a smaller share with the same salt had.

SHA-256 and not murmur2: murmur2 of the id chose its partition, so that a share by it would be a share of partitions.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

import numpy as np
from numpy.typing import NDArray

_POSITIONS: Final = 1 << 64


def canary_limit(share: float) -> int:
    """The first position on the circle of 2^64 that is not the canary's. ValueError unless 0 <= share <= 1."""
    if not 0 <= share <= 1:
        raise ValueError(f"a share is between 0 and 1, not {share}")
    return round(share * _POSITIONS)


def position(salt: bytes, id_: bytes) -> int:
    """Where an id stands on the circle: the first 64 bits of SHA-256(salt ‖ id), big-endian."""
    return int.from_bytes(sha256(salt + id_).digest()[:8], "big")


def canary_ids(salt: bytes, ids: Sequence[bytes], share: float) -> NDArray[np.bool_]:
    """For each id whether it is the canary's, shape (n,)."""
    limit, salted = canary_limit(share), sha256(salt)
    assigned = np.empty(len(ids), dtype=np.bool_)
    for row, id_ in enumerate(ids):
        hashed = salted.copy()
        hashed.update(id_)
        assigned[row] = int.from_bytes(hashed.digest()[:8], "big") < limit
    return assigned
