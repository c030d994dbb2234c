"""Compiled additive models, kept in the cache folder.

Invariant: what is taken from the cache is, bit for bit, what the model was when it was saved: its checksum stands on
the model's card, under the model's own digest. A user with write access to the cache, but not to the model, can change
no prediction.

Importing scikit-learn takes more than a second and 150 MiB. A worker whose model was compiled before needs neither. A
model whose card has no checksum, or whose tables come out otherwise here than where it was saved (other libraries,
another processor), is compiled at each start instead, which costs that second.
"""

from collections.abc import Collection
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import numpy as np

from stream_scorer.cache import cache_folder
from stream_scorer.core.contract.observation_code import CODES
from stream_scorer.models.serving.lookup_tables import LOWER_CODES, Additive
from stream_scorer.private_files import write_private

UPPER_CODES = CODES // LOWER_CODES
BYTES = (UPPER_CODES + LOWER_CODES) * 8


def tables_path(checksum: str, trusted_types: Collection[str]) -> Path:
    """Where the tables with this checksum would be; other types that are trusted, another file: what a pipeline may
    hold is checked where it is compiled."""
    trusted = sha256(repr(sorted(trusted_types)).encode()).hexdigest()
    return cache_folder() / "compiled" / f"{checksum[:32]}-{trusted[:12]}.tables"


def encode_tables(additive: Additive) -> bytes:
    """The tables as little-endian floats of 8 bytes, the upper one first."""
    return b"".join(np.ascontiguousarray(table, dtype="<f8").tobytes() for table in (additive.upper, additive.lower))


def checksum_of(content: bytes) -> str:
    return sha256(content).hexdigest()


def save_tables(checksum: str, trusted_types: Collection[str], additive: Additive) -> None:
    """Write the tables where they are those of the card; a cache folder that can't be written to costs time at the next
    start, nothing else."""
    content = encode_tables(additive)
    if checksum and checksum_of(content) == checksum:
        with suppress(OSError):
            write_private(tables_path(checksum, trusted_types), content)


def load_tables(checksum: str, trusted_types: Collection[str]) -> Additive | None:
    """The tables with this checksum, or None when there are none."""
    if not checksum:
        return None
    try:
        with tables_path(checksum, trusted_types).open("rb") as file:
            content = file.read(BYTES + 1)
    except OSError:
        return None
    if len(content) != BYTES or checksum_of(content) != checksum:
        return None
    tables = np.frombuffer(content, dtype="<f8").astype(np.float64)
    return Additive(tables[:UPPER_CODES], tables[UPPER_CODES:])
