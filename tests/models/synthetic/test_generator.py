"""The generator: reproducible, valid, and like the published figures."""

import json
from collections import Counter
from importlib.resources import files
from typing import Any

import numpy as np
import pytest

from stream_scorer.core.contract.columns import COLUMN_NAMES
from stream_scorer.core.contract.observation_code import CODES, observation_columns
from stream_scorer.core.contract.observation_events import decode_observations, validate_observation
from stream_scorer.core.contract.reasons import Code
from stream_scorer.models.dataframes import codes_of_frame, frame_of
from stream_scorer.models.synthetic.generator import Generator
from stream_scorer.models.synthetic.invalid_events import FAULTS
from tests.support.builders import an_observation

PUBLISHED: dict[str, Any] = json.loads((files("stream_scorer.models.synthetic") / "profile.json").read_text())[
    "published"
]


def test_a_seed_gives_the_same_stops_for_ever() -> None:
    """Written down once: whoever changes the stream changes every recorded figure."""
    assert Generator(7).codes(4).tolist() == [13_796_089, 806_290, 13_379_995, 15_292_848]


def test_ten_and_then_twenty_observations_are_the_first_thirty() -> None:
    together, apart = Generator(3).codes(30), Generator(3)
    assert np.array_equal(np.concatenate([apart.codes(10), apart.codes(20)]), together)


def test_another_seed_gives_other_stops() -> None:
    assert not np.array_equal(Generator(1).codes(20), Generator(2).codes(20))


def test_events_carry_the_observations_of_the_same_seed_and_their_outcomes() -> None:
    events = list(Generator(5).events(500, broken_share=0.0))
    decoded = decode_observations([event.value for event in events])
    generator = Generator(5)
    codes = generator.codes(500)
    assert decoded.rejected == []
    assert decoded.codes == codes.tolist()
    assert [event.true_class for event in events] == generator.outcomes_of(codes).tolist()
    assert [id_.decode() for id_ in decoded.ids] == [event.id for event in events]


def test_ids_differ_within_a_stream() -> None:
    assert len({event.id for event in Generator(1).events(20_000)}) == 20_000


def test_about_the_asked_share_of_events_is_broken_and_gets_the_code_it_says() -> None:
    events = list(Generator(11).events(20_000, broken_share=0.1))
    rejected = dict(decode_observations([event.value for event in events]).rejected)
    assert {position: reasons[0].code for position, reasons in rejected.items()} == {
        position: event.broken for position, event in enumerate(events) if event.broken is not None
    }
    assert 1_800 < len(rejected) < 2_200
    assert set(Counter(event.broken for event in events)) == {None, *(code for code, _ in FAULTS)}


@pytest.mark.parametrize(("code", "break_it"), FAULTS, ids=[f"{n}-{code.value}" for n, (code, _) in enumerate(FAULTS)])
def test_a_broken_event_has_one_fault(code: Code, break_it: Any) -> None:
    found = validate_observation(break_it({"id": "ev-1", "observation": an_observation()}), 65_536)
    assert [reason.code for reason in found] == [code]  # type: ignore[union-attr]


@pytest.mark.parametrize("column", ["SearchAuthorizationCode", "StatuteReason", "InterventionReasonCode"])
def test_shares_are_those_that_were_published(column: str) -> None:
    shares = Generator(2).observations(60_000)[column].value_counts(normalize=True)
    for value, published in PUBLISHED[column].items():
        assert abs(shares.get(value, 0.0) - published) < 0.008, value


def test_contraband_is_found_as_often_as_was_published() -> None:
    generator = Generator(2)
    frame = generator.observations(60_000)
    found = generator.outcomes(frame)
    assert abs(found.mean() - PUBLISHED["contraband_rate"]) < 0.01
    for value, published in PUBLISHED["contraband_rate_given_authorization"].items():
        assert abs(found[frame["SearchAuthorizationCode"] == value].mean() - published) < 0.025, value


def test_frames_and_numbers_are_each_others_inverse() -> None:
    codes = np.random.default_rng(0).integers(0, CODES, 5_000)
    frame = frame_of(codes)
    assert list(frame.columns) == list(COLUMN_NAMES)
    assert np.array_equal(codes_of_frame(frame), codes)
    assert frame.iloc[0].to_dict() == observation_columns(int(codes[0]))
    assert (frame.dtypes[["ResidentIndicator", "SubjectAge", "hour"]] == ["bool", "int64", "int64"]).all()
