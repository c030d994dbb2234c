"""The join against a plain dictionary: every interleaving of records, batches, crashes and restores."""

from collections import Counter, defaultdict
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_scorer.core.contract.columns import Observation
from stream_scorer.core.contract.observation_code import CODES, encode_columns
from stream_scorer.core.contract.reasons import Code
from stream_scorer.core.observations.deduplication import Arrivals, deduplicate_observations, differing_columns
from stream_scorer.core.outcomes.batch_join import Outcomes, join_buffered, join_outcomes
from stream_scorer.core.outcomes.expiry import (
    KEPT_BYTES_MAX,
    RestoredRecord,
    buffer_record,
    expire_waiting,
    record_and_reason,
)
from stream_scorer.core.outcomes.join import WAITING_MAX
from stream_scorer.core.outcomes.joined_update_encoder import (
    BACK_CODES,
    JoinedColumns,
    encode_joined,
    observation_parts,
)
from stream_scorer.core.quality.counts import QualityCounts
from stream_scorer.core.records import outcome_update
from stream_scorer.core.records.clock import WindowClock
from stream_scorer.core.records.record import BufferedRecord, Source
from stream_scorer.core.records.timestamps import milliseconds
from stream_scorer.core.state.entry import BufferedOutcome, Entry, ScoredObservation, pack, unpack, waiting_since_ms
from stream_scorer.core.state.model_ids import ModelIds
from stream_scorer.core.state.restore import Records, restore_predictions, restore_updates
from tests.core.reference_join import Fact, PlainDictionary
from tests.core.simulated_lane import Fate, Happened, LaneSketch, Observed, Store, chunks, keep, meaning, restore
from tests.support.builders import an_observation

START_MS = 1_763_800_000_000
WINDOW_MS = 1_000
IDS = (b"ev-1", b"ev-2", 'straße "7" \\ %d'.encode())
CODE, OTHER_CODE, BROKEN_CODE = 7, 140_000_123, 99
FATES: tuple[Fate, ...] = ("commits", "dies before its commit", "dies after its commit")


@dataclass(frozen=True)
class Observe:
    id: bytes
    code: int
    age_ms: int


@dataclass(frozen=True)
class Learn:
    id: bytes
    true_class: bool
    age_ms: int


@dataclass(frozen=True)
class Run:
    observations: int
    outcomes: int
    fate: Fate
    expire: bool


@dataclass(frozen=True)
class Wait:
    ms: int


@dataclass(frozen=True)
class Disturb:
    how: str


# An age below zero is a producer's clock that runs ahead of ours.
AGES = st.sampled_from([0, 0, 40, 900, -500])
STEPS = st.one_of(
    st.builds(Observe, st.sampled_from(IDS), st.sampled_from([CODE, CODE, OTHER_CODE, BROKEN_CODE]), AGES),
    st.builds(Learn, st.sampled_from(IDS), st.booleans(), AGES),
    st.builds(Run, st.integers(0, 6), st.integers(0, 6), st.sampled_from(FATES), st.booleans()),
    st.builds(Wait, st.sampled_from([1, 300, 1_001, 2_500])),
    st.builds(Disturb, st.sampled_from(["restart", "lose store", "sweep"])),
)


