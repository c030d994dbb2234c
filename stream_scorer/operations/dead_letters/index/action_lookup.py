"""What operators did to a dead letter, looked up in the index."""

import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.records.audit_log import Action
from stream_scorer.operations.dead_letters.index.rows import (
    ACTS,
    NOWHERE,
    Rows,
)


class Acts:
    """What the ledger says, looked up by origin."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        acts = rows["act"]
        decided = np.flatnonzero((acts == ACTS.index(Action.REPLAY)) | (acts == ACTS.index(Action.DISCARD)))
        # of two acts on one letter the first counts, because the second came of no transaction of ours
        origins, first = np.unique(rows["origin"][decided], return_index=True)
        self._origins, self._decided = origins, decided[first]
        came = np.flatnonzero((acts == ACTS.index(Action.REPLAY)) & (rows["became"] != NOWHERE))
        became, last = np.unique(rows["became"][came], return_index=True)
        self._became, self._came = became, came[last]

    def decisions(self, origins: NDArray[np.int64]) -> NDArray[np.int64]:
        """For each origin the row of the act that decided on its letter; -1 where none has."""
        return _look_up(origins, self._origins, self._decided)

    def arrivals(self, origins: NDArray[np.int64]) -> NDArray[np.int64]:
        """For each origin the row of the replay that published the record there; -1 where none did."""
        return _look_up(origins, self._became, self._came)


def _look_up(keys: NDArray[np.int64], known: NDArray[np.int64], values: NDArray[np.intp]) -> NDArray[np.int64]:
    found = np.full(len(keys), -1, dtype=np.int64)
    if len(known):
        at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        there = (known[at] == keys) & (keys != NOWHERE)
        found[there] = values[at[there]]
    return found
