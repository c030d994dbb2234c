"""Entries without a tail as columns of numbers: thousands of them packed, looked at and changed at once.

Invariant: a row is, byte for byte, what `entries.pack` makes of the same prediction.
"""

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.state.entry import PREDICTION, ROW_BYTES

# Six bytes are a number of four and one of two, because numpy has no number of six.
ROWS: Final = np.dtype(
    [
        ("head", "<u4"),
        ("model", "<u2"),
        ("proba", "<f8"),
        ("offset", "<u4"),
        ("offset_high", "<u2"),
        ("event_ms", "<u4"),
        ("event_ms_high", "<u2"),
        ("scored_ms", "<u4"),
        ("scored_ms_high", "<u2"),
    ]
)

Integers: TypeAlias = Sequence[int] | NDArray[np.int64]
Rows: TypeAlias = NDArray[np.void]


def pack_predictions(
    codes: Integers,
    probas: NDArray[np.float64] | Sequence[float],
    predictions: NDArray[np.bool_] | Sequence[bool],
    models: Integers | int,
    offsets: Integers,
    event_ms: Integers,
    scored_ms: Integers | int,
) -> list[bytes]:
    """The entries of observations that were scored just now, packed. `models`: numbers of the lane's table, one for all
    or one each."""
    rows: Rows = np.empty(len(codes), dtype=ROWS)
    rows["head"] = np.asarray(codes, dtype=np.int64) + np.asarray(predictions, dtype=np.int64) * PREDICTION
    rows["model"] = models
    rows["proba"] = probas
    for name, numbers in (("offset", offsets), ("event_ms", event_ms), ("scored_ms", scored_ms)):
        int48_column = np.asarray(numbers, dtype=np.int64)
        rows[name] = int48_column & 0xFFFFFFFF
        rows[name + "_high"] = int48_column >> 32 & 0xFFFF
    return rows_to_bytes(rows)


def rows_to_bytes(rows: Rows) -> list[bytes]:
    """Each row as its own bytes."""
    packed: list[bytes] = rows.view(f"V{ROW_BYTES}").tolist()
    return packed


def rows_from_bytes(packed: Sequence[bytes]) -> Rows:
    """Entries without a tail (`ROW_BYTES` long) as rows that can be written to."""
    rows: Rows = np.frombuffer(bytearray().join(packed), dtype=ROWS)
    return rows


def int48_column(rows: Rows, name: str) -> NDArray[np.int64]:
    """One of the three numbers of six bytes of every row."""
    low: NDArray[np.int64] = rows[name].astype(np.int64)
    return low + (rows[name + "_high"].astype(np.int64) << 32)
