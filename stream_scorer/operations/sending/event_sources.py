"""Where events that are sent come from: rows of a CSV file, lines of JSON, the generator; read lazily and sent as
they are, broken or not.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from stream_scorer.core.dead_letters.repair import NO_FIX, Fix, apply_fix
from stream_scorer.core.records.decode import decode_or_none
from stream_scorer.errors import InputFileError, SettingsError
from stream_scorer.models.stops_csv.stops import FileCounts, Stop, StopsFile


class SourceEvent(NamedTuple):
    """An event to send. `id` is None where a line has none that can be read; `true_class` where no outcome is known."""

    id: str | None
    value: bytes
    true_class: bool | None = None
    is_broken: bool = False

    @property
    def key(self) -> bytes | None:
        return None if self.id is None else self.id.encode()


class _Identified(msgspec.Struct):
    id: str | int


_decode_id = msgspec.json.Decoder(_Identified).decode
_encode = msgspec.json.Encoder().encode


def encode_outcome(event_id: str, true_class: object) -> bytes:
    return _encode({"id": event_id, "true_class": true_class})


def csv_events(file: StopsFile, id_prefix: str, fix: Fix = NO_FIX) -> Iterator[SourceEvent]:
    """Every row below the header, as an observation event with its outcome where there was a search; in a file without
    ids a row gets `id_prefix` and its number. `fix` mends each event before it is sent."""
    for number, stop in enumerate(file.stops(), start=1):
        yield event_of(stop, f"{id_prefix}{number:09d}", fix)


def event_of(stop: Stop, own_id: str, fix: Fix = NO_FIX) -> SourceEvent:
    """A row as an event; with `own_id` where the file has no ids."""
    event_id = own_id if stop.id is None else stop.id
    value = _encode({"id": event_id, "observation": stop.observation})
    mended = apply_fix(value, fix)
    return SourceEvent(event_id, mended if isinstance(mended, bytes) else value, stop.outcome)


def check_before_sending(file: StopsFile, *, anyway: bool = False) -> FileCounts:
    """Read the whole file once, so that nothing is sent of a file that can't be sent as a whole. Raises InputFileError;
    `anyway` lets pass what can be sent but will be refused: a header that dooms every row, ids that stand twice."""
    if not anyway and (faults := file.header_faults()) is not None:
        raise InputFileError(
            f"{faults}: every row would be dead-lettered. Nothing was sent. Say with --columns what the columns are "
            "called in this file and which are left out; or send it as it is with --anyway."
        )
    return file.check(distinct_ids=not anyway)


def lines_of(name: str) -> Iterator[bytes]:
    """The lines of a file, or of standard input for `-`. SettingsError when it can't be read."""
    if name == "-":
        yield from sys.stdin.buffer
        return
    try:
        file = Path(name).open("rb")  # noqa: SIM115  # closed below, without catching what is raised while lines are used
    except OSError as error:
        raise SettingsError(
            f"{name} can't be read ({error.strerror}): name a file of JSON lines, or - for standard input"
        ) from error
    with file:
        yield from file


def json_line_events(lines: Iterable[bytes]) -> Iterator[SourceEvent]:
    """Every line, byte for byte; its id is the key if it has one that can be read."""
    for line in lines:
        value = line.removesuffix(b"\n").removesuffix(b"\r")
        identified = decode_or_none(_decode_id, value)
        if identified is None:
            yield SourceEvent(None, value, is_broken=True)
        else:
            yield SourceEvent(str(identified.id), value)


def generated_events(count: int, *, seed: int, broken_share: float, id_prefix: str) -> Iterator[SourceEvent]:
    """`count` realistic events of the seeded generator; a broken one has no outcome."""
    from stream_scorer.models.synthetic.generator import Generator

    for event in Generator(seed).events(count, broken_share=broken_share, id_prefix=id_prefix):
        is_broken = event.broken is not None
        yield SourceEvent(event.id, event.value, None if is_broken else event.true_class, is_broken)
