"""Where inputs ended: every way to end is recognised, and every way to be lost, doubled or forged is found by name."""

from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_scorer.core.audit.inputs import INPUT, InputTopic, Rows, input_rows
from stream_scorer.core.audit.reconciliation import Reconciliation, last_before, reconcile
from stream_scorer.core.audit.traces import TRACE, dead_letter_rows, move_rows, prediction_rows, update_rows
from stream_scorer.core.contract import reasons
from stream_scorer.core.contract.observation_code import encode_observation
from stream_scorer.core.contract.observation_events import decode_event
from stream_scorer.core.contract.reasons import Reason, Stage
from stream_scorer.core.records.dead_letter import dead_letter
from stream_scorer.core.records.partitioner import partition_of
from stream_scorer.core.records.prediction import ModelIdentity, encode_predictions
from stream_scorer.core.records.record import ProducerRecord, rfc3339
from stream_scorer.core.records.repartitioning import move
from tests.support.builders import an_event, an_outcome

PARTITIONS = 4
NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000
WINDOW_MS = 30 * DAY_MS
OBSERVATIONS, OUTCOMES = "stops.observations", "stops.outcomes"
SIDES = {OBSERVATIONS: InputTopic.OBSERVATIONS, OUTCOMES: InputTopic.OUTCOMES}
SPEAKER = ModelIdentity("model@0123456789ab", "champion", 0.5)


class Read(NamedTuple):
    """A record as a consumer gives it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass
class Log:
    """The partitions of one topic. Offsets have gaps, as behind a transaction's marker."""

    topic: str
    partitions: dict[int, list[Read]] = field(default_factory=dict)

    def append(self, partition: int, record: ProducerRecord, gap: int = 0) -> Read:
        records = self.partitions.setdefault(partition, [])
        offset = (records[-1].offset + 1 if records else 0) + gap
        key, value, timestamp, headers = record
        read = Read(self.topic, partition, offset, timestamp, key, value, tuple(headers))
        records.append(read)
        return read


class World:
    """Topics in memory, and a worker that writes what it is told to."""

    def __init__(self, side: InputTopic = InputTopic.OBSERVATIONS) -> None:
        self.side = side
        self.topic = OBSERVATIONS if side is InputTopic.OBSERVATIONS else OUTCOMES
        self.inputs, self.predictions, self.letters, self.updates = (
            Log(topic) for topic in (self.topic, "stops.predictions", "stops.dead-letters", "stops.outcome-updates")
        )

    def send(self, value: bytes | None, partition: int, *, at_ms: int = NOW_MS, gap: int = 0) -> Read:
        return self.inputs.append(partition, ProducerRecord(None, value, at_ms), gap)

    def predict(self, record: Read, *, at_ms: int = NOW_MS, partition: int | None = None) -> Read:
        event = decode_event(record.value or b"")
        id_, code = str(event.id).encode(), encode_observation(event.observation)
        (value,) = encode_predictions(
            [id_], [code], [0.7], [record.offset], partition=record.partition, speaker=SPEAKER, scored_at=rfc3339(at_ms)
        )
        where = record.partition if partition is None else partition
        return self.predictions.append(where, ProducerRecord(id_, value, record.timestamp))

    def reject(self, record: Read, reason: Reason | None = None, limit_bytes: int = 1 << 20) -> Read:
        found = reason or reasons.not_an_object()
        letter = dead_letter(
            record,
            [found],
            Stage.DECODE,
            topic=record.topic,
            partition=record.partition,
            failed_at_ms=NOW_MS,
            version="1",
            limit_bytes=limit_bytes,
            replays=0,
        )
        return self.letters.append(record.partition, letter)

    def move(self, record: Read, to: int) -> Read:
        id_ = str(msgspec.json.decode(record.value or b"")["id"]).encode()
        moved = move(record, record.partition, id_)
        return self.inputs.append(to, moved)

    def update(self, record: Read, status: str, *, at_ms: int = NOW_MS, **changes: object) -> Read:
        event = msgspec.json.decode(record.value or b"")
        source = {"partition": record.partition, "offset": record.offset}
        said = {"id": event["id"], "status": status, "true_class": event["true_class"], "source": source}
        said |= {"scored_at": rfc3339(at_ms)} if status == "joined" else {}
        said |= {"outcome_at": rfc3339(record.timestamp)} | changes
        return self.updates.append(
            record.partition, ProducerRecord(str(said["id"]).encode(), msgspec.json.encode(said), record.timestamp)
        )

    def input_rows(self) -> Rows:
        logs = sorted(self.inputs.partitions.items())
        rows = [input_rows(self.side, partition, records, PARTITIONS) for partition, records in logs]
        return np.concatenate([np.empty(0, dtype=INPUT), *rows])

    def trace_rows(self) -> Rows:
        rows = [move_rows(self.side, *log) for log in self.inputs.partitions.items()]
        rows += [prediction_rows(*log) for log in self.predictions.partitions.items()]
        rows += [dead_letter_rows(*log, SIDES) for log in self.letters.partitions.items()]
        rows += [update_rows(*log) for log in self.updates.partitions.items()]
        return np.concatenate([np.empty(0, dtype=TRACE), *rows])

    def settle(self) -> "Verdict":
        inputs, traces = self.input_rows(), self.trace_rows()
        return Verdict(inputs, reconcile(self.side, inputs, traces, window_ms=WINDOW_MS, now_ms=NOW_MS))


