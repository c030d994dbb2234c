"""What a lane counts for its candidates without Kafka: when a record is due, and what a candidate's failure costs."""

from collections.abc import Sequence, Set
from typing import Any

import numpy as np
import pytest

from stream_scorer.core.observations.scoring import Codes, Probabilities
from stream_scorer.core.outcomes.join import JoinResult
from stream_scorer.core.quality.counts import QualityCounts
from stream_scorer.core.records.model_control import DeployedModels
from stream_scorer.core.records.model_evidence import ModelEvidence, decode_evidence
from stream_scorer.core.records.model_switch import FirstOffsets
from stream_scorer.core.rollout.evidence import last_revisions_of
from stream_scorer.core.rollout.evidence_counter import ModelPair
from stream_scorer.core.state.model_ids import ModelIds
from stream_scorer.runtime.lanes.batch import Batch, BatchResult
from stream_scorer.runtime.lanes.lane_evidence import OUTCOMES_A_RECORD, RECORD_EVERY_MS, LaneEvidence
from stream_scorer.runtime.rollout.serving_models import ServingModel, ServingModels, models_of
from tests.support.models import a_served_model, says

CHAMPION, SHADOW = a_served_model("a"), a_served_model("b")
FIRST, NEXT = FirstOffsets(100, 50), FirstOffsets(200, 80)
START_MS = 1_763_800_000_000


class FakeTopic:
    """What was recorded of the lane, and how often somebody looked."""

    topic = "evidence"

    def __init__(self) -> None:
        self.recorded: dict[ModelPair, ModelEvidence] = {}
        self.looks = 0

    async def last(self, partition: int, pairs: Set[ModelPair]) -> dict[ModelPair, ModelEvidence]:
        self.looks += 1
        return {pair: record for pair, record in self.recorded.items() if pair in pairs}


class CountedLane:
    """A lane's evidence; `failing`: digests of models whose answer is of no use."""

    def __init__(self, *, shadows: bool = True) -> None:
        ids = DeployedModels(champion=CHAMPION, shadows=(SHADOW,) if shadows else ())
        loaded = {model.digest: ServingModel(model.label, model.digest, says(0.75), False) for model in models_of(ids)}
        self.models = ServingModels(3, ids, loaded)
        self.asked, self.failing, self.topic = 0, set[str](), FakeTopic()
        topic: Any = self.topic
        self.evidence = LaneEvidence(2, topic, "updates", self._ask, "w")
        self.missing, self.counted = 0, QualityCounts()

    async def _ask(self, codes: Codes, model: ServingModel) -> Probabilities | str:
        self.asked += 1
        return "it raised" if model.digest in self.failing else np.asarray(model.predict(codes))

    async def count(
        self,
        offsets: list[int],
        now_ms: int = START_MS,
        first: FirstOffsets = FIRST,
        *,
        corrected: Sequence[int] = (),
    ) -> list[ModelEvidence]:
        """The records of a batch with outcomes of observations at these offsets, all true, and with corrections: those
        are not true after all."""
        state: Any = None
        batch, work = Batch(2, [], [], {}, state, self.models, first), BatchResult()
        answers = JoinResult(2, ModelIds())
        answers.first_ones = [(offset, 0, True) for offset in offsets]
        answers.corrected_ones = [(offset, 0, False) for offset in corrected]
        work.joined.append(answers)
        records = await self.evidence.count(batch, work, NEXT, now_ms)
        self.missing += work.stats.shadows_missing
        self.counted.add(work.stats.counted)
        found = [decode_evidence(record.value) for record in records]
        return [record for record in found if record is not None]

    def unrecorded(self) -> list[ModelEvidence]:
        """What the lane publishes when it stops."""
        found = [decode_evidence(record.value) for record in self.evidence.unrecorded(NEXT, START_MS)]
        return [record for record in found if record is not None]


async def test_a_champion_alone_is_not_asked_and_nobody_looks_anything_up() -> None:
    lane = CountedLane(shadows=False)
    assert await lane.count([100] * OUTCOMES_A_RECORD) == []
    assert (lane.asked, lane.topic.looks) == (0, 0)


async def test_the_first_batch_says_from_where_on_and_earlier_stops_count_nothing() -> None:
    (record,) = await CountedLane().count([98, 99, 100, 101])
    assert (record.first, record.next, record.partition, sum(record.outcomes)) == (FIRST, NEXT, 2, 2)
    assert record.recent == "77"


