"""Observations as scikit-learn sees them: a data frame of the ten columns in the contract's order; from
numbers and back, without loss."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.contract.columns import COLUMN_NAMES, COLUMNS
from stream_scorer.core.contract.observation_code import SIZES, column_indices

if TYPE_CHECKING:  # pandas costs a third of a second, and a worker with a compiled model never needs it
    import pandas as pd

Codes = NDArray[np.int64]

POSSIBLE_VALUES = tuple(
    np.array(column.domain, dtype=object if column.kind is str else column.kind) for column in COLUMNS
)


def frame_of(codes: Codes, columns: Sequence[str] = COLUMN_NAMES) -> "pd.DataFrame":
    """The observations as columns of text, bool and int; these columns in this order."""
    import pandas as pd

    indices = column_indices(codes)
    taken = [(name, COLUMN_NAMES.index(name)) for name in columns]
    return pd.DataFrame({name: POSSIBLE_VALUES[at][indices[at]] for name, at in taken}, index=pd.RangeIndex(len(codes)))


def codes_of_frame(frame: "pd.DataFrame") -> Codes:
    """The numbers of a frame of valid observations. Raises KeyError for a value that the contract does not allow."""
    digits = [
        np.array([places[value] for value in frame[column.name].tolist()], dtype=np.int64)
        for column in COLUMNS
        for places in [{value: index for index, value in enumerate(column.domain)}]
    ]
    return codes_from(np.stack(digits))


def codes_from(indices: NDArray[np.integer]) -> Codes:
    """The numbers of observations given as indices into the columns' domains, shape (10, n)."""
    codes: Codes = np.ravel_multi_index(tuple(indices), SIZES).astype(np.int64)
    return codes