@dataclass
class Verdict:
    inputs: Rows
    account: Reconciliation

    def ended(self, record: Read) -> list[str]:
        """All that an account says of a record."""
        here = (self.inputs["partition"] == record.partition) & (self.inputs["offset"] == record.offset)
        (row,) = np.flatnonzero(here)
        said = [end.value for end, flags in self.account.ends.items() if flags[row]]
        said += ["unaccounted"] * bool(self.account.unaccounted[row])
        return said + ["duplicated"] * bool(self.account.duplicated[row])

    @property
    def strays(self) -> int:
        return int(self.account.strays.sum())


def home(id_: str) -> int:
    return partition_of(id_.encode(), PARTITIONS)


def elsewhere(id_: str) -> int:
    return (home(id_) + 1) % PARTITIONS


def test_an_observation_with_its_prediction_ended_there() -> None:
    world = World()
    record = world.send(an_event("a"), home("a"))
    world.predict(record)
    verdict = world.settle()
    assert verdict.ended(record) == ["prediction"]
    assert not verdict.strays


def test_an_observation_of_which_nothing_is_said_is_unaccounted_for() -> None:
    world = World()
    predicted, lost = world.send(an_event("a"), home("a")), world.send(an_event("b"), home("b"))
    world.predict(predicted)
    assert world.settle().ended(lost) == ["unaccounted"]


def test_a_broken_record_without_a_dead_letter_is_unaccounted_for() -> None:
    world = World()
    lost = world.send(b"{", 0)
    assert world.settle().ended(lost) == ["unaccounted"]


def test_two_predictions_of_one_offset_are_a_double() -> None:
    world = World()
    record = world.send(an_event("a"), home("a"))
    world.predict(record)
    world.predict(record)
    assert world.settle().ended(record) == ["prediction", "duplicated"]


def test_a_prediction_and_a_dead_letter_of_one_offset_are_a_double() -> None:
    world = World()
    record = world.send(an_event("a"), home("a"))
    world.predict(record)
    world.reject(record)
    assert "duplicated" in world.settle().ended(record)


@pytest.mark.parametrize(
    "value", [b"{", b"", None, b"\x00\xff", b'{"id": ""}'], ids=["not json", "empty", "null", "binary", "no id"]
)
def test_a_dead_letter_of_the_same_bytes_accounts_for_a_broken_record(value: bytes | None) -> None:
    world = World()
    record = world.send(value, 2)
    world.reject(record)
    verdict = world.settle()
    assert verdict.ended(record) == ["dead_letter"]
    assert not verdict.strays