class Play:
    """A lane and a plain dictionary that are given the same records."""

    def __init__(self) -> None:
        self.lane = LaneSketch(WINDOW_MS, frozenset([BROKEN_CODE]))
        self.plain = PlainDictionary(WINDOW_MS, self.lane.broken, WAITING_MAX)
        self.now_ms = START_MS

    def take(self, step: object) -> None:
        match step:
            case Observe(id_, code, age_ms):
                self.lane.observations.append(Observed(id_, code, self.now_ms - age_ms))
            case Learn(id_, true_class, age_ms):
                self.lane.outcomes.append(Happened(id_, true_class, self.now_ms - age_ms))
            case Wait(ms):
                self.now_ms += ms
            case Disturb("restart"):
                self.lane.restart()
            case Disturb("lose store"):
                self.lane.lose_store()
            case Disturb("sweep"):
                self.lane.sweep(self.now_ms)
            case Run(observations, outcomes, fate, expire):
                self.run(observations, outcomes, fate, expire)

    def run(self, observations: int, outcomes: int, fate: Fate, expire: bool) -> None:
        begin = list(self.lane.committed)
        published = self.lane.run(observations, outcomes, self.now_ms, fate, expire=expire)
        if fate == "dies before its commit":
            assert published == []
            return
        end = self.lane.committed
        expected: list[Fact] = []
        for offset in range(begin[0], end[0]):
            observed = self.lane.observations[offset]
            expected += self.plain.observe(observed.id, observed.code, offset, observed.timestamp_ms, self.now_ms)
        for offset in range(begin[1], end[1]):
            happened = self.lane.outcomes[offset]
            expected += self.plain.learn(happened.id, happened.true_class, offset, happened.timestamp_ms, self.now_ms)
        if expire:
            expected += self.plain.expire(self.now_ms)
        assert Counter(published) == Counter(expected)
        assert per_id(published) == per_id(expected)

    def rebuilt(self, *, updates_first: bool, chunk: int) -> tuple[Store, ModelIds]:
        store: Store = {}
        models = ModelIds([("somebody else's", "canary")])  # so that numbers differ from the lane's own
        if updates_first:
            restore(store, models, [], self.lane.updates, chunk)
            restore(store, models, self.lane.predictions, [], chunk)
        else:
            restore(store, models, self.lane.predictions, self.lane.updates, chunk)
        return store, models


def per_id(facts: list[Fact]) -> dict[object, list[Fact]]:
    """The updates of each id in their order."""
    updates_of = defaultdict(list)
    for fact in facts:
        if fact[0] in ("joined", "awaiting", "unknown"):
            updates_of[fact[1]].append(fact)
    return dict(updates_of)


@settings(max_examples=300, deadline=None)
@given(steps=st.lists(STEPS, max_size=40), chunk=st.integers(1, 9))
def test_a_lane_says_what_a_plain_dictionary_says_through_batches_crashes_and_restores(
    steps: list[object], chunk: int
) -> None:
    play = Play()
    for step in steps:
        play.take(step)
    play.run(len(steps), len(steps), "commits", expire=False)
    lane, starts_ms = play.lane, play.now_ms - WINDOW_MS
    kept = meaning(lane.store, lane.models, starts_ms)
    for updates_first in (False, True):
        store, models = play.rebuilt(updates_first=updates_first, chunk=chunk)
        assert meaning(store, models, starts_ms) == kept


@settings(max_examples=150, deadline=None)
@given(steps=st.lists(STEPS, max_size=40))
def test_every_offset_ends_once(steps: list[object]) -> None:
    play = Play()
    for step in steps:
        play.take(step)
    play.run(len(steps), len(steps), "commits", expire=False)
    play.now_ms += 2 * WINDOW_MS
    play.run(0, 0, "commits", expire=True)
    facts = play.lane.facts
    observed = [fact[3] if fact[0] == "predicted" else fact[1] for fact in facts if fact[0] in OF_OBSERVATIONS]
    ended = [fact[1] if fact[0] == "repeat" else fact[-1] for fact in facts if fact[0] in TERMINAL]
    assert sorted(map(int_, observed)) == list(range(len(play.lane.observations)))
    assert sorted(map(int_, ended)) == list(range(len(play.lane.outcomes)))


OF_OBSERVATIONS = ("predicted", "redelivered", "conflict", "failed")
TERMINAL = ("joined", "unknown", "repeat")


def int_(value: object) -> int:
    assert isinstance(value, int)
    return value


