"""Predictions: put together from a template, they are what a JSON encoder would make of the struct."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from stream_scorer.core.contract.observation_code import CODES, observation_columns
from stream_scorer.core.records.prediction import ModelIdentity, Prediction, encode_predictions
from stream_scorer.core.records.record import Source
from tests.support.builders import an_observation

AT = "2026-11-22T08:00:00.000Z"
ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(
    st.lists(
        st.tuples(ids, st.integers(0, CODES - 1), st.floats(0, 1), st.integers(0, 2**40)),
        max_size=20,
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
)
def test_the_template_gives_what_the_encoder_gives(rows: list[tuple[str, int, float, int]], model: str) -> None:
    speaker = ModelIdentity(f"{model}@0123456789ab", "champion", 0.37)
    encoded = encode_predictions(
        [row[0].encode() for row in rows],
        [row[1] for row in rows],
        [row[2] for row in rows],
        [row[3] for row in rows],
        partition=3,
        speaker=speaker,
        scored_at=AT,
    )
    expected = [
        Prediction(id_, proba >= 0.37, proba, 0.37, speaker.model, "champion", code, Source(3, offset), AT)
        for id_, code, proba, offset in rows
    ]
    assert [msgspec.json.decode(value, type=Prediction) for value in encoded] == expected
    assert encoded == [msgspec.json.encode(prediction) for prediction in expected]


def test_the_decision_falls_on_the_published_number() -> None:
    just_below = 0.3699999999999999
    speaker = ModelIdentity("m@0", "champion", 0.37)
    values = encode_predictions(
        [b"a", b"b"], [0, 0], [0.37, just_below], [0, 1], partition=0, speaker=speaker, scored_at=AT
    )
    said = [msgspec.json.decode(value, type=Prediction) for value in values]
    assert [prediction.prediction for prediction in said] == [True, False]
    assert [prediction.proba for prediction in said] == [0.37, just_below]


def test_the_ten_columns_come_along_when_asked_for() -> None:
    (value,) = encode_predictions(
        [b"a"],
        [5],
        [0.5],
        [0],
        partition=0,
        speaker=ModelIdentity("m@0", "champion", 0.4),
        scored_at=AT,
        with_observation=True,
    )
    said = msgspec.json.decode(value, type=Prediction)
    assert said.observation == observation_columns(5)
    assert said.observation.keys() == an_observation().keys()