def test_a_dead_letter_of_other_bytes_accounts_for_nothing() -> None:
    world = World()
    record = world.send(b"{", 2)
    world.reject(record._replace(value=b"{{"))
    verdict = world.settle()
    assert verdict.ended(record) == ["unaccounted"]
    assert verdict.strays == 1


def test_a_dead_letter_that_was_cut_says_so_and_counts() -> None:
    world = World()
    record = world.send(b'"' + b"x" * 100_000 + b'"', 1)
    letter = world.reject(record, limit_bytes=80_000)
    assert len(letter.value or b"") < 100_000
    assert world.settle().ended(record) == ["dead_letter"]


def test_a_dead_letter_about_another_topic_is_a_stray() -> None:
    world = World()
    record = world.send(b"{", 2)
    world.reject(record._replace(topic="other.observations"))
    verdict = world.settle()
    assert verdict.ended(record) == ["unaccounted"]
    assert verdict.strays == 1


@pytest.mark.parametrize("tampered", ["id", "observation", "partition", "offset", "key"])
def test_a_prediction_that_does_not_fit_its_source_is_a_stray(tampered: str) -> None:
    world = World()
    # of the same partition, so that only what is tampered with differs
    other = next(id_ for id_ in map(str, range(100)) if home(id_) == home("a"))
    record = world.send(an_event("a"), home("a"), gap=5)
    twisted = {
        "id": record._replace(value=an_event(other)),
        "observation": record._replace(value=an_event("a", hour=3)),
        "offset": record._replace(offset=record.offset - 1),
    }.get(tampered, record)
    prediction = world.predict(twisted, partition=elsewhere("a") if tampered == "partition" else None)
    if tampered == "key":
        world.predictions.partitions[prediction.partition][-1] = prediction._replace(key=b"b")
    verdict = world.settle()
    assert verdict.ended(record) == ["unaccounted"]
    assert verdict.strays == 1


@pytest.mark.parametrize(
    "value",
    [None, b"{", b"[]", b"{}", b'{"id":"a","observation_code":99999999999,"source":{"partition":0,"offset":0}}'],
    ids=["null", "not json", "a list", "empty", "too large a number"],
)
def test_a_prediction_that_cannot_be_read_is_a_stray_and_no_exception(value: bytes | None) -> None:
    world = World()
    world.predictions.append(0, ProducerRecord(b"a", value, NOW_MS))
    world.updates.append(0, ProducerRecord(b"a", value, NOW_MS))
    assert world.settle().strays == 2


# Redeliveries


def test_the_same_observation_again_is_a_redelivery() -> None:
    world = World()
    first, second, third = (world.send(an_event("a"), home("a")) for _ in range(3))
    world.predict(first)
    verdict = world.settle()
    assert [verdict.ended(record) for record in (first, second, third)] == [
        ["prediction"],
        ["redelivery"],
        ["redelivery"],
    ]


def test_another_observation_of_the_same_id_is_no_redelivery() -> None:
    world = World()
    first, other = world.send(an_event("a"), home("a")), world.send(an_event("a", hour=5), home("a"))
    world.predict(first)
    assert world.settle().ended(other) == ["unaccounted"]


def test_a_record_before_the_predicted_one_is_lost_not_redelivered() -> None:
    world = World()
    lost, second = world.send(an_event("a"), home("a")), world.send(an_event("a"), home("a"))
    world.predict(second)
    assert world.settle().ended(lost) == ["unaccounted"]


def test_a_record_after_one_that_was_refused_is_lost_not_redelivered() -> None:
    world = World()
    first, lost = world.send(an_event("a"), home("a")), world.send(an_event("a"), home("a"))
    world.reject(first, reasons.scoring_failed("x"))
    assert world.settle().ended(lost) == ["unaccounted"]