@settings(max_examples=150, deadline=None)
@given(steps=st.lists(STEPS, max_size=40))
def test_counted_less_retracted_is_the_last_revision_of_each_prediction(steps: list[object]) -> None:
    play = Play()
    for step in steps:
        play.take(step)
    last: dict[object, outcome_update.Joined] = {}
    for record in play.lane.updates:
        update = outcome_update.decode_update(record.value or b"")
        if isinstance(update, outcome_update.Joined):
            last[record.key, update.scored_at] = update
    expected = QualityCounts()
    for update in last.values():
        code = encode_columns({name: getattr(update.observation, name) for name in an_observation()})
        expected[update.model, update.role].count_one(code, update.proba, update.prediction, update.true_class)
    counted = play.lane.quality.total()
    assert (counted.joined == expected.total().joined).all()
    assert np.allclose(counted.squared_error, expected.total().squared_error)


# What single cases look like, for people


def a_prediction(**changes: object) -> ScoredObservation:
    fields: dict[str, object] = {
        "code": CODE,
        "proba": 0.6,
        "prediction": True,
        "model": 0,
        "offset": 40,
        "event_ms": START_MS,
        "scored_ms": START_MS + 20,
    }
    return ScoredObservation(**(fields | changes))  # type: ignore[arg-type]


MODELS = ModelIds([("demo@0123456789ab", "champion")])
CLOCK = WindowClock(START_MS + 5_000, 60_000)


def no_record(position: int) -> BufferedRecord:
    raise AssertionError(f"the record at {position} was asked for, yet its outcome need not wait")


def test_a_joined_update_says_everything_about_its_prediction_and_outcome() -> None:
    outcomes = Outcomes([b"ev-1"], [True], [9], [START_MS + 1_500])
    answers = join_outcomes(outcomes, [pack(Entry(a_prediction()))], no_record, partition=3, models=MODELS, clock=CLOCK)
    (record,) = answers.updates
    assert record.key == b"ev-1"
    assert record.timestamp_ms == START_MS + 1_500
    assert outcome_update.decode_update(record.value or b"") == outcome_update.Joined(
        id="ev-1",
        revision=1,
        true_class=True,
        prediction=True,
        proba=0.6,
        correct=True,
        model="demo@0123456789ab",
        role="champion",
        observation=Observation("W", "M", "H", "Stop Sign", "V", True, "O", 10, 1, "Monday"),
        scored_at="2025-11-22T08:26:40.020Z",
        outcome_at="2025-11-22T08:26:41.500Z",
        delay_s=1.5,
        source=Source(3, 9),
    )


def test_an_outcome_from_the_future_happened_now() -> None:
    outcomes = Outcomes([b"ev-1"], [True], [9], [CLOCK.now_ms + 86_400_000])
    answers = join_outcomes(outcomes, [pack(Entry(a_prediction()))], no_record, partition=3, models=MODELS, clock=CLOCK)
    update = outcome_update.decode_update(answers.updates[0].value or b"")
    assert isinstance(update, outcome_update.Joined)
    assert update.delay_s == 5.0


def test_another_class_is_the_next_revision_and_the_same_class_is_a_repeat() -> None:
    outcomes = Outcomes([b"ev-1"] * 4, [True, True, False, True], [1, 2, 3, 4], [START_MS] * 4)
    answers = join_outcomes(
        outcomes, [pack(Entry(a_prediction()))] * 4, no_record, partition=3, models=MODELS, clock=CLOCK
    )
    revisions = [outcome_update.decode_update(record.value or b"") for record in answers.updates]
    assert [(each.revision, each.true_class) for each in revisions if isinstance(each, outcome_update.Joined)] == [
        (1, True),
        (2, False),
        (3, True),
    ]
    assert (answers.joined, answers.corrections, answers.repeats) == (1, 2, [2])


TRACE = [("traceparent", b"00-aa-bb-01")]


