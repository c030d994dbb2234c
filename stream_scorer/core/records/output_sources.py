"""The inputs of the records of an output partition, as far as needed to find where a lane has read to.

Invariant: works on any record and never raises; one that names no input of its own lane says nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from stream_scorer.core.contract.reasons import Code
from stream_scorer.core.contract.schema_frame import without_frames
from stream_scorer.core.records.dead_letter_headers import ERRORS, SOURCE
from stream_scorer.core.records.dead_letter_reader import id_of
from stream_scorer.core.records.decode import decode_or_none
from stream_scorer.core.records.input_reference import decode_reason_codes, decode_source, decode_topic_source
from stream_scorer.core.records.record import MOVED_FROM, ConsumedRecord, Source, last_header


class NamedSource(NamedTuple):
    """The input that an output came of. `prompt`: it was published at its input's turn, so that every output before it
    in its partition came of an earlier input."""

    topic: str
    offset: int
    prompt: bool


class Sources(NamedTuple):
    """What a run of output records says, by input topic: the highest offset named and the record that names it, whether
    a prompt output is among them; and how many of the records name no input of this lane."""

    highest: Mapping[str, tuple[int, ConsumedRecord]]
    prompt: frozenset[str]
    unreadable: int


class _Prediction(msgspec.Struct, gc=False):
    id: str
    scored_at: str
    source: Source


class _Update(msgspec.Struct, gc=False):
    id: str
    status: str
    outcome_at: str
    source: Source
    scored_at: str = ""


_decode_prediction: Final = msgspec.json.Decoder(_Prediction).decode
_decode_update: Final = msgspec.json.Decoder(_Update).decode

SourceReader = Callable[[ConsumedRecord, int], NamedSource | None]


def prediction_source(observations: str) -> SourceReader:
    """Reads which observation a prediction came of."""

    def source(record: ConsumedRecord, partition: int) -> NamedSource | None:
        said = decode_or_none(_decode_prediction, record.value)
        if said is None or said.source.partition != partition:
            return None
        return NamedSource(observations, said.source.offset, True)

    return source


def update_source(outcomes: str) -> SourceReader:
    """Reads which outcome an update came of."""

    def source(record: ConsumedRecord, partition: int) -> NamedSource | None:
        said = decode_or_none(_decode_update, record.value)
        if said is None or said.source.partition != partition:
            return None
        # A joined outcome that is older than its prediction may have waited for it. The times sort as text.
        prompt = said.status == "awaiting_prediction" or (said.status == "joined" and said.scored_at < said.outcome_at)
        return NamedSource(outcomes, said.source.offset, prompt)

    return source


def letter_source(inputs: Sequence[str]) -> SourceReader:
    """Reads which record of one of the inputs a dead letter was."""

    def source(record: ConsumedRecord, partition: int) -> NamedSource | None:
        said = decode_or_none(decode_topic_source, last_header(record.headers, SOURCE))
        reasons = decode_or_none(decode_reason_codes, last_header(record.headers, ERRORS))
        if said is None or reasons is None or said.partition != partition or said.topic not in inputs:
            return None
        # an outcome that nobody could join had waited for it
        waited = any(reason.code == Code.UNKNOWN_ID for reason in reasons)
        return NamedSource(said.topic, said.offset, not waited)

    return source


# By the partition that records were moved from: the highest offset that a copy names, and that copy
HighestMoves = dict[int, tuple[int, ConsumedRecord]]


def highest_moves(records: Sequence[ConsumedRecord], partition: int) -> HighestMoves:
    """Which records of other partitions were moved to this one of the same topic, as far as these records say."""
    highest: HighestMoves = {}
    for record in records:
        if not record.headers:
            continue
        said = decode_or_none(decode_source, last_header(record.headers, MOVED_FROM))
        if said is None or said.partition == partition:
            continue
        if said.partition not in highest or said.offset > highest[said.partition][0]:
            highest[said.partition] = said.offset, record
    return highest


def named_sources(records: Sequence[ConsumedRecord], partition: int, read: SourceReader) -> Sources:
    """What these records of an output partition say."""
    highest: dict[str, tuple[int, ConsumedRecord]] = {}
    prompt: set[str] = set()
    unreadable = 0
    for record in records:
        named = read(record, partition)
        if named is None:
            unreadable += 1
            continue
        if named.topic not in highest or named.offset > highest[named.topic][0]:
            highest[named.topic] = named.offset, record
        if named.prompt:
            prompt.add(named.topic)
    return Sources(highest, frozenset(prompt), unreadable)


def came_of(output: ConsumedRecord, read: ConsumedRecord) -> bool:
    """Whether an output that names the offset of a record that was read can have come of it: it can't where the topic
    was recreated and has another record there."""
    if last_header(output.headers, SOURCE) is not None:  # a dead letter keeps the value, or its beginning
        return (read.value or b"").startswith(output.value or b"")
    if last_header(output.headers, MOVED_FROM) is not None:
        return read.value == output.value
    (value,) = without_frames([read.value])  # whether it may have one is for the worker to say, which has scored it
    return id_of(value, read.key) == output.key
