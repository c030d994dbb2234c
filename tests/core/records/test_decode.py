"""Whatever lies in one of our topics, each reader of it passes over what is not ours and goes on."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_scorer.client.no_reply import _decode, _decode_moved
from stream_scorer.client.pending_requests import PendingRequest, PendingRequests
from stream_scorer.core.audit.id_timeline import RecordKind, id_matcher, sighting
from stream_scorer.core.audit.inputs import InputTopic, input_rows
from stream_scorer.core.audit.traces import dead_letter_rows, move_rows, prediction_rows, update_rows
from stream_scorer.core.dead_letters.producer_scorecards import ScorecardBuilder
from stream_scorer.core.quality.windowed_evaluation import Window, WindowedEvaluation
from stream_scorer.core.records.audit_log import decode_entry
from stream_scorer.core.records.dead_letter_reader import claimed_replays, id_of, milliseconds_or_zero, read_letter
from stream_scorer.core.records.decode import decode_each, decode_or_none
from stream_scorer.core.records.model_control import UnknownFormat
from stream_scorer.core.records.model_switch import decode_switch
from stream_scorer.core.records.output_sources import (
    came_of,
    highest_moves,
    letter_source,
    named_sources,
    prediction_source,
    update_source,
)
from stream_scorer.core.rollout.control import InForce, follow
from stream_scorer.core.state.entry import pack, unpack, waiting_since_ms
from stream_scorer.core.state.model_ids import OF_RECORDS_MAX, ModelIds
from stream_scorer.core.state.restore import Records, restore_predictions, restore_updates
from stream_scorer.operations.audit.operator_actions import ActEvidence
from stream_scorer.operations.dead_letters.index.dictionaries import Dictionaries
from stream_scorer.operations.dead_letters.index.rows import letter_rows
from stream_scorer.operations.sending.event_sources import json_line_events
from stream_scorer.runtime.state.scored_since import is_older
from tests.core.dead_letters.builders import Record
from tests.nasty import AWAITING, JOINED, OURS, PREDICTION, nasty_records

TOPICS = {"stops.observations": InputTopic.OBSERVATIONS, "stops.outcomes": InputTopic.OUTCOMES}
SIDES = {**{topic: int(side) for topic, side in TOPICS.items()}, "stops.dead-letters": 2}
OUR_HEADERS = (
    *("scorer.errors", "scorer.stage", "scorer.source", "scorer.failed-at", "scorer.version", "scorer.replays"),
    *("scorer.truncated", "scorer.moved-from", "scorer.replayed-from", "client-id", "__streams.errors.exception"),
)
KEPT = [msgspec.json.encode(ours) for ours in OURS.values()]


def restored(restore: Callable[..., Any], records: Sequence[Record]) -> None:
    models = ModelIds()
    keys, values = [record.key for record in records], [record.value for record in records]
    found = restore(Records(keys, values, [record.timestamp for record in records]), [None] * len(keys), models)
    for packed in found.entries.values():
        if packed is not None:
            entry = unpack(packed)
            assert pack(entry) == packed
            waiting_since_ms(packed)


def quality(records: Sequence[Record]) -> None:
    evidence = WindowedEvaluation(Window())
    columns = [[record.key for record in records], [record.value for record in records], [1] * len(records)]
    evidence.add_predictions(Records(*columns))  # type: ignore[arg-type]
    evidence.add_updates(Records(*columns))  # type: ignore[arg-type]
    evidence.findings()


def client(records: Sequence[Record]) -> None:
    questions = PendingRequests("stops.observations")
    questions.add(PendingRequest(None, id=b"ev-1"))  # type: ignore[arg-type]
    questions.take_predictions(records)
    questions.take_letters(0, records)
    for record in records:
        _decode(record.value)
        _decode_moved(record.value)


def timeline(records: Sequence[Record]) -> None:
    id_matcher(b"ev-1")(records)
    for record in records:
        for what in RecordKind:
            msgspec.json.encode(sighting(what, "t", 0, record, 4))


def acts(records: Sequence[Record]) -> None:
    evidence = ActEvidence(SIDES)
    evidence.add_ledger(records)
    evidence.add_inputs(InputTopic.OBSERVATIONS, 0, records)
    evidence.found()


def letters(records: Sequence[Record]) -> None:
    for record in records:
        letter_rows(0, [record], Dictionaries(), SIDES)
        msgspec.json.encode(read_letter(0, record))
        id_of(record.value, record.key)
        claimed_replays([(name, value or b"") for name, value in record.headers])
    letter_rows(0, records, Dictionaries(), SIDES)


def scorecards(records: Sequence[Record]) -> None:
    tally = ScorecardBuilder()
    tally.add_inputs(records)
    tally.add_letters(0, records)


def sources(records: Sequence[Record]) -> None:
    topics = tuple(TOPICS)
    for read in (prediction_source("o"), update_source("o"), letter_source(topics)):
        for _, record in named_sources(records, 0, read).highest.values():
            came_of(record, record)
    for _, record in highest_moves(records, 0).values():
        came_of(record, record)


def models(records: Sequence[Record]) -> None:
    in_force = None
    for record in records:
        followed = follow("e", in_force, record.offset, record.value)
        in_force = followed if isinstance(followed, InForce) else in_force
        msgspec.json.encode(decode_switch(record.value))
        if isinstance(followed, UnknownFormat):
            msgspec.json.encode(followed)


READERS: dict[str, Callable[[Sequence[Record]], object]] = {
    "restoring predictions": lambda records: restored(restore_predictions, records),
    "restoring updates": lambda records: restored(restore_updates, records),
    "quality": quality,
    "audit of inputs": lambda records: input_rows(InputTopic.OBSERVATIONS, 0, records, 4),
    "audit of moves": lambda records: move_rows(InputTopic.OUTCOMES, 0, records),
    "audit of predictions": lambda records: prediction_rows(0, records),
    "audit of updates": lambda records: update_rows(0, records),
    "audit of letters": lambda records: dead_letter_rows(0, records, TOPICS),
    "audit of acts": acts,
    "trace": timeline,
    "letters": letters,
    "scorecards": scorecards,
    "ledger": lambda records: [decode_entry(record.value) for record in records],
    "client": client,
    "where to read on": sources,
    "which models serve": models,
    "since when": lambda records: [is_older(record, 1_000) for record in records],
    "lines of JSON": lambda records: list(json_line_events(record.value or b"" for record in records)),
    "times": lambda records: [milliseconds_or_zero(record.value or b"") for record in records],
}


def everywhere(value: bytes | None) -> Record:
    """A record that has these bytes wherever bytes can be."""
    return Record(17, 1_795_365_000_000, b"ev-1", value, [(name, value) for name in OUR_HEADERS])  # type: ignore[misc]


@pytest.mark.parametrize("reader", READERS)
def test_no_nasty_record_stops_a_reader(reader: str) -> None:
    nasty = [everywhere(value) for _, value in nasty_records()]
    nasty += [everywhere(None), Record(0, -1, None, None), Record(1, 1 << 62, b"k" * 100_000, KEPT[0])]
    for begin in range(0, len(nasty), 500):
        READERS[reader](nasty[begin : begin + 500])


# One of ours, with a byte of it replaced by others
SPOILT = st.builds(
    lambda kept, at, put: kept[: at % len(kept)] + put + kept[at % len(kept) + 1 :],
    st.sampled_from(KEPT),
    st.integers(0, 10_000),
    st.binary(max_size=4),
)


@pytest.mark.parametrize("reader", READERS)
@given(value=st.binary() | SPOILT)
def test_no_bytes_stop_a_reader(reader: str, value: bytes) -> None:
    READERS[reader]([everywhere(value)])


@given(st.lists(st.none() | st.sampled_from([b"1", b"x", b"2", b"1,2", b"", b"[", b"3]"])))
def test_each_value_is_decoded_for_itself(values: list[bytes | None]) -> None:
    decode = msgspec.json.Decoder(int).decode
    assert decode_each(decode, values) == [decode_or_none(decode, value) for value in values]


def test_a_value_that_holds_two_predictions_shifts_nothing() -> None:
    first, second = (msgspec.json.encode(PREDICTION | {"observation_code": code}) for code in (1, 2))
    records = Records([b"twice", b"none", b"b"], [first + b"," + first, None, second], [1, 1, 1])
    entries = restore_predictions(records, [None] * 3, ModelIds()).entries
    assert list(entries) == [b"b"]
    assert unpack(entries[b"b"] or b"").predicted.code == 2  # type: ignore[union-attr]


def test_records_that_name_models_without_end_leave_room_for_our_own() -> None:
    models = ModelIds([(f"m{number}", "champion") for number in range(OF_RECORDS_MAX)])
    for value, restore in ((PREDICTION, restore_predictions), (JOINED, restore_updates)):
        records = Records([b"k"], [msgspec.json.encode(value | {"model": "one-more"})], [1])
        assert restore(records, [None], models).unreadable == [0]
    assert models.number("our-own", "champion") == OF_RECORDS_MAX


def test_an_outcome_whose_record_no_producer_could_send_again_does_not_wait() -> None:
    value = msgspec.json.encode(AWAITING | {"record": {"timestamp": 1 << 63}})
    assert restore_updates(Records([b"k"], [value], [1]), [None], ModelIds()).unreadable == [0]