def test_an_update_carries_its_outcomes_trace_whichever_way_it_is_joined() -> None:
    outcomes = Outcomes(
        [b"alone", b"twice", b"twice", b"early"],
        [True, True, False, True],
        [1, 2, 3, 4],
        [START_MS] * 4,
        {1: TRACE, 3: TRACE},
    )
    waits = BufferedRecord(START_MS, b"{}", b"early", (("client", b"p"), *TRACE))
    packed = pack(Entry(a_prediction()))
    found = [packed, packed, packed, None]
    answers = join_outcomes(outcomes, found, lambda _: waits, partition=3, models=MODELS, clock=CLOCK)
    assert [(update.key, update.headers) for update in answers.updates] == [
        (b"alone", TRACE),
        (b"twice", []),
        (b"twice", TRACE),
        (b"early", []),
    ]
    early = answers.entries[b"early"]
    assert early is not None
    joined = join_buffered([b"early"], [packed], [early], partition=3, models=MODELS)
    assert [update.headers for update in joined.updates] == [TRACE]
    late = WindowClock(START_MS + 60_001, 60_000)
    given_up = expire_waiting([b"early"], [early], partition=3, models=MODELS, clock=late)
    assert [update.headers for update in given_up.updates] == [TRACE]


def test_the_oldest_of_too_many_contradicting_early_outcomes_is_given_up() -> None:
    count = WAITING_MAX + 1
    outcomes = Outcomes([b"ev-1"] * count, [bool(n % 2) for n in range(count)], list(range(count)), [START_MS] * count)
    answers = join_outcomes(
        outcomes,
        [None] * count,
        lambda position: BufferedRecord(START_MS, b"%d" % position, b"ev-1"),
        partition=3,
        models=MODELS,
        clock=CLOCK,
    )
    assert [(given_up.offset, given_up.record.value) for given_up in answers.given_up] == [(0, b"0")]
    packed = answers.entries[b"ev-1"]
    assert packed is not None
    assert [waiting.offset for waiting in unpack(packed).waiting] == list(range(1, count))


def test_an_outcome_that_waits_and_is_read_twice_is_a_repeat() -> None:
    waiting = (
        BufferedOutcome(True, START_MS, 5, BufferedRecord(START_MS)),
        BufferedOutcome(False, START_MS, 6, BufferedRecord(START_MS)),
    )
    outcomes = Outcomes([b"ev-1"], [True], [5], [START_MS])
    answers = join_outcomes(outcomes, [pack(Entry(None, waiting))], no_record, partition=3, models=MODELS, clock=CLOCK)
    assert answers.repeats == [5]
    assert answers.updates == []


def test_an_early_outcome_finds_the_repeat_of_an_observation_that_could_not_be_scored() -> None:
    play = Play()
    play.take(Learn(b"ev-1", True, 0))
    play.run(0, 1, "commits", expire=False)
    play.take(Observe(b"ev-1", BROKEN_CODE, 0))
    play.take(Observe(b"ev-1", BROKEN_CODE, 0))
    play.take(Observe(b"ev-1", CODE, 0))
    play.take(Observe(b"ev-1", OTHER_CODE, 0))
    play.run(4, 0, "commits", expire=False)
    assert [fact[0] for fact in play.lane.facts] == ["awaiting", "failed", "failed", "conflict", "predicted", "joined"]


def test_the_outcome_of_a_dead_lettered_observation_waits_until_it_is_unknown() -> None:
    play = Play()
    play.take(Observe(b"ev-1", BROKEN_CODE, 0))
    play.take(Learn(b"ev-1", True, 0))
    play.run(1, 1, "commits", expire=True)
    play.take(Wait(WINDOW_MS + 1))
    play.run(0, 0, "commits", expire=True)
    assert [fact[0] for fact in play.lane.facts] == ["failed", "awaiting", "unknown"]
    assert play.lane.store == {}


