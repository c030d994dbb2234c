"""Packed entries: 32 bytes that come back as what they were."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_scorer.core.contract.observation_code import CODES
from stream_scorer.core.records.record import BufferedRecord, Truncation
from stream_scorer.core.state.entry import (
    OFFSET_UNKNOWN,
    ROW_BYTES,
    BufferedOutcome,
    Entry,
    ScoredObservation,
    code_within_window,
    is_expired,
    pack,
    unpack,
    waiting_since_ms,
)
from stream_scorer.core.state.entry_columns import int48_column, pack_predictions, rows_from_bytes, rows_to_bytes
from stream_scorer.core.state.model_ids import ModelIds

SIX_BYTES = st.integers(0, 2**48 - 2)
UNANSWERED = st.builds(
    ScoredObservation,
    code=st.integers(0, CODES - 1),
    proba=st.floats(0, 1),
    prediction=st.booleans(),
    model=st.integers(0, 0xFFFF),
    offset=SIX_BYTES | st.just(OFFSET_UNKNOWN),
    event_ms=SIX_BYTES,
    scored_ms=SIX_BYTES,
)
ANSWERED = st.builds(
    lambda predicted, true_class, revision: ScoredObservation(
        **{name: getattr(predicted, name) for name in predicted.__struct_fields__[:7]},
        true_class=true_class,
        revision=revision,
    ),
    UNANSWERED,
    st.booleans(),
    st.integers(1, 2**40),
)
RECORDS = st.builds(
    BufferedRecord,
    timestamp=st.integers(-1, 2**48),
    value=st.none() | st.binary(max_size=40),
    key=st.none() | st.binary(max_size=40),
    headers=st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=5)), max_size=3).map(tuple),
    truncation=st.none() | st.just(Truncation(9, "ab", 1, 2)),
)
WAITING = st.builds(BufferedOutcome, st.booleans(), SIX_BYTES, SIX_BYTES, RECORDS)
ENTRIES = st.builds(Entry, st.none() | UNANSWERED | ANSWERED, st.lists(WAITING, max_size=3).map(tuple))


@given(entry=ENTRIES)
def test_an_entry_comes_back_as_it_was(entry: Entry) -> None:
    assert unpack(pack(entry)) == entry


@given(predicted=UNANSWERED | ANSWERED)
def test_a_prediction_takes_32_bytes_until_it_is_corrected(predicted: ScoredObservation) -> None:
    assert (len(pack(Entry(predicted))) == ROW_BYTES) == (predicted.revision <= 1)


@given(predicted=st.lists(UNANSWERED, max_size=20))
def test_many_packed_at_once_are_those_packed_one_by_one(predicted: list[ScoredObservation]) -> None:
    packed = pack_predictions(
        [each.code for each in predicted],
        [each.proba for each in predicted],
        [each.prediction for each in predicted],
        np.array([each.model for each in predicted], dtype=np.int64),
        [each.offset for each in predicted],
        [each.event_ms for each in predicted],
        np.array([each.scored_ms for each in predicted], dtype=np.int64),
    )
    assert packed == [pack(Entry(each)) for each in predicted]
    rows = rows_from_bytes(packed)
    assert rows_to_bytes(rows) == packed
    assert int48_column(rows, "scored_ms").tolist() == [each.scored_ms for each in predicted]


@given(entry=ENTRIES, starts_ms=SIX_BYTES)
def test_glances_at_packed_bytes_agree_with_the_whole_entry(entry: Entry, starts_ms: int) -> None:
    packed, predicted = pack(entry), entry.predicted
    live = predicted is not None and predicted.scored_ms >= starts_ms
    since = min((waiting.outcome_ms for waiting in entry.waiting), default=None)
    assert code_within_window(packed, starts_ms) == (predicted.code if live and predicted is not None else None)
    assert waiting_since_ms(packed) == since
    assert is_expired(packed, starts_ms) == (not live and since is None)


def test_models_keep_their_numbers_over_a_restart() -> None:
    models = ModelIds()
    assert [models.number(*pair) for pair in (("a", "champion"), ("a", "canary"), ("a", "champion"))] == [0, 1, 0]
    again = ModelIds.decode(models.encode())
    assert again.number("b", "champion") == 2
    assert again[1] == ("a", "canary")
    assert len(models) == 2


def test_the_65537th_model_of_a_lane_is_refused() -> None:
    models = ModelIds([(f"m-{number}", "champion") for number in range(65_536)])
    assert models.number("m-65535", "champion") == 65_535
    with pytest.raises(OverflowError, match="65,536 models"):
        models.number("one more", "champion")
