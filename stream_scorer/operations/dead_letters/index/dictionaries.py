"""What rows have numbers for: sets of faults, and producers.

Invariant: a table only grows, and however odd what is written into the topic, it stays small.
"""

from collections.abc import Hashable, Sequence
from typing import Final, Generic, TypeVar

import msgspec

from stream_scorer.core.contract.reasons import Code
from stream_scorer.core.dead_letters.highlighting import MASK
from stream_scorer.core.dead_letters.redaction import masked_field
from stream_scorer.core.records.dead_letter_reader import PRODUCER_HEADERS, producer_of

NOBODY: Final = ""
OTHERS: Final = "(others)"
PRODUCERS_MAX: Final = 10_000
FAULTS_MAX: Final = 20_000
_CACHED_MAX: Final = 50_000
_CODES: Final = frozenset(Code)

Fault = tuple[str, str | None]
Key = TypeVar("Key", bound=Hashable)


class _Fault(msgspec.Struct, gc=False):
    code: str
    field: str | None


_decode_faults: Final = msgspec.json.Decoder(list[_Fault]).decode


class Table(Generic[Key]):
    """Values and their numbers, in the order of first sight. It only grows."""

    def __init__(self, values: Sequence[Key] = ()) -> None:
        self.values = list(values)
        self._numbers = {value: number for number, value in enumerate(self.values)}

    def number(self, value: Key) -> int:
        """The number of this value, a new one at first sight."""
        number = self._numbers.get(value)
        if number is None:
            number = self._numbers[value] = len(self.values)
            self.values.append(value)
        return number

    def __len__(self) -> int:
        return len(self.values)

    def __contains__(self, value: Key) -> bool:
        return value in self._numbers


class Dictionaries:
    """The values behind the numbers in an index's rows: sets of faults, and producers. Both are bounded, whatever is
    written."""

    def __init__(self, faults: Sequence[tuple[Fault, ...]] = (), producers: Sequence[str] = ()) -> None:
        self.faults: Table[tuple[Fault, ...]] = Table(faults)
        self.producers: Table[str] = Table(producers)
        # what the header says -> number: nearly all letters share their reasons with others
        self._cached: dict[bytes, int] = {}
        # what their header says -> number
        self.senders: dict[bytes, int] = {}

    def number_of_faults(self, errors: bytes) -> int:
        """The number of the faults that a letter's reasons name. DecodeError where they are no reasons."""
        number = self._cached.get(errors)
        if number is None:
            found = tuple((fault.code, fault.field) for fault in _decode_faults(errors))
            if not found:
                raise msgspec.DecodeError("no reason")
            if len(self._cached) >= _CACHED_MAX:
                self._cached.clear()
            number = self._cached[errors] = self.number_of(tuple(map(_bounded, found)))
        return number

    def number_of(self, faults: tuple[Fault, ...]) -> int:
        """The number of a set of faults; beyond a bound, which only somebody else's letters reach, they share one."""
        if len(self.faults) < FAULTS_MAX or faults in self.faults:
            return self.faults.number(faults)
        return self.faults.number(((OTHERS, None),))

    def number_of_sender(self, headers: Sequence[tuple[str, bytes]]) -> int:
        """The number of the producer that a record's own headers name."""
        for name, value in reversed(headers):
            if name == PRODUCER_HEADERS[0]:
                if not value:
                    break
                number = self.senders.get(value)
                if number is None:
                    number = self.senders[value] = self.number_of_producer(producer_of(headers))
                    if len(self.senders) >= _CACHED_MAX:
                        self.senders.clear()
                return number
        return self.number_of_producer(producer_of(headers))

    def number_of_producer(self, name: str | None) -> int:
        """The number of a producer; beyond a bound they share one."""
        if name is None:
            return self.producers.number(NOBODY)
        known = len(self.producers)
        if known < PRODUCERS_MAX or name in self.producers:
            return self.producers.number(name)
        return self.producers.number(OTHERS)


def _bounded(fault: Fault) -> Fault:
    # these are shown in lists: a dead letter of another program may name anything
    code, field = fault
    return code if code in _CODES else MASK, masked_field(field)
