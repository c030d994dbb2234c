"""The timestamps of what is published: those of the inputs, unless they lie so far back that the topic's retention
would delete the record before it was of use, or so far back or ahead that the topic does not take them.

Invariant: a record whose timestamp was changed says in a header which one its input had.
"""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Final

from stream_scorer.core.records.record import ConsumedRecord, Publishable, last_header
from stream_scorer.core.records.timestamps import milliseconds, rfc3339

# The timestamp of its input, RFC 3339, on an output that carries another one
EVENT_TIME: Final = "scorer.event-time"

_timestamp: Final = itemgetter(2)

# By topic, how far back a record's timestamp may lie when it is published, in milliseconds; a topic that takes any and
# keeps it is left out
AgesMax = Mapping[str, int]
ANY_AGE: Final[AgesMax] = {}
# How far ahead of the clock a timestamp may lie that is handed on: producers' clocks are a little off. What lies
# further ahead counts as now: an output topic may take less of it than the input did (an hour, by Kafka's default), and
# a worker whose output is refused would meet the same record at every start.
AHEAD_MS_MAX: Final = 60_000


def within_bounds(records: Sequence[Publishable], now_ms: int, age_ms_max: int | None) -> Sequence[Publishable]:
    """The records, with the earliest timestamp that `age_ms_max` allows where theirs is earlier (None: any may stay),
    and with that of now where theirs lies ahead. (-1 is none, and becomes the time of writing.)"""
    if not records:
        return records
    oldest_ms, latest_ms = 0 if age_ms_max is None else now_ms - age_ms_max, now_ms + AHEAD_MS_MAX
    if min(map(_timestamp, records)) >= oldest_ms and max(map(_timestamp, records)) <= latest_ms:  # nearly every batch
        return records
    return [
        (key, value, timestamp_ms, headers)
        if timestamp_ms < 0 or oldest_ms <= timestamp_ms <= latest_ms
        else (
            key,
            value,
            oldest_ms if timestamp_ms < oldest_ms else now_ms,
            [*headers, (EVENT_TIME, rfc3339(timestamp_ms).encode())],
        )
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