@pytest.mark.parametrize(("outcomes", "later_ms"), [(OUTCOMES_A_RECORD, 0), (1, RECORD_EVERY_MS)])
async def test_a_record_is_due_after_so_many_outcomes_or_so_long(outcomes: int, later_ms: int) -> None:
    lane = CountedLane()
    await lane.count([])
    assert await lane.count([100] * (outcomes - 1), START_MS + max(0, later_ms - 1)) == []
    (record,) = await lane.count([100], START_MS + later_ms)
    assert sum(record.outcomes) == outcomes
    assert await lane.count([], START_MS + later_ms + RECORD_EVERY_MS) == []  # nothing new


async def test_a_corrected_outcome_is_never_counted_again() -> None:
    lane = CountedLane()
    await lane.count([100, 101, 102])
    await lane.count([], corrected=[99, 101])  # the first of them was no outcome of the pair's
    (record,) = lane.unrecorded()
    assert (sum(record.outcomes), record.recent) == (3, "777")
    last = last_revisions_of(record).cells
    assert (last[7], last[6], last.sum()) == (2, 1, 3)


async def test_a_new_owner_goes_on_from_the_last_record() -> None:
    (record,) = await CountedLane().count([100, 100])
    heir = CountedLane()
    heir.topic.recorded = {ModelPair(record.champion, record.candidate): record}
    await heir.evidence.open(heir.models)
    assert await heir.count([100]) == []
    (later,) = await heir.count([], START_MS + RECORD_EVERY_MS)
    assert (sum(later.outcomes), heir.topic.looks) == (3, 1)


async def test_stops_between_a_record_and_its_new_owner_do_not_count() -> None:
    """They were scored, and the count of that was lost: their outcomes would be more than the stops."""
    (record,) = await CountedLane().count([100])
    heir = CountedLane()
    heir.topic.recorded = {ModelPair(record.champion, record.candidate): record}
    await heir.evidence.open(heir.models)
    await heir.count([NEXT.observations - 1, NEXT.observations, 299, 300], first=FirstOffsets(300, 90))
    (later,) = heir.unrecorded()
    assert (sum(later.outcomes), later.gaps, later.first) == (3, ((NEXT.observations, 300),), FIRST)


async def test_stops_of_a_pause_do_not_count_and_a_digest_deployed_again_goes_on_counting() -> None:
    lane = CountedLane()
    await lane.count([100])
    with_shadow, lane.models = lane.models, lane.models.without(SHADOW.digest)
    await lane.count([], first=FirstOffsets(400, 90))
    lane.models = with_shadow
    await lane.count([399, 400, 499, 500], first=FirstOffsets(500, 95))
    (record,) = lane.unrecorded()
    assert (sum(record.outcomes), record.gaps, record.first) == (3, ((400, 500),), FIRST)


async def test_a_pair_that_is_not_served_any_more_is_recorded_up_to_its_pause() -> None:
    lane = CountedLane()
    await lane.count([])
    await lane.count([100])
    lane.models = lane.models.without(SHADOW.digest)
    (record,) = await lane.count([], first=FirstOffsets(150, 60))
    assert record.next == FirstOffsets(150, 60)


async def test_a_lane_that_stops_writes_down_what_it_has_counted_since() -> None:
    lane = CountedLane()
    await lane.count([])
    assert await lane.count([100]) == []
    (record,) = lane.unrecorded()
    assert sum(record.outcomes) == 1
    assert lane.unrecorded() == []


async def test_what_is_not_served_any_more_is_written_down_with_the_next_batch() -> None:
    lane = CountedLane()
    await lane.count([])
    assert await lane.count([100]) == []
    lane.models = lane.models.without(SHADOW.digest)
    (record,) = await lane.count([100])
    assert sum(record.outcomes) == 1


async def test_outcomes_that_a_candidate_fails_at_are_not_counted_for_it_but_as_missing() -> None:
    lane = CountedLane()
    lane.failing = {SHADOW.digest}
    (record,) = await lane.count([100, 100])
    assert (sum(record.outcomes), lane.missing) == (0, 2)


async def test_quality_figures_say_what_a_shadow_would_have_said() -> None:
    lane = CountedLane()
    await lane.count([99, 100, 101])
    (shadow,) = lane.counted.models
    assert shadow == (SHADOW.label, "shadow")
    assert lane.counted[shadow].joined[..., 1, 1].sum() == 2  # the shadow came at offset 100
    assert lane.counted[shadow].squared_error.sum() == 2 * 0.25**2