@pytest.mark.parametrize(("days", "ended"), [(29, "redelivery"), (31, "unaccounted")])
def test_a_redelivery_is_one_within_the_join_window_only(days: int, ended: str) -> None:
    world = World()
    first = world.send(an_event("a"), home("a"), at_ms=NOW_MS - 40 * DAY_MS)
    world.predict(first, at_ms=NOW_MS - days * DAY_MS)
    again = world.send(an_event("a"), home("a"))
    assert world.settle().ended(again) == [ended]


def test_a_record_from_the_future_is_as_old_as_the_clock_says() -> None:
    world = World()
    first = world.send(an_event("a"), home("a"))
    world.predict(first)
    again = world.send(an_event("a"), home("a"), at_ms=NOW_MS + 400 * DAY_MS)
    assert world.settle().ended(again) == ["redelivery"]


def test_an_id_predicted_twice_is_accounted_for_and_counted() -> None:
    world = World()
    first, second = world.send(an_event("a"), home("a")), world.send(an_event("a"), home("a"))
    world.predict(first)
    world.predict(second)
    verdict = world.settle()
    assert [verdict.ended(record) for record in (first, second)] == [["prediction"], ["prediction"]]
    assert verdict.account.predicted_twice.tolist() == [False, True]


# Moves


def test_a_record_on_a_wrong_partition_ends_in_its_move_and_the_copy_on_its_own() -> None:
    world = World()
    record = world.send(an_event("a"), elsewhere("a"))
    copy = world.move(record, home("a"))
    world.predict(copy)
    verdict = world.settle()
    assert verdict.ended(record) == ["move"]
    assert verdict.ended(copy) == ["prediction"]
    assert not verdict.strays


def test_a_record_on_a_wrong_partition_is_no_redelivery() -> None:
    world = World()
    first, lost = world.send(an_event("a"), elsewhere("a")), world.send(an_event("a"), elsewhere("a"))
    world.predict(first)
    assert world.settle().ended(lost) == ["unaccounted"]


def test_two_moves_of_one_record_are_a_double() -> None:
    world = World()
    record = world.send(an_event("a"), elsewhere("a"))
    world.move(record, home("a"))
    world.move(record, home("a"))
    assert world.settle().ended(record) == ["move", "duplicated"]


@pytest.mark.parametrize(
    "forgery", ["other value", "source at home", "to a wrong partition", "no such offset", "other key"]
)
def test_a_forged_move_accounts_for_nothing(forgery: str) -> None:
    world = World()
    record = world.send(an_event("a"), home("a") if forgery == "source at home" else elsewhere("a"))
    named = record
    if forgery == "other value":
        named = record._replace(value=an_event("a", hour=7))
    if forgery == "no such offset":
        named = record._replace(offset=record.offset + 100)
    world.move(named, elsewhere("a") + 2 & 3 if forgery == "to a wrong partition" else home("a"))
    if forgery == "other key":
        copies = world.inputs.partitions[home("a")]
        copies[-1] = copies[-1]._replace(key=b"b")
    verdict = world.settle()
    assert "unaccounted" in verdict.ended(record)
    assert verdict.strays == 1


@pytest.mark.parametrize(
    "header",
    [b"", b"{", b"null", b'{"partition":-1,"offset":-1}', b'{"partition":1e9,"offset":99999999999999999999}', b"\xff"],
    ids=["empty", "not json", "null", "negative", "huge", "binary"],
)
def test_a_move_header_of_garbage_names_no_record(header: bytes) -> None:
    world = World()
    world.inputs.append(0, ProducerRecord(b"a", an_event("a"), NOW_MS, [("scorer.moved-from", header)]))
    assert world.trace_rows()["source_offset"].tolist() == [-1]
    assert world.settle().strays == 1


def test_an_offset_beyond_all_bounds_does_not_run_over_into_another_partition() -> None:
    world = World()
    record = world.send(an_event("a"), 1)
    header = msgspec.json.encode({"partition": 0, "offset": (1 << 44) + record.offset})
    world.inputs.append(home("a"), ProducerRecord(b"a", record.value, NOW_MS, [("scorer.moved-from", header)]))
    assert world.settle().strays == 1


