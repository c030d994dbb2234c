"""An observation as a 28-bit number.

Invariant: one observation, one number, and back, for all 155,937,600 of them.
"""

from collections.abc import Mapping
from itertools import accumulate
from math import prod
from operator import mul

import numpy as np
import numpy.typing as npt

from stream_scorer.core.contract.columns import COLUMN_NAMES, COLUMNS, Observation, Value

SIZES = tuple(len(column.domain) for column in COLUMNS)
CODES = prod(SIZES)
# Mixed radix, the first column is the most significant digit: what one step of a column's digit adds to the number.
STRIDES = tuple(accumulate(reversed(SIZES[1:]), mul, initial=1))[::-1]
# For each column its values' digits, multiplied by the stride beforehand: a number is the sum of ten look-ups.
DIGITS: tuple[dict[Value, int], ...] = tuple(
    {value: index * stride for index, value in enumerate(column.domain)}
    for column, stride in zip(COLUMNS, STRIDES, strict=True)
)


def encode_observation(observation: Observation) -> int:
    """The observation's number, 0 to 155,937,599; equal numbers mean equal observations."""
    return encode_columns({name: getattr(observation, name) for name in COLUMN_NAMES})


def encode_columns(columns: Mapping[str, Value]) -> int:
    """The number of ten valid columns."""
    return sum(digits[columns[name]] for name, digits in zip(COLUMN_NAMES, DIGITS, strict=True))


def observation_columns(code: int) -> dict[str, Value]:
    """The ten columns that a number stands for; the inverse of `encode_columns`."""
    columns = {}
    for column, stride in zip(COLUMNS, STRIDES, strict=True):
        digit, code = divmod(code, stride)
        columns[column.name] = column.domain[digit]
    return columns


def column_indices(codes: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
    """For each number and column the index of the column's value in its domain, shape (10, n)."""
    return np.stack(np.unravel_index(codes, SIZES))
