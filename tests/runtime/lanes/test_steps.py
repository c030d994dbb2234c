"""The two steps of a batch without Kafka: what they note for metrics. Smoke tests are in no figure of quality or drift,
and a second look has its time."""

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
import pytest

from stream_scorer.core.contract.smoke_test_ids import smoke_id
from stream_scorer.core.observations.limits import Limits
from stream_scorer.core.observations.scoring import FailureThreshold
from stream_scorer.core.records.model_switch import FirstOffsets
from stream_scorer.core.state.model_ids import ModelIds
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.lanes.batch import Batch, BatchResult
from stream_scorer.runtime.lanes.join_step import OutcomeStep
from stream_scorer.runtime.lanes.score_step import ObservationStep
from stream_scorer.runtime.state.pending_writes import PendingWrites
from tests.support.builders import an_event, an_outcome
from tests.support.models import champion_alone, says

NOW_MS = 1_763_800_000_000
MODEL: Final[tuple[str, Literal["champion"]]] = "stops@aaaaaaaaaaaa", "champion"
NAMES = TopicNames("t.")
SMOKE = smoke_id(7)


class KeptStore:
    """What a lane's state asks of a store, in a dictionary."""

    def __init__(self) -> None:
        self.models = ModelIds()
        self.kept: dict[bytes, bytes] = {}

    def get_many(self, ids: Sequence[bytes]) -> list[bytes | None]:
        return [self.kept.get(id_) for id_ in ids]


class FakeRecord:
    """A record as the client's decoder makes it."""

    def __init__(self, offset: int, value: bytes) -> None:
        self.offset, self.value, self.key = offset, value, None
        self.timestamp, self.headers = NOW_MS, ()


class Steps:
    """Both steps on one partition, on a store that nothing is written to but by `keep`."""

    def __init__(self) -> None:
        limits = Limits(1, 65_536, 65_536, True, False, False, 3_600_000)
        self.observing = ObservationStep(NAMES, limits, FailureThreshold(0.5, 10), lambda: NOW_MS)
        self.models = champion_alone(says(0.75))
        self.joining = OutcomeStep(NAMES, limits, lambda: NOW_MS)
        self.store = KeptStore()

    async def run(self, observations: Sequence[bytes] = (), outcomes: Sequence[bytes] = ()) -> BatchResult:
        """What becomes of a batch; its entries are kept for the next."""
        seen, happened = ([FakeRecord(*each) for each in enumerate(values)] for values in (observations, outcomes))
        state = PendingWrites(self.store)  # type: ignore[arg-type]
        batch = Batch(0, seen, happened, {}, state, self.models, FirstOffsets(0, 0))
        work = BatchResult()
        await self.observing.run(batch, work)
        if outcomes:
            self.joining.run(batch, work)
        self.store.kept.update({id_: entry for id_, entry in work.entries.items() if entry is not None})
        return work


async def test_a_smoke_test_is_predicted_and_stands_in_no_figure_of_quality_or_drift() -> None:
    noted = (await Steps().run([an_event("a", hour=1), an_event(SMOKE), an_event("b", hour=2)])).stats
    assert noted.observations["predicted"] == len(noted.predicted_ms) == 3
    ((model, sample),) = noted.scored
    assert (model, *map(len, sample)) == (MODEL, 2, 2, 2)
    alone = (await Steps().run([an_event("a", hour=1), an_event("b", hour=2)])).stats
    np.testing.assert_array_equal(sample.codes, alone.scored[0][1].codes)


async def test_a_batch_of_nothing_but_a_smoke_test_counts_nothing() -> None:
    noted = (await Steps().run([an_event(SMOKE)])).stats
    assert noted.observations["predicted"] == 1
    assert [len(sample.codes) for _, sample in noted.scored] == [0]


async def test_an_id_that_only_looks_like_a_smoke_test_s_counts() -> None:
    noted = (await Steps().run([an_event("smoke-1")])).stats
    assert [len(sample.codes) for _, sample in noted.scored] == [1]


@pytest.mark.parametrize("at_once", [True, False], ids=["with its observation", "later"])
async def test_an_outcome_for_a_smoke_test_is_joined_and_counts_nowhere(at_once: bool) -> None:
    steps = Steps()
    observations = [an_event("a"), an_event(SMOKE)]
    if not at_once:
        await steps.run(observations)
    outcomes = [an_outcome(SMOKE), an_outcome("a"), an_outcome(SMOKE, False)]
    noted = (await steps.run(observations if at_once else (), outcomes)).stats
    assert (noted.outcomes["joined"], noted.outcomes["corrected"]) == (2, 1)
    assert noted.counted[MODEL].joined.sum() == 1
    assert noted.retracted[MODEL].joined.sum() == 0


async def test_only_a_batch_with_faults_in_it_has_a_time_of_validation() -> None:
    steps = Steps()
    assert "validate" not in (await steps.run([an_event()], [an_outcome()])).stats.steps_s
    steps_s = (await steps.run([b"{", an_event(hour=99)])).stats.steps_s
    assert steps_s["validate"] > 0
    assert steps_s["decode"] > 0
    both_s = (await steps.run([b"{"], [b"{"])).stats.steps_s
    assert min(both_s["validate"], both_s["decode"], both_s["join"]) > 0


def test_the_time_of_a_step_adds_up_and_a_block_never_entered_takes_none() -> None:
    noted = BatchResult().stats
    noted.timing("validate")
    assert noted.steps_s == {}
    with noted.timing("validate"):
        pass
    first_s = noted.steps_s["validate"]
    with noted.timing("validate"):
        pass
    assert noted.steps_s["validate"] > first_s