# Outcomes


def test_a_joined_outcome_ended_there() -> None:
    world = World(InputTopic.OUTCOMES)
    record = world.send(an_outcome("a"), home("a"))
    world.update(record, "joined")
    verdict = world.settle()
    assert verdict.ended(record) == ["joined"]
    assert not verdict.strays


def test_an_outcome_that_waits_is_open_not_missing() -> None:
    world = World(InputTopic.OUTCOMES)
    record = world.send(an_outcome("a"), home("a"))
    world.update(record, "awaiting_prediction")
    assert world.settle().ended(record) == ["awaiting"]


def test_an_outcome_that_waited_and_was_joined_ended_once() -> None:
    world = World(InputTopic.OUTCOMES)
    record = world.send(an_outcome("a"), home("a"))
    world.update(record, "awaiting_prediction")
    world.update(record, "joined")
    assert world.settle().ended(record) == ["joined"]


def test_an_outcome_joined_twice_is_a_double() -> None:
    world = World(InputTopic.OUTCOMES)
    record = world.send(an_outcome("a"), home("a"))
    world.update(record, "joined")
    world.update(record, "joined")
    assert world.settle().ended(record) == ["joined", "duplicated"]


def test_an_update_with_the_other_class_does_not_fit() -> None:
    world = World(InputTopic.OUTCOMES)
    record = world.send(an_outcome("a", True), home("a"))
    world.update(record, "joined", true_class=False)
    verdict = world.settle()
    assert verdict.ended(record) == ["unaccounted"]
    assert verdict.strays == 1


def test_an_unknown_outcome_is_one_end_in_two_records() -> None:
    world = World(InputTopic.OUTCOMES)
    record = world.send(an_outcome("a"), home("a"))
    world.update(record, "awaiting_prediction")
    world.update(record, "unknown")
    world.reject(record, reasons.unknown_id("a"))
    verdict = world.settle()
    assert verdict.ended(record) == ["unknown"]
    assert not verdict.strays


@pytest.mark.parametrize("half", ["update", "dead letter"])
def test_half_of_an_unknown_is_unaccounted_for(half: str) -> None:
    world = World(InputTopic.OUTCOMES)
    record = world.send(an_outcome("a"), home("a"))
    world.update(record, "awaiting_prediction")
    if half == "update":
        world.update(record, "unknown")
    else:
        world.reject(record, reasons.unknown_id("a"))
    assert world.settle().ended(record) == ["unaccounted"]


def test_the_same_class_again_is_a_repeat_and_another_class_must_be_answered() -> None:
    world = World(InputTopic.OUTCOMES)
    yes, repeat, no, repeat_of_no, lost = (
        world.send(an_outcome("a", true_class), home("a")) for true_class in (True, True, False, False, True)
    )
    world.update(yes, "joined")
    world.update(no, "joined")
    verdict = world.settle()
    records = (yes, repeat, no, repeat_of_no, lost)
    ended = [["joined"], ["repeat"], ["joined"], ["repeat"], ["unaccounted"]]
    assert [verdict.ended(record) for record in records] == ended


def test_one_and_true_are_the_same_class() -> None:
    world = World(InputTopic.OUTCOMES)
    first, again = world.send(an_outcome("a", True), home("a")), world.send(an_outcome("a", 1), home("a"))
    world.update(first, "joined")
    assert world.settle().ended(again) == ["repeat"]


def test_an_outcome_moved_ends_in_its_move() -> None:
    world = World(InputTopic.OUTCOMES)
    record = world.send(an_outcome("a"), elsewhere("a"))
    world.update(world.move(record, home("a")), "joined")
    assert world.settle().ended(record) == ["move"]


# Laws


def test_nothing_read_is_nothing_settled() -> None:
    verdict = World().settle()
    assert not verdict.strays
    assert not verdict.account.unaccounted.any()


