"""The timestamps of what is published: those of the inputs, unless they lie so far back that the topic's retention
would delete the record before it was of use, or the topic does not take them.

Invariant: a record whose timestamp was brought forward says in a header which one its input had.
"""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Final

from stream_scorer.core.records.record import ConsumedRecord, Publishable, last_header
from stream_scorer.core.records.timestamps import milliseconds, rfc3339

# The timestamp of its input, RFC 3339, on an output that carries a later one
EVENT_TIME: Final = "scorer.event-time"

_timestamp: Final = itemgetter(2)

# By topic, how far back a record's timestamp may lie when it is published, in milliseconds; a topic that takes any and
# keeps it is left out
AgesMax = Mapping[str, int]
ANY_AGE: Final[AgesMax] = {}


def brought_forward(records: Sequence[Publishable], oldest_ms: int) -> Sequence[Publishable]:
    """The records, with timestamps of that time where theirs are earlier. (-1 is none, and becomes the time of
    writing.)"""
    if not records or min(map(_timestamp, records)) >= oldest_ms:  # nearly every batch
        return records
    return [
        (key, value, oldest_ms, [*headers, (EVENT_TIME, rfc3339(timestamp_ms).encode())])
        if 0 <= timestamp_ms < oldest_ms
        else (key, value, timestamp_ms, headers)
        for key, value, timestamp_ms, headers in records
    ]


def event_timestamp_ms(record: ConsumedRecord) -> int:
    """The timestamp that the input of an output of ours had."""
    if not record.headers or (said := last_header(record.headers, EVENT_TIME)) is None:
        return record.timestamp
    try:
        return max(0, milliseconds(said.decode()))
    except (ValueError, OverflowError):
        return record.timestamp