def test_outcomes_still_wait_where_a_slower_clock_thinks_the_prediction_young() -> None:
    waiting = (BufferedOutcome(True, START_MS, 5, BufferedRecord(START_MS)),)
    packed = pack(Entry(a_prediction(), waiting))
    outcomes = Outcomes([b"ev-1"], [True], [9], [START_MS])
    answers = join_outcomes(outcomes, [packed], no_record, partition=3, models=MODELS, clock=CLOCK)
    left = answers.entries[b"ev-1"]
    assert left is not None
    assert unpack(left).waiting == waiting
    assert answers.joined == 1


def test_an_expired_outcome_becomes_the_dead_letter_of_its_own_record() -> None:
    record = RestoredRecord("stops.outcomes", 3, 17, START_MS, b"other key", b'{"id": "ev-1"}', [("client", b"p-1")])
    waiting = BufferedOutcome(True, START_MS, 17, buffer_record(record))
    late = WindowClock(START_MS + 60_001, 60_000)
    answers = expire_waiting([b"ev-1"], [pack(Entry(None, (waiting,)))], partition=3, models=MODELS, clock=late)
    assert answers.entries == {b"ev-1": None}
    again, reason = record_and_reason(answers.given_up[0], "stops.outcomes", 3)
    assert again == record
    assert (reason.code, reason.message) == (Code.UNKNOWN_ID, 'Observation ID: "ev-1" does not exist')
    update = outcome_update.decode_update(answers.updates[0].value or b"")
    assert update == outcome_update.Unknown("ev-1", True, "2025-11-22T08:26:40.000Z", Source(3, 17))


@pytest.mark.parametrize("timestamp_ms", [-1, -2, -(1 << 63), 0, (1 << 63) - 1])
def test_an_outcome_waits_whatever_the_timestamp_of_its_record(timestamp_ms: int) -> None:
    """Brokers take any from a producer; what is kept is read back from the state and from its update."""
    record = RestoredRecord("stops.outcomes", 3, 17, timestamp_ms, None, b"{}", [("none", None)])  # type: ignore[list-item]
    outcomes = Outcomes([b"ev-1"], [True], [17], [timestamp_ms])
    answers = join_outcomes(outcomes, [None], lambda _: buffer_record(record), partition=3, models=MODELS, clock=CLOCK)
    packed = answers.entries[b"ev-1"]
    assert packed is not None
    (waiting,) = unpack(packed).waiting
    assert waiting.record.timestamp == max(timestamp_ms, -1)
    assert waiting_since_ms(packed) == waiting.outcome_ms <= CLOCK.now_ms
    update = outcome_update.decode_update(answers.updates[0].value or b"")
    assert isinstance(update, outcome_update.AwaitingPrediction)
    assert update.record == waiting.record


def test_an_outcome_waits_as_long_as_the_join_window() -> None:
    waiting = BufferedOutcome(True, START_MS, 17, BufferedRecord(START_MS))
    at_its_end = WindowClock(START_MS + 60_000, 60_000)
    packed = pack(Entry(None, (waiting,)))
    answers = expire_waiting([b"ev-1", b"gone"], [packed, None], partition=3, models=MODELS, clock=at_its_end)
    assert answers.entries == {}
    assert answers.updates == []


def test_a_record_too_large_for_an_update_is_cut_and_says_so() -> None:
    value = b"{" + b" " * KEPT_BYTES_MAX
    kept = buffer_record(RestoredRecord("stops.outcomes", 3, 17, START_MS, b"k", value, [("name", b"v" * 200_000)]))
    assert kept.value == value[: 64 * 1024]
    assert kept.headers == ()
    assert kept.truncation is not None
    assert (kept.truncation.bytes, kept.truncation.headers_bytes) == (len(value), 200_008)


def test_a_conflict_points_to_the_first_one_and_names_the_columns_that_differ() -> None:
    one = encode_columns(an_observation())
    other = encode_columns(an_observation(SubjectAge=21, hour=24))
    batch = Arrivals([b"ev-1"], [other], [77])
    found: list[bytes | None] = [pack(Entry(a_prediction(code=one)))]
    admission = deduplicate_observations(batch, found, window_starts_ms=CLOCK.window_starts_ms)
    ((position, reason),) = admission.conflicts
    assert position == 0
    assert reason.message == "Observation ID: 'ev-1' already exists"
    assert reason.details == {"first_offset": 40, "columns": ["SubjectAge", "hour"]}
    assert differing_columns(one, one) == []