def test_a_prediction_of_nothing_is_a_stray() -> None:
    world = World()
    world.predict(Read(OBSERVATIONS, 0, 7, NOW_MS, None, an_event("a"), ()))
    assert world.settle().strays == 1


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["predict", "lose", "redeliver", "reject", "double", "move", "break", "lose broken"]),
        st.integers(0, 30),
        st.integers(0, 2),
    ),
    max_size=60,
)


@given(ACTS)
def test_each_record_is_told_as_what_was_done_with_it(acts: list[tuple[str, int, int]]) -> None:
    world = World()
    expected: list[tuple[Read, list[str]]] = []
    for number, (act, gap, _) in enumerate(acts):
        id_ = f"id-{number}"
        at = elsewhere(id_) if act == "move" else home(id_)
        record = world.send(b"{" if "br" in act else an_event(id_), at, gap=gap)
        if act in ("predict", "double", "redeliver"):
            world.predict(record)
        if act == "double":
            world.predict(record)
        if act == "redeliver":
            expected.append((world.send(an_event(id_), at), ["redelivery"]))
        if act in ("reject", "break"):
            world.reject(record)
        if act == "move":
            copy = world.move(record, home(id_))
            world.predict(copy)
            expected.append((copy, ["prediction"]))
        ends = {
            "predict": ["prediction"],
            "redeliver": ["prediction"],
            "double": ["prediction", "duplicated"],
            "reject": ["dead_letter"],
            "break": ["dead_letter"],
            "move": ["move"],
        }
        expected.append((record, ends.get(act, ["unaccounted"])))
    verdict = world.settle()
    assert [verdict.ended(record) for record, _ in expected] == [ended for _, ended in expected]
    assert not verdict.strays
    assert len(verdict.inputs) == len(expected)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.booleans()), max_size=50),
)
def test_the_last_before_is_what_a_walk_finds(rows: list[tuple[int, bool, bool]]) -> None:
    keys = np.array([key for key, _, _ in rows], dtype=np.int64)
    among, wanted = (np.array([row[column] for row in rows], dtype=bool) for column in (1, 2))
    last: dict[int, int] = {}
    walked = []
    for row, (key, is_candidate, is_wanted) in enumerate(rows):
        walked.append(last.get(key, -1) if is_wanted else -1)
        if is_candidate:
            last[key] = row
    assert last_before(keys, among, wanted).tolist() == walked


OUR_HEADERS = st.sampled_from(["scorer.source", "scorer.errors", "scorer.truncated", "scorer.moved-from"])
HALF_VALID = st.sampled_from(
    [b'{"topic":"stops.outcomes","partition":1,"offset":2}', b'[{"code":"unknown_id"}]', b"[]"]
)


@given(
    st.lists(
        st.builds(
            Read,
            topic=st.just("t"),
            partition=st.just(1),
            offset=st.integers(0, 1 << 40),
            timestamp=st.integers(-1, 1 << 50),
            key=st.none() | st.binary(max_size=5),
            value=st.none() | st.binary(max_size=40) | HALF_VALID,
            headers=st.lists(st.tuples(OUR_HEADERS, st.binary(max_size=20) | HALF_VALID), max_size=4).map(tuple),
        ),
        max_size=8,
    )
)
def test_whatever_bytes_are_read_each_record_makes_a_row_and_none_an_exception(records: list[Read]) -> None:
    traces = [prediction_rows(1, records), update_rows(1, records), dead_letter_rows(1, records, SIDES)]
    assert [len(rows) for rows in traces] == [len(records)] * 3
    for side in InputTopic:
        inputs = input_rows(side, 1, sorted(records, key=lambda record: record.offset), PARTITIONS)
        assert len(inputs) == len(records)
        said = np.concatenate([*traces, move_rows(side, 1, records)])
        reconcile(side, inputs, said, window_ms=WINDOW_MS, now_ms=NOW_MS)
