"""The figure of record against counting by hand, with corrections, windows and ids that are predicted twice."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from stream_scorer.core.contract.observation_code import observation_columns
from stream_scorer.core.contract.smoke_test_ids import smoke_id
from stream_scorer.core.quality.windowed_evaluation import EvaluationResult, Window, WindowedEvaluation
from stream_scorer.core.records.outcome_update import Joined, decode_update
from stream_scorer.core.records.record import ProducerRecord
from stream_scorer.core.state.restore import Records
from tests.core.simulated_lane import Happened, LaneSketch, Observed, chunks

START_MS = 1_763_800_000_000
IDS = (b"ev-1", b"ev-2", b"ev-3")
LATER_MS = st.integers(0, 3_000)


def found_in(lane: LaneSketch, window: Window, chunk: int = 3) -> EvaluationResult:
    evidence = WindowedEvaluation(window)
    for records in chunks(lane.predictions, chunk):
        evidence.add_predictions(records)
    for records in chunks(lane.updates, chunk):
        evidence.add_updates(records)
    return evidence.findings()


def a_lane(observed: list[tuple[bytes, int, int]], happened: list[tuple[bytes, bool, int]]) -> LaneSketch:
    """A lane that was given these observations (id, code, ms after the start) and outcomes, one by one in time."""
    lane = LaneSketch(window_ms=1_000, broken=frozenset())
    events: list[tuple[int, Observed | Happened]] = [
        (later, Observed(id_, code, START_MS + later)) for id_, code, later in observed
    ]
    events += [(later, Happened(id_, true_class, START_MS + later)) for id_, true_class, later in happened]
    for later, event in sorted(events, key=lambda each: each[0]):
        if isinstance(event, Observed):
            lane.observations.append(event)
        else:
            lane.outcomes.append(event)
        lane.run(1, 1, START_MS + later, "commits", expire=True)
    return lane


@settings(max_examples=150, deadline=None)
@given(
    observed=st.lists(st.tuples(st.sampled_from(IDS), st.integers(0, 155_937_599), LATER_MS), max_size=8),
    happened=st.lists(st.tuples(st.sampled_from(IDS), st.booleans(), LATER_MS), max_size=12),
    window=st.builds(
        Window,
        st.none() | LATER_MS.map(lambda later: START_MS + later),
        st.none() | LATER_MS.map(lambda later: START_MS + later),
    ),
)
def test_the_window_holds_each_prediction_once_with_its_last_revision(
    observed: list[tuple[bytes, int, int]], happened: list[tuple[bytes, bool, int]], window: Window
) -> None:
    lane = a_lane(observed, happened)
    begins = window.begins_ms if window.begins_ms is not None else 0
    ends = window.ends_ms if window.ends_ms is not None else 1 << 60
    every = {(record.key, said.scored_at) for record in lane.updates if isinstance(said := update_of(record), Joined)}
    inside = [record for record in lane.updates if begins <= record.timestamp_ms < ends]
    last = {(record.key, said.scored_at): said for record in inside if isinstance(said := update_of(record), Joined)}
    predicted = [record for record in lane.predictions if begins <= record.timestamp_ms < ends]
    found = found_in(lane, window)
    assert found.all.joined == len(last)
    assert found.all.true_positive == sum(each.prediction and each.true_class for each in last.values())
    assert found.all.predictions == len(predicted)
    assert found.corrections == sum(update.revision > 1 for r in inside if isinstance(update := update_of(r), Joined))
    assert found.unreadable == 0
    with_outcome = sum((record.key, rfc3339_of(record)) in every for record in predicted)
    assert (round(found.all.coverage.value * len(predicted)) if found.all.coverage else 0) == with_outcome
    for group in found.all.groups:
        codes = [code_of(record) for record in predicted]
        assert group.predictions == sum(str(observation_columns(code)[group.column]) == group.value for code in codes)


def update_of(record: ProducerRecord) -> object:
    return decode_update(record.value or b"")


def rfc3339_of(record: ProducerRecord) -> str:
    return str(_fields(record)["scored_at"])


def code_of(record: ProducerRecord) -> int:
    return int(str(_fields(record)["observation_code"]))


def _fields(record: ProducerRecord) -> dict[str, object]:
    fields: dict[str, object] = json.loads(record.value or b"")
    return fields


def test_figures_are_told_for_each_model_in_each_role() -> None:
    lane = a_lane([(b"ev-1", 900, 0)], [(b"ev-1", True, 10)])
    (said,) = found_in(lane, Window()).models
    assert (said.model, said.role, said.figures.joined) == ("demo@0123456789ab", "champion", 1)


def test_a_later_outcome_covers_a_prediction_of_the_window_but_is_not_judged_in_it() -> None:
    lane = a_lane([(b"ev-1", 900, 0)], [(b"ev-1", True, 500)])
    found = found_in(lane, Window(START_MS, START_MS + 100))
    assert found.all.joined == 0
    assert found.all.coverage is not None
    assert found.all.coverage.value == 1.0


def test_foreign_records_are_counted_and_passed_over() -> None:
    evidence = WindowedEvaluation(Window())
    junk = [None, b"", b"{}", b"\xff", b'{"status":"awaiting_prediction"}']
    records = Records([b"k"] * len(junk), junk, [START_MS] * len(junk))
    evidence.add_predictions(records)
    evidence.add_updates(records)
    found = evidence.findings()
    assert found.unreadable == len(junk) + len(junk) - 1
    assert found.all.joined == 0


def test_a_smoke_test_moves_no_figure_even_where_somebody_sent_an_outcome_for_it() -> None:
    smoke = smoke_id(7).encode()
    lane = a_lane([(b"ev-1", 900, 0), (smoke, 900, 1)], [(b"ev-1", True, 10), (smoke, True, 11), (smoke, False, 12)])
    alone = a_lane([(b"ev-1", 900, 0)], [(b"ev-1", True, 10)])
    assert len(lane.updates) == len(alone.updates) + 2
    assert found_in(lane, Window()) == found_in(alone, Window())
