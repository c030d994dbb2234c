"""A batch sorted out: every record ends in one place, and those on a wrong partition go home."""

from typing import NamedTuple

import msgspec
import pytest

from stream_scorer.core.contract.reasons import Code, Stage
from stream_scorer.core.observations.prediction_records import predict
from stream_scorer.core.observations.validation import validate_batch
from stream_scorer.core.records.partitioner import partition_of
from stream_scorer.core.records.prediction import ModelIdentity, Prediction
from stream_scorer.core.records.record import last_header, trace_headers
from stream_scorer.core.records.repartitioning import MOVED_BYTES_MAX, repartition
from tests.support.builders import an_event, an_observation

PARTITIONS = 4


class Record(NamedTuple):
    offset: int
    value: bytes | None
    timestamp: int = 1_700_000_000_000
    key: bytes | None = None
    headers: list[tuple[str, bytes]] = []  # noqa: RUF012  # never changed


def an_id_of(partition: int) -> str:
    return next(
        id_ for number in range(1000) if partition_of((id_ := f"ev-{number}").encode(), PARTITIONS) == partition
    )


def test_every_record_ends_in_exactly_one_place() -> None:
    records = [
        Record(10, an_event(an_id_of(2))),
        Record(11, b"no json"),
        Record(12, an_event(an_id_of(3))),
        Record(13, an_event(an_id_of(2), hour=25)),
        Record(14, None),
    ]
    found = validate_batch(records, partition=2, partitions=PARTITIONS, event_bytes_max=65_536)
    assert found.rows.offsets == [10]
    assert [one.record.offset for one in found.rejected] == [11, 13, 14]
    assert [one.stage for one in found.rejected] == [Stage.DECODE, Stage.CONTRACT, Stage.DECODE]
    assert {owner: [record.value for record in moved] for owner, moved in found.moved.items()} == {
        3: [records[2].value]
    }


def test_a_moved_record_is_keyed_by_its_id_and_says_where_it_was_found() -> None:
    id_ = an_id_of(1)
    record = Record(77, an_event(id_), key=b"other", headers=[("client", b"kcat")])
    ((moved,),) = validate_batch([record], partition=0, partitions=PARTITIONS, event_bytes_max=65_536).moved.values()
    assert (moved.key, moved.value, moved.timestamp_ms) == (id_.encode(), record.value, record.timestamp)
    assert moved.headers[0] == ("client", b"kcat")
    source = last_header(moved.headers, "scorer.moved-from")
    assert source is not None
    assert msgspec.json.decode(source) == {"partition": 0, "offset": 77}


def test_a_record_on_a_wrong_partition_that_breaks_the_contract_is_buried_where_it_was_found() -> None:
    found = validate_batch(
        [Record(1, an_event(an_id_of(1), hour=99))], partition=0, partitions=PARTITIONS, event_bytes_max=65_536
    )
    assert not found.moved
    assert len(found.rejected) == 1


def test_a_record_too_large_to_be_moved_is_buried_and_does_not_block_its_partition() -> None:
    id_ = an_id_of(1)
    record = Record(1, an_event(id_), headers=[("padding", b"x" * MOVED_BYTES_MAX)])
    home = repartition([id_.encode()], [record], partition=0, partitions=PARTITIONS)
    assert not home.moved
    assert not list(home.stay)
    ((row, reason),) = home.stuck
    assert (row, reason.code) == (0, Code.TOO_LARGE)


def test_predictions_keep_the_order_time_and_trace_of_their_observations() -> None:
    trace = [("traceparent", b"00-aa-bb-01")]
    ids = [id_ for number in range(40) if partition_of((id_ := f"ev-{number}").encode(), PARTITIONS) == 0]
    records = [
        Record(offset, an_event(id_), timestamp=1_000 + offset, headers=trace if offset == 1 else [])
        for offset, id_ in enumerate(ids)
    ]
    rows = validate_batch(records, partition=0, partitions=PARTITIONS, event_bytes_max=65_536).rows
    published = predict(
        rows,
        [0.5] * len(ids),
        partition=0,
        speaker=ModelIdentity("m@0", "champion", 0.4),
        scored_at="2026-11-22T08:00:00.000Z",
        with_observation=True,
    )
    said = [msgspec.json.decode(value or b"", type=Prediction) for _, value, _, _ in published]
    assert [prediction.source.offset for prediction in said] == [record.offset for record in records]
    assert [key for key, *_ in published] == [id_.encode() for id_ in ids]
    assert [timestamp for _, _, timestamp, _ in published] == [record.timestamp for record in records]
    assert [headers for *_, headers in published][:3] == [[], trace, []]
    assert said[0].observation == an_observation()


def test_cloud_events_headers_stand_behind_the_trace_and_the_id_is_the_observations_place() -> None:
    id_ = an_id_of(2)
    rows = validate_batch(
        [Record(7, an_event(id_), headers=[("traceparent", b"t")])],
        partition=2,
        partitions=PARTITIONS,
        event_bytes_max=65_536,
    ).rows
    ((*_, headers),) = predict(
        rows,
        [0.5],
        partition=2,
        speaker=ModelIdentity("m@0", "champion", 0.4),
        scored_at="2026-11-22T08:00:00.000Z",
        with_observation=False,
        cloud_events_of="stops.observations",
    )
    assert headers[0] == ("traceparent", b"t")
    assert dict(headers[1:]) == {
        "ce_specversion": b"1.0",
        "ce_type": b"stream-scorer.prediction",
        "ce_source": b"/stops.observations",
        "ce_id": b"2-7",
        "ce_time": b"2026-11-22T08:00:00.000Z",
        "content-type": b"application/json",
    }


@pytest.mark.parametrize(
    ("headers", "kept"),
    [
        ([("traceparent", b"a"), ("other", b"b")], [("traceparent", b"a")]),
        ([("traceparent", b"a"), ("traceparent", b"b")], [("traceparent", b"b")]),
        ([("tracestate", b"x" * 1_000_000)], []),
        ([("other", b"b")], []),
    ],
    ids=["only-traces", "last-of-a-name", "no-huge-ones", "nothing-else"],
)
def test_what_outputs_carry_on(headers: list[tuple[str, bytes]], kept: list[tuple[str, bytes]]) -> None:
    assert trace_headers(headers) == kept
