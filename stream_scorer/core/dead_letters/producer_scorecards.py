"""How well each producer keeps the contract: how much it sent, what of it was broken or astray, and since when.

Invariant: memory is bounded by limits on the producers, the faults of each, and the examples of each fault.
"""

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from stream_scorer.core.contract.reasons import RANKS, Code, Stage
from stream_scorer.core.dead_letters.redaction import masked_reason
from stream_scorer.core.records.dead_letter_reader import (
    REPLAYED_FROM,
    DeadLetter,
    SourcePosition,
    producer_of,
    read_letter,
)
from stream_scorer.core.records.record import MOVED_FROM, ConsumedRecord, last_header

UNNAMED: Final = "(unnamed)"
OTHERS: Final = "(others)"
PRODUCERS_MAX: Final = 1_000
FAULTS_MAX: Final = 100
EXAMPLES_MAX: Final = 3

# What went wrong later is the model's fault, not the producer's
PRODUCER_FAULTS: Final = frozenset({Stage.DECODE, Stage.CONTRACT, Stage.CONFLICT, Stage.OUTCOME})


class Example(msgspec.Struct, frozen=True):
    """A record with the fault: where it lies, and what was said of it, masked as everywhere."""

    origin: SourcePosition
    message: str


class Fault(msgspec.Struct, kw_only=True):
    """All records of a producer that had this fault; times are the records' own, in ms since 1970."""

    code: Code
    field: str | None
    count: int = 0
    first_ms: int
    last_ms: int
    examples: list[Example]


class Scorecard(msgspec.Struct, kw_only=True):
    """One producer. `sent`: records of both topics, each once, however often it was moved or replayed; `broken`: those
    that became dead letters by a fault of theirs; `moved`: those that lay on another partition than their id's."""

    producer: str
    sent: int = 0
    broken: int = 0
    moved: int = 0
    first_ms: int | None = None
    last_ms: int | None = None
    broken_since_ms: int | None = None
    broken_last_ms: int | None = None
    moved_since_ms: int | None = None
    faults: dict[tuple[Code, str | None], Fault] = {}

    @property
    def broken_share(self) -> float:
        return self.broken / self.sent if self.sent else 0.0

    @property
    def moved_share(self) -> float:
        return self.moved / self.sent if self.sent else 0.0

    @property
    def ranked_faults(self) -> list[Fault]:
        """The most frequent first; of equally frequent ones in the order of reports."""
        return sorted(self.faults.values(), key=lambda fault: (-fault.count, RANKS[fault.code], fault.field or ""))


class ScorecardBuilder:
    """Adds records up to scorecards. `counts_letter` says whether a dead letter's record is among the inputs that are
    added: the letters of others would make shares too large."""

    def __init__(self, counts_letter: Callable[[SourcePosition], bool] = lambda origin: True) -> None:
        self._counts_letter = counts_letter
        self._cards: dict[str, Scorecard] = {}
        self.unreadable = 0

    def add_inputs(self, records: Iterable[ConsumedRecord]) -> None:
        """Add records of an input topic."""
        # a loop over every record that is retained: most have no header, and all of those are one producer's
        bare = self._card(None)
        for record in records:
            headers, time_ms = record.headers, record.timestamp
            card = bare
            if headers:
                if last_header(headers, REPLAYED_FROM) is not None:
                    continue  # sent again by an operator
                card = self._card(producer_of(headers))
                if last_header(headers, MOVED_FROM) is not None:
                    card.moved += 1  # its first record was counted where it was found
                    card.moved_since_ms = _earlier(card.moved_since_ms, time_ms)
                    continue
            card.sent += 1
            if card.first_ms is None or time_ms < card.first_ms:
                card.first_ms = time_ms
            if card.last_ms is None or time_ms > card.last_ms:
                card.last_ms = time_ms

    def add_letters(self, partition: int, records: Iterable[ConsumedRecord]) -> None:
        """Add records of a partition of the dead letters."""
        for record in records:
            letter = read_letter(partition, record)
            if not isinstance(letter, DeadLetter):
                self.unreadable += 1
            elif letter.stage in PRODUCER_FAULTS and _is_first(letter) and self._counts_letter(letter.origin):
                self._add_letter(self._card(letter.producer), letter)

    def _add_letter(self, card: Scorecard, letter: DeadLetter) -> None:
        time_ms = letter.timestamp_ms
        card.broken += 1
        card.broken_since_ms = _earlier(card.broken_since_ms, time_ms)
        card.broken_last_ms = max(card.broken_last_ms or time_ms, time_ms)
        masked = [masked_reason(reason) for reason in letter.reasons]
        for key, reason in {(reason.code, reason.field): reason for reason in reversed(masked)}.items():
            fault = card.faults.get(key)
            if fault is None:
                if len(card.faults) >= FAULTS_MAX:
                    continue
                fault = card.faults[key] = Fault(
                    code=reason.code, field=reason.field, first_ms=time_ms, last_ms=time_ms, examples=[]
                )
            fault.count += 1
            fault.first_ms, fault.last_ms = min(fault.first_ms, time_ms), max(fault.last_ms, time_ms)
            if len(fault.examples) < EXAMPLES_MAX:
                fault.examples.append(Example(letter.origin, reason.message))

    def _card(self, producer: str | None) -> Scorecard:
        name = UNNAMED if producer is None else producer
        card = self._cards.get(name)
        if card is None:
            if len(self._cards) >= PRODUCERS_MAX:
                name = OTHERS
            card = self._cards.setdefault(name, Scorecard(producer=name, faults={}))
        return card

    def cards(self) -> list[Scorecard]:
        """All producers that sent something or have letters, those with the most broken records first."""
        seen = [card for card in self._cards.values() if card.sent or card.broken or card.moved]
        return sorted(seen, key=lambda card: (-card.broken, -card.moved, -card.sent, card.producer))


def _is_first(letter: DeadLetter) -> bool:
    return last_header(letter.headers, REPLAYED_FROM) is None


def _earlier(one: int | None, other: int) -> int:
    return other if one is None else min(one, other)
