"""Filters of dead letters.

Invariant: a filter narrows by the index first; it reads dead letters only for fields that the index does not have.
"""

from enum import StrEnum
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.contract.reasons import Reason, Stage
from stream_scorer.core.dead_letters.redaction import is_id, masked_field, masked_reason
from stream_scorer.core.records.dead_letter_reader import DeadLetter, Position, UnreadableDeadLetter
from stream_scorer.operations.dead_letters.index.dictionaries import Dictionaries
from stream_scorer.operations.dead_letters.index.index import Chunk
from stream_scorer.operations.dead_letters.index.rows import STAGES, id_sum

Flags = NDArray[np.bool_]


class State(StrEnum):
    """What has become of a letter; in the order of `index.OPEN` to `index.DISCARDED`. `parked`: replayed so often that
    only who names parked letters touches it."""

    OPEN = "open"
    PARKED = "parked"
    REPLAYED = "replayed"
    DISCARDED = "discarded"


STATES: Final = tuple(State)
WAITING: Final = frozenset((State.OPEN, State.PARKED))
EVERY_STATE: Final = frozenset(State)


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """All of what is given must hold; times are those of the failure, `since_ms` included, `until_ms` not. `text`
    stands in a reason's message as it is shown: masked, or, `revealed`, as it was written, which the ledger notes. By
    default what waits for somebody: open and parked letters."""

    code: str | None = None
    field: str | None = None
    stage: Stage | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    partition: int | None = None
    id: str | None = None
    producer: str | None = None
    text: str | None = None
    revealed: bool = False
    states: frozenset[State] = WAITING
    places: tuple[Position, ...] | None = None

    @property
    def looks_into_letters(self) -> bool:
        """Whether the index alone can't decide."""
        return self.text is not None or self.id is not None

    def in_words(self) -> str:
        """What it narrows by, for the ledger: nothing that a letter may say of a person."""
        said = {
            "code": self.code,
            "field": masked_field(self.field),
            "stage": self.stage,
            "partition": self.partition,
            "producer": self.producer,
        }
        words = [f"{name} {value}" for name, value in said.items() if value is not None]
        words += [name for name, value in (("id", self.id), ("text", self.text)) if value is not None]
        words += [f"{len(self.places)} places"] if self.places is not None else []
        return ", ".join(words)

    def partitions(self) -> list[int] | None:
        """The partitions to read; None: all."""
        if self.partition is not None:
            return [self.partition]
        return None if self.places is None else sorted({place.partition for place in self.places})

    def among(self, chunk: Chunk) -> Flags:
        """The dead letters that match, as far as the index can tell."""
        rows, wanted = chunk.rows, np.ones(len(chunk.rows), dtype=bool)
        if self.states != EVERY_STATE:
            wanted &= np.array([state in self.states for state in STATES])[chunk.states]
        if self.code is not None or self.field is not None:
            wanted &= self._fitting_faults(chunk.tables)[rows["faults"]]
        if self.stage is not None:
            wanted &= rows["stage"] == STAGES.index(self.stage)
        if self.since_ms is not None:
            wanted &= rows["failed_ms"] >= self.since_ms
        if self.until_ms is not None:
            wanted &= rows["failed_ms"] < self.until_ms
        if self.id is not None:
            wanted &= rows["id"] == id_sum(self.id.encode(errors="replace"))
        if self.producer is not None:
            wanted &= self._fitting_producers(chunk.tables)[rows["producer"]]
        if self.places is not None:
            offsets = [place.offset for place in self.places if place.partition == chunk.partition]
            wanted &= np.isin(rows["offset"], offsets)
        return wanted

    def _fitting_faults(self, tables: Dictionaries) -> Flags:
        # one fault must have both, the code and the field
        return np.array(
            [
                any(self.code in (None, code) and self.field in (None, field) for code, field in faults)
                for faults in tables.faults.values
            ],
            dtype=bool,
        )

    def _fitting_producers(self, tables: Dictionaries) -> Flags:
        return np.array([self.producer == name for name in tables.producers.values], dtype=bool)

    def fits(self, letter: DeadLetter | UnreadableDeadLetter) -> bool:
        """Whether the filter matches a dead letter that `among` has selected."""
        if isinstance(letter, UnreadableDeadLetter):
            # a stranger's key is masked, so it can't be asked for
            return self.text is None and self.id is None
        if self.id is not None and not (is_id(letter.id) and letter.id == self.id.encode(errors="replace")):
            return False
        return self.text is None or any(self.text in self._message(reason) for reason in letter.reasons)

    def _message(self, reason: Reason) -> str:
        return reason.message if self.revealed else masked_reason(reason).message
