"""What the demo plays, and in which order."""

import json
from collections import Counter
from collections.abc import Iterator

from stream_scorer.core.contract.observation_events import decode_observations
from stream_scorer.operations.demo.scenario import FAITHFUL, Play
from stream_scorer.operations.sending.event_sources import SourceEvent
from stream_scorer.operations.sending.schedule import OutcomeSchedule, ScheduledEvent, at_rate, in_due_order
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from tests.support.builders import an_event

NAMES = TopicNames()


def a_play(seconds: float = 20.0) -> list[ScheduledEvent]:
    return list(Play(NAMES, rate=100.0, seconds=seconds, delay_s_max=5.0).generated())


def some_events(count: int) -> Iterator[SourceEvent]:
    return (SourceEvent(f"ev-{n}", an_event(f"ev-{n}"), true_class=n % 2 == 0) for n in range(count))


def test_same_seed_plays_the_same() -> None:
    assert a_play() == a_play()


def test_due_times_never_fall() -> None:
    due = [event.due_s for event in a_play()]
    assert due == sorted(due)
    assert due[0] >= 0


def test_everything_is_over_in_time() -> None:
    assert max(event.due_s for event in a_play()) < 25


def test_play_has_everything_that_happens_in_practice() -> None:
    planned = a_play(seconds=100.0)
    observations = [event for event in planned if event.topic == NAMES.observations]
    rejected = decode_observations([event.value for event in observations]).rejected
    assert 0.015 < len(rejected) / len(observations) < 0.06
    assert any(event.key is None for event in observations)
    values = Counter(event.value for event in observations)
    assert max(values.values()) == 2  # sent again unchanged
    ages: dict[str, set[int]] = {}
    for event in observations:
        if decode_observations([event.value]).positions:
            said = json.loads(event.value)
            ages.setdefault(said["id"], set()).add(said["observation"]["SubjectAge"])
    assert any(len(of_id) == 2 for of_id in ages.values())  # a conflict


def test_outcomes_come_late_early_corrected_broken_and_for_nobody() -> None:
    sent: dict[str, float] = {}
    outcomes: dict[str, list[tuple[float, object]]] = {}
    for event in a_play(seconds=100.0):
        if event.topic == NAMES.observations and event.key:
            sent.setdefault(event.key.decode(), event.due_s)
        elif event.topic == NAMES.outcomes:
            said = json.loads(event.value)
            outcomes.setdefault(said["id"], []).append((event.due_s, said["true_class"]))
    assert any(id_ in sent and found[0][0] < sent[id_] for id_, found in outcomes.items())
    assert any(id_ in sent and found[0][0] > sent[id_] + 1 for id_, found in outcomes.items())
    assert any({true_class for _, true_class in found} == {True, False} for found in outcomes.values())
    assert any(len(found) == 2 and found[0][1] == found[1][1] for found in outcomes.values())
    assert any(found[0][1] == "maybe" for found in outcomes.values())
    assert any(id_.startswith("stranger-") for id_ in outcomes)


def test_rows_of_a_file_are_played_once_each_as_they_are() -> None:
    events = list(some_events(200))
    planned = list(Play(NAMES, rate=100.0, shares=FAITHFUL).of(events))
    observations = [event for event in planned if event.topic == NAMES.observations]
    assert [event.value for event in observations] == [event.value for event in events]
    assert Counter(event.topic for event in planned) == {NAMES.observations: 200, NAMES.outcomes: 200}


def test_groups_are_told_apart_only_by_their_due_times() -> None:
    groups = [
        [ScheduledEvent(1.0, "a", None, b"1"), ScheduledEvent(2.5, "b", None, b"2")],
        [ScheduledEvent(2.0, "a", None, b"3")],
    ]
    assert [event.value for event in in_due_order(groups)] == [b"1", b"3", b"2"]


def test_event_ahead_of_its_group_keeps_its_place() -> None:
    groups = [
        [ScheduledEvent(1.0, "a", None, b"1")],
        [ScheduledEvent(2.0, "a", None, b"2"), ScheduledEvent(0.5, "b", None, b"early")],
    ]
    assert [event.value for event in in_due_order(groups, ahead_s=1.5)] == [b"early", b"1", b"2"]


def test_rate_sets_the_due_times_and_no_rate_sets_none() -> None:
    assert [group[0].due_s for group in at_rate(some_events(3), topic="t", rate=4.0)] == [0.0, 0.25, 0.5]
    assert [group[0].due_s for group in at_rate(some_events(3), topic="t", rate=None)] == [0.0, 0.0, 0.0]


def test_outcomes_follow_the_asked_share_of_events() -> None:
    outcomes = OutcomeSchedule(topic="outcomes", share=0.25, delay_s=1.0, seed=1)
    groups = list(at_rate(some_events(4_000), topic="t", rate=100.0, outcomes=outcomes))
    with_outcome = [group for group in groups if len(group) == 2]
    assert 0.22 < len(with_outcome) / len(groups) < 0.28
    assert all(outcome.due_s >= event.due_s for event, outcome in with_outcome)
