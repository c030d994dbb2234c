"""The outputs of inputs as rows of numbers: one row for each input, and one for each record that names it.

Invariant: a row holds what is needed to tell whether a trace fits its input, and no more: some 45 bytes, so that
millions fit in memory. Ids and values stand in it as Python's hash of their bytes: 64 bits with a key that is new in
every process, so nobody can make two that agree.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Annotated, Final, Literal, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.audit.inputs import InputTopic, Rows
from stream_scorer.core.contract.reasons import Code
from stream_scorer.core.records.dead_letter_headers import ERRORS, SOURCE, batch_offsets, is_whole
from stream_scorer.core.records.decode import TimeText, decode_each, decode_or_none
from stream_scorer.core.records.input_reference import (
    TopicSource,
    decode_reason_codes,
    decode_source,
    decode_topic_source,
)
from stream_scorer.core.records.record import MOVED_FROM, ConsumedRecord, Source, last_header
from stream_scorer.core.records.timestamps import LATEST_MS, milliseconds


class OutputKind(IntEnum):
    """What kind of record speaks of an input."""

    PREDICTION = 0
    DEAD_LETTER = 1
    MOVE = 2
    JOINED = 3
    UNKNOWN = 4
    UNKNOWN_LETTER = 5  # the dead letter that is published together with an `unknown` update: one end, two records
    AWAITING = 6


TRACE: Final = np.dtype(
    [
        ("kind", np.int8),
        ("side", np.int8),
        ("partition", np.int32),
        ("offset", np.int64),
        ("source_partition", np.int32),  # NOWHERE where the record names no input that we could read
        ("source_offset", np.int64),
        ("id", np.int64),
        ("value", np.int64),
        ("code", np.int32),
        ("whole", np.bool_),  # its value is the input's, not a part of it
        ("batch", np.int64),  # of how many offsets it is the dead letter, see `spread`; 0: of one record
        ("prompt", np.bool_),  # published at its input's turn: prompt traces come in the order of their inputs
        ("since", np.int64),  # ms since 1970: from when on its id is remembered
    ]
)
NO_SOURCE: Final = -1
COPIED: Final = -1


class _Prediction(msgspec.Struct, gc=False):
    id: str
    observation_code: Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)]
    source: Source
    scored_at: TimeText


class _Update(msgspec.Struct, gc=False):
    id: str
    status: Literal["joined", "unknown", "awaiting_prediction"]
    source: Source
    true_class: bool
    outcome_at: TimeText
    scored_at: TimeText = ""


_decode_prediction: Final = msgspec.json.Decoder(_Prediction).decode
_decode_update: Final = msgspec.json.Decoder(_Update).decode
Keyed = TypeVar("Keyed", _Prediction, _Update)

_AS_WE_WRITE_THEM: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII).fullmatch
_STATUSES: Final = {
    "joined": OutputKind.JOINED,
    "unknown": OutputKind.UNKNOWN,
    "awaiting_prediction": OutputKind.AWAITING,
}


# Inputs


# Traces


def move_rows(side: InputTopic, partition: int, records: Sequence[ConsumedRecord]) -> Rows:
    """One row for each record of an input partition that says it was moved there."""
    with_headers = [record for record in records if record.headers]
    said = [(record, last_header(record.headers, MOVED_FROM)) for record in with_headers]
    moved = [(record, header) for record, header in said if header is not None]
    rows = _trace_rows(partition, [record for record, _ in moved])
    rows["kind"], rows["side"] = OutputKind.MOVE, side
    rows["id"] = [hash(record.key) for record, _ in moved]
    rows["value"] = [hash(record.value) for record, _ in moved]
    _fill_sources(rows, [_source_or_none(header) for _, header in moved])
    return rows


def prediction_rows(partition: int, records: Sequence[ConsumedRecord]) -> Rows:
    """One row for each prediction; one that can't be read, or whose key is not its id, has no source."""
    rows = _trace_rows(partition, records)
    rows["kind"], rows["side"], rows["prompt"] = OutputKind.PREDICTION, InputTopic.OBSERVATIONS, True
    good, predictions = _decode_keyed(records, _decode_prediction)
    rows["id"][good] = [hash(prediction.id.encode()) for prediction in predictions]
    rows["code"][good] = [prediction.observation_code for prediction in predictions]
    rows["source_partition"][good] = [prediction.source.partition for prediction in predictions]
    rows["source_offset"][good] = [prediction.source.offset for prediction in predictions]
    rows["since"][good] = _milliseconds([prediction.scored_at for prediction in predictions])
    return rows