def test_a_setting_makes_an_identical_repeat_a_conflict_without_differing_columns() -> None:
    batch = Arrivals([b"ev-1"], [CODE], [77])
    found: list[bytes | None] = [pack(Entry(a_prediction()))]
    starts_ms = CLOCK.window_starts_ms
    admission = deduplicate_observations(batch, found, window_starts_ms=starts_ms, repeats_are_conflicts=True)
    assert [reason.details for _, reason in admission.conflicts] == [{"first_offset": 40, "columns": []}]
    assert admission.redelivered == []


@given(codes=st.lists(st.integers(0, CODES - 1), min_size=1, max_size=20), seed=st.integers(0, 2**32))
def test_updates_encoded_by_columns_are_those_encoded_one_by_one(codes: list[int], seed: int) -> None:
    random, count = np.random.default_rng(seed), len(codes)
    models = ModelIds([('odd "%" näme@1', "champion"), ("other@2", "canary")])
    ids = [random.choice(["a", 'quo"te', '","', "back\\slash", "naïve", "\x00\n", "100%d"]) for _ in codes]
    columns = JoinedColumns(
        ids=[id_.encode() for id_ in ids],
        offsets=random.integers(0, 2**44, count).tolist(),
        codes=np.array(codes),
        probas=random.random(count),
        predictions=random.random(count) < 0.5,
        actual=random.random(count) < 0.5,
        models=random.integers(0, 2, count),
        scored_ms=random.integers(0, 2**42, count),
        event_ms=random.integers(0, 2**42, count),
        outcome_ms=random.integers(0, 2**42, count),
    )
    for row, value in enumerate(encode_joined(columns, 3, models)):
        decoded = outcome_update.decode_update(value)
        assert isinstance(decoded, outcome_update.Joined)
        assert outcome_update.encode_update(decoded) == value
        assert (decoded.model, decoded.role) == models[int(columns.models[row])]
        assert decoded.id == ids[row]
        assert milliseconds(decoded.scored_at) == columns.scored_ms[row]
        assert milliseconds(decoded.outcome_at) == columns.outcome_ms[row]
        assert round(decoded.delay_s * 1000) == columns.outcome_ms[row] - columns.event_ms[row]
        assert decoded.correct == (decoded.prediction == decoded.true_class)
        assert encode_columns({name: getattr(decoded.observation, name) for name in an_observation()}) == codes[row]


def test_the_parts_of_observations_cover_every_code() -> None:
    front, back = observation_parts()
    assert len(front) * len(back) == CODES
    assert len(back) == BACK_CODES


@pytest.mark.parametrize(
    "value",
    [None, b"", b"{}", b"not json", b'{"status":"joined"}', b"[]", b"\xff"],
    ids=["tombstone", "empty", "no fields", "not json", "half", "a list", "binary"],
)
def test_foreign_records_on_our_topics_say_nothing(value: bytes | None) -> None:
    play = Play()
    play.take(Observe(b"ev-1", CODE, 0))
    play.take(Learn(b"ev-1", True, 0))
    play.run(1, 1, "commits", expire=False)
    models, store = ModelIds(), dict[bytes, bytes]()
    for topic, read in ((play.lane.predictions, restore_predictions), (play.lane.updates, restore_updates)):
        (ours,) = chunks(topic, 9)
        records = Records([b"x", *ours.keys, None], [value, *ours.values, b"{}"], [0, *ours.timestamps_ms, 0])
        restored = read(records, [store.get(key or b"") for key in records.keys], models)
        assert restored.unreadable == [0, 2]
        keep(store, restored.entries)
    assert meaning(store, models, 0) == meaning(play.lane.store, play.lane.models, 0)
