"""The contract for whole files of events, one a line, without Kafka.

Invariant: memory has a bound, whatever the input.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import msgspec

from stream_scorer.core.contract.observation_events import decode_observations
from stream_scorer.core.contract.outcome_events import decode_outcomes
from stream_scorer.core.contract.reasons import Code, Reason, too_large

READ_BYTES_MAX = 1024 * 1024
# Outcome events have no limit of their own; records have this one.
OUTCOME_BYTES_MAX = 1024 * 1024

# A line, or only its size where it is too long to be kept.
Line = bytes | int
Rejected = list[tuple[int, tuple[Reason, ...]]]


class LineVerdict(msgspec.Struct, frozen=True):
    """What the contract says of one line of input; lines count from 1."""

    line: int
    ok: bool
    errors: tuple[Reason, ...] = ()


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
    for lines in lines_of(stream, contract.line_bytes_max):
        rejected = dict(contract.rejected([line if isinstance(line, bytes) else b"" for line in lines]))
        for index, line in enumerate(lines):
            if isinstance(line, int):
                rejected[index] = (too_large(line, contract.line_bytes_max),)
        yield [
            LineVerdict(before + index + 1, index not in rejected, rejected.get(index, ()))
            for index in range(len(lines))
        ]
        before += len(lines)


def lines_of(stream: Stream, line_bytes_max: int) -> Iterator[list[Line]]:
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
class Group:
    """The faults of one code in one field."""

    count: int
    first_line: int
    example: str


@dataclass
class Summary:
    """What a person wants to know of a whole file."""

    shown_max: int
    lines: int = 0
    broken: int = 0
    groups: dict[tuple[Code, str | None], Group] = field(default_factory=dict)
    first: list[LineVerdict] = field(default_factory=list)

    def add(self, verdicts: Iterable[LineVerdict]) -> None:
        """Count the verdicts of a batch; the first faulty ones are kept."""
        for verdict in verdicts:
            self.lines += 1
            if verdict.ok:
                continue
            self.broken += 1
            if len(self.first) < self.shown_max:
                self.first.append(verdict)
            for reason in verdict.errors:
                group = self.groups.setdefault((reason.code, reason.field), Group(0, verdict.line, reason.message))
                group.count += 1