def update_rows(partition: int, records: Sequence[ConsumedRecord]) -> Rows:
    """One row for each outcome update; one that can't be read, or whose key is not its id, comes from nowhere."""
    rows = _trace_rows(partition, records)
    rows["kind"], rows["side"] = OutputKind.JOINED, InputTopic.OUTCOMES
    good, updates = _decode_keyed(records, _decode_update)
    rows["kind"][good] = [_STATUSES[update.status] for update in updates]
    rows["id"][good] = [hash(update.id.encode()) for update in updates]
    rows["code"][good] = [update.true_class for update in updates]
    rows["source_partition"][good] = [update.source.partition for update in updates]
    rows["source_offset"][good] = [update.source.offset for update in updates]
    rows["since"][good] = _milliseconds([update.scored_at or update.outcome_at for update in updates])
    # An outcome younger than its prediction found it there; an older one may have waited. The times sort as text.
    rows["prompt"][good] = [update.status != "unknown" and update.scored_at < update.outcome_at for update in updates]
    return rows


def dead_letter_rows(partition: int, records: Sequence[ConsumedRecord], sides: Mapping[str, InputTopic]) -> Rows:
    """One row for each dead letter. `sides`: the inputs by name; a letter about another topic comes from nowhere."""
    rows = _trace_rows(partition, records)
    sources = [_letter_source_or_none(record, sides) for record in records]
    side_of = [InputTopic.OBSERVATIONS if source is None else sides[source.topic] for source in sources]
    late = [
        side is InputTopic.OUTCOMES and Code.UNKNOWN_ID in _codes(record)
        for side, record in zip(side_of, records, strict=True)
    ]
    rows["side"] = side_of
    rows["kind"] = [OutputKind.UNKNOWN_LETTER if waited else OutputKind.DEAD_LETTER for waited in late]
    rows["prompt"] = [not waited for waited in late]
    rows["value"] = [hash(record.value) for record in records]
    rows["whole"] = [is_whole(record.headers) for record in records]
    rows["batch"] = [batch_offsets(record.headers) for record in records]
    _fill_sources(rows, sources)
    return rows


def spread(traces: Rows, inputs: Rows) -> Rows:
    """The traces, and behind them one more (its batch is COPIED) for each other input that a whole batch's dead letter
    speaks of: its source is the batch's last offset. It is idempotent."""
    traces, more = traces[traces["batch"] != COPIED], []
    for trace in traces[traces["batch"] > 1]:
        last = trace["source_offset"]
        mine = inputs["offset"][inputs["partition"] == trace["source_partition"]]
        others = mine[(mine > last - trace["batch"]) & (mine < last)]
        copies = np.repeat(trace, len(others))
        copies["source_offset"], copies["batch"] = others, COPIED
        more.append(copies)
    return np.concatenate([traces, *more]) if more else traces


def _trace_rows(partition: int, records: Sequence[ConsumedRecord]) -> Rows:
    rows = np.zeros(len(records), dtype=TRACE)
    rows["partition"], rows["whole"] = partition, True
    rows["offset"] = [record.offset for record in records]
    rows["source_partition"] = rows["source_offset"] = NO_SOURCE
    return rows


def _fill_sources(rows: Rows, sources: Sequence[Source | None]) -> None:
    rows["source_partition"] = [NO_SOURCE if source is None else source.partition for source in sources]
    rows["source_offset"] = [NO_SOURCE if source is None else source.offset for source in sources]


def _source_or_none(header: bytes) -> Source | None:
    return decode_or_none(decode_source, header)


def _letter_source_or_none(record: ConsumedRecord, sides: Mapping[str, InputTopic]) -> TopicSource | None:
    source = decode_or_none(decode_topic_source, last_header(record.headers, SOURCE))
    return source if source is not None and source.topic in sides else None


def _codes(record: ConsumedRecord) -> set[str]:
    return {reason.code for reason in decode_or_none(decode_reason_codes, last_header(record.headers, ERRORS)) or ()}


def _decode_keyed(records: Sequence[ConsumedRecord], decode: Callable[[bytes], Keyed]) -> tuple[list[int], list[Keyed]]:
    """Which of the records can be read and carry their id as the key, and what they say."""
    decoded = decode_each(decode, [record.value for record in records])
    keyed = [
        (index, event)
        for index, (record, event) in enumerate(zip(records, decoded, strict=True))
        if event is not None and record.key == event.id.encode()
    ]
    return [index for index, _ in keyed], [event for _, event in keyed]


def _milliseconds(times: Sequence[str]) -> NDArray[np.int64]:
    """RFC 3339 times as milliseconds since 1970; 0 where one is not a time, the nearest within the years that can be
    written where it lies beyond them."""
    try:
        # what the worker writes, `2026-11-22T08:00:00.000Z`, numpy reads ten times as fast as the standard library
        if all(map(_AS_WE_WRITE_THEM, times)):
            read = np.array([time[:-1] for time in times], dtype="datetime64[ms]").astype(np.int64)
            return np.clip(read, 0, LATEST_MS)
    except ValueError:
        pass
    return np.array([_one_milliseconds(time) for time in times], dtype=np.int64)


def _one_milliseconds(time: str) -> int:
    return decode_or_none(lambda text: milliseconds(text.decode()), time.encode()) or 0
