"""What operators did, held against the records that they replayed and the letters that they decided on.

Invariant: a replay is proven by two records that name each other, its entry in the ledger and the record that was
published again; whatever stands alone is named.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.audit.inputs import InputTopic
from stream_scorer.core.audit.reconciliation import Flags
from stream_scorer.core.records.audit_log import Action
from stream_scorer.core.records.dead_letter_reader import REPLAYED_FROM
from stream_scorer.core.records.decode import decode_or_none
from stream_scorer.core.records.input_reference import decode_source
from stream_scorer.core.records.record import ConsumedRecord, last_header
from stream_scorer.operations.dead_letters.index.rows import ACT, ACTS, NOWHERE, Rows, act_rows, place_number

_OFFSET_MAX: Final = (1 << 44) - 1

# Places as numbers, see `place_number`
Places = NDArray[np.int64]


class LetterDecisions(NamedTuple):
    """Inputs that ended in a dead letter, by what was decided on it; all others of them wait."""

    replayed: int
    discarded: int


class ActsFound(NamedTuple):
    """Places of records: `replays` that are proven; those that only the ledger tells of (`lost`), that only the record
    itself tells of (`forged`: a producer can write our headers too), and dead letters' records replayed `twice`."""

    replays: Places
    lost: Places
    forged: Places
    twice: Places


class ActEvidence:
    """The ledger and all inputs that say to be replays."""

    def __init__(self, sides: Mapping[str, int]) -> None:
        self._sides = sides
        self._acts: list[Rows] = []
        self._claims: list[tuple[int, int]] = []
        self.unreadable: list[int] = []
        """Offsets of the ledger's records that tell of no act on a dead letter of ours."""

    def add_ledger(self, records: Sequence[ConsumedRecord]) -> None:
        rows = act_rows(records, self._sides)
        self._acts.append(rows)
        if len(rows) < len(records):
            told = set(rows["offset"].tolist())
            self.unreadable += [record.offset for record in records if record.offset not in told]

    def add_inputs(self, side: InputTopic, partition: int, records: Sequence[ConsumedRecord]) -> None:
        """Note the records that say to have been replayed."""
        for record in records:
            if record.headers and (said := last_header(record.headers, REPLAYED_FROM)) is not None:
                self._claims.append((place_number(side, partition, record.offset), _origin(side, said)))

    def found(self) -> ActsFound:
        """Both held against each other."""
        acts = self._replays()
        places = np.array([place for place, _ in self._claims], dtype=np.int64)
        origins = np.array([origin for _, origin in self._claims], dtype=np.int64)
        order = np.argsort(acts["became"], kind="stable")
        became, origin_of = acts["became"][order], acts["origin"][order]
        at = np.minimum(np.searchsorted(became, places), max(len(became) - 1, 0))
        proven = (
            (became[at] == places) & (origin_of[at] == origins) if len(became) else np.zeros(len(places), dtype=bool)
        )
        known, counts = np.unique(acts["origin"], return_counts=True)
        return ActsFound(
            replays=places[proven],
            lost=np.setdiff1d(became, places[proven]),
            forged=places[~proven],
            twice=acts["became"][np.isin(acts["origin"], known[counts > 1])],
        )

    def decided(self, letters: Places) -> LetterDecisions:
        """What was decided on the dead letters of these inputs."""
        acts = self._all()
        replayed = np.isin(letters, acts["origin"][acts["act"] == ACTS.index(Action.REPLAY)])
        discarded = np.isin(letters, acts["origin"][acts["act"] == ACTS.index(Action.DISCARD)])
        return LetterDecisions(int(replayed.sum()), int((discarded & ~replayed).sum()))

    def _all(self) -> Rows:
        self._acts = [np.concatenate(self._acts)] if self._acts else [np.empty(0, dtype=ACT)]
        return self._acts[0]

    def _replays(self) -> Rows:
        acts = self._all()
        replays: Rows = acts[(acts["act"] == ACTS.index(Action.REPLAY)) & (acts["became"] != NOWHERE)]
        return replays


def _origin(side: InputTopic, said: bytes) -> int:
    source = decode_or_none(decode_source, said)
    return NOWHERE if source is None else place_number(side, source.partition, source.offset)


def apart(places: Places) -> tuple[NDArray[np.int8], NDArray[np.int32], NDArray[np.int64]]:
    """Sides, partitions and offsets of places."""
    sides = (places >> 60).astype(np.int8)
    return sides, (places >> 44 & 0xFFFF).astype(np.int32), places & _OFFSET_MAX


def together(side: InputTopic, rows: Rows, flags: Flags) -> Places:
    """The places of the flagged input rows."""
    chosen = rows[flags]
    places: Places = (int(side) << 60) | (chosen["partition"].astype(np.int64) << 44) | chosen["offset"]
    return places
