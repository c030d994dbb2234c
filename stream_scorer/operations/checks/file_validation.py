"""The contract for whole files of events, one a line or one a row of a CSV file, without Kafka.

Invariant: memory has a bound, whatever the input.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple, Protocol

import msgspec

from stream_scorer.core.contract.observation_events import decode_observations
from stream_scorer.core.contract.outcome_events import decode_outcomes
from stream_scorer.core.contract.reasons import Code, Reason, too_large
from stream_scorer.core.dead_letters.named_fixes import NamedFix
from stream_scorer.models.stops_csv.stops import StopsFile
from stream_scorer.operations.checks.fix_suggestions import FixFinder
from stream_scorer.operations.sending.event_sources import event_of

READ_BYTES_MAX = 1024 * 1024
# Outcome events have no limit of their own; records have this one.
OUTCOME_BYTES_MAX = 1024 * 1024

ROWS_AT_ONCE = 1_000

# A line, or only its size where it is too long to be kept.
Line = bytes | int
Rejected = list[tuple[int, tuple[Reason, ...]]]


class LineVerdict(msgspec.Struct, frozen=True):
    """What the contract says of one line of input; lines count from 1. `fixes`: the named fixes that would make it
    valid, unset where none would or nobody looked."""

    line: int
    ok: bool
    errors: tuple[Reason, ...] = ()
    fixes: tuple[NamedFix, ...] | msgspec.UnsetType = msgspec.UNSET


class Stream(Protocol):
    """Bytes that come as they come: an open file, standard input."""

    def read1(self, size: int, /) -> bytes: ...


class Contract(NamedTuple):
    """Whether a batch of lines keeps to it, and how long a line may be."""

    rejected: Callable[[Sequence[bytes]], Rejected]
    line_bytes_max: int


def observations(event_bytes_max: int) -> Contract:
    return Contract(lambda lines: decode_observations(lines, event_bytes_max).rejected, event_bytes_max)


def outcomes() -> Contract:
    return Contract(lambda lines: decode_outcomes(lines).rejected, OUTCOME_BYTES_MAX)


def validate(stream: Stream, contract: Contract) -> Iterator[list[LineVerdict]]:
    """The verdict on every line, in order, in a list for each read, so that what comes slowly is answered at once."""
    before = 0
    finder = FixFinder(contract.rejected)
    for lines in lines_by_read(stream, contract.line_bytes_max):
        yield _verdicts(range(before + 1, before + len(lines) + 1), lines, contract, finder)
        before += len(lines)


def validate_rows(file: StopsFile, contract: Contract) -> Iterator[list[LineVerdict]]:
    """The verdict on every row, as the event that `produce --csv` would send; by the line that it begins in. Raises
    InputFileError at a row that can't be read."""
    finder = FixFinder(contract.rejected)
    stops = file.stops()
    while batch := list(islice(stops, ROWS_AT_ONCE)):
        values = [event_of(stop, f"row-{stop.line}").value for stop in batch]
        lines: list[Line] = [value if len(value) <= contract.line_bytes_max else len(value) for value in values]
        yield _verdicts([stop.line for stop in batch], lines, contract, finder)


def _verdicts(
    numbers: Sequence[int], lines: Sequence[Line], contract: Contract, finder: FixFinder
) -> list[LineVerdict]:
    values = [line if isinstance(line, bytes) else b"" for line in lines]
    rejected = dict(contract.rejected(values))
    fixes = finder.fixes_for({index: values[index] for index in rejected if isinstance(lines[index], bytes)})
    for index, line in enumerate(lines):
        if isinstance(line, int):
            rejected[index] = (too_large(line, contract.line_bytes_max),)
    return [
        LineVerdict(number, index not in rejected, rejected.get(index, ()), fixes.get(index, msgspec.UNSET))
        for index, number in enumerate(numbers)
    ]


def lines_by_read(stream: Stream, line_bytes_max: int) -> Iterator[list[Line]]:
    """The lines that each read completes, without their line feeds; the last one need not have one."""
    rest, cut = b"", 0  # the line that is not yet complete: its bytes, or how many of it were let go
    while chunk := stream.read1(READ_BYTES_MAX):
        *complete, rest = (rest + chunk).split(b"\n")
        lines: list[Line] = [line if len(line) <= line_bytes_max else len(line) for line in complete]
        if cut and complete:
            lines[0], cut = cut + len(complete[0]), 0
        if cut or len(rest) > line_bytes_max:
            rest, cut = b"", cut + len(rest)
        if lines:
            yield lines
    if rest or cut:
        yield [cut or rest]


@dataclass
class FaultGroup:
    """The faults of one code in one field."""

    count: int
    first_line: int
    example: str


@dataclass
class ValidationSummary:
    """What a person wants to know of a whole file."""

    shown_max: int
    lines: int = 0
    broken: int = 0
    groups: dict[tuple[Code, str | None], FaultGroup] = field(default_factory=dict)
    mendable: Counter[tuple[NamedFix, ...]] = field(default_factory=Counter)
    first: list[LineVerdict] = field(default_factory=list)

    def add(self, verdicts: Iterable[LineVerdict]) -> None:
        """Count the verdicts of a batch; the first faulty ones are kept."""
        for verdict in verdicts:
            self.lines += 1
            if verdict.ok:
                continue
            self.broken += 1
            if verdict.fixes is not msgspec.UNSET:
                self.mendable[verdict.fixes] += 1
            if len(self.first) < self.shown_max:
                self.first.append(verdict)
            for reason in verdict.errors:
                group = self.groups.setdefault((reason.code, reason.field), FaultGroup(0, verdict.line, reason.message))
                group.count += 1
