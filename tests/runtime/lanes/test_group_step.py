"""Small batches of several lanes scored in one pass: what becomes of each is what becomes of it alone."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import msgspec
import pytest

from stream_scorer.core.contract.smoke_test_ids import smoke_id
from stream_scorer.core.observations.limits import Limits
from stream_scorer.core.observations.scoring import Codes, FailureThreshold, ModelFailure
from stream_scorer.core.records.model_switch import FirstOffsets
from stream_scorer.core.records.partitioner import partition_of
from stream_scorer.runtime.lanes.agents import Agents
from stream_scorer.runtime.lanes.batch import Batch, BatchResult
from stream_scorer.runtime.lanes.group_step import GROUP_RECORDS_MAX
from stream_scorer.runtime.lanes.join_step import OutcomeStep
from stream_scorer.runtime.lanes.score_step import ObservationStep
from stream_scorer.runtime.rollout.serving_models import ServingModels
from stream_scorer.runtime.state.pending_writes import PendingWrites
from tests.runtime.lanes.test_steps import NAMES, NOW_MS, FakeRecord, KeptStore
from tests.support.builders import an_event, an_outcome
from tests.support.models import champion_alone, says

PARTITIONS = 6
LIMITS = Limits(PARTITIONS, 65_536, 65_536, False, True, False, 3_600_000)


def ids_of(partition: int, count: int) -> list[str]:
    """So many ids that lie on a partition."""
    ids = (f"ev-{number}" for number in range(10_000))
    return [id_ for id_ in ids if partition_of(id_.encode(), PARTITIONS) == partition][:count]


class Asked:
    """A model that notes how many rows it is asked about at once, and says of each its number's last digits."""

    def __init__(self, broken: Callable[[Codes], bool] = lambda codes: False) -> None:
        self.rows: list[int] = []
        self._broken = broken

    def __call__(self, codes: Codes) -> object:
        self.rows.append(len(codes))
        if self._broken(codes):
            raise ValueError("no")
        return (codes % 1000) / 1000


def an_observing() -> ObservationStep:
    return ObservationStep(NAMES, LIMITS, FailureThreshold(0.5, 1_000), lambda: NOW_MS)


class Lanes:
    """What each lane has waiting, and what it knows."""

    def __init__(self, values: Sequence[Sequence[bytes]], models: Sequence[ServingModels]) -> None:
        self.stores = [KeptStore() for _ in values]
        for number, store in enumerate(self.stores):  # a model has another number in each lane
            for other in range(number):
                store.models.number(f"former{other}@0", "champion")
        self._values, self._models = values, models

    def works(self) -> list[tuple[Batch, BatchResult]]:
        return [
            (
                Batch(
                    partition,
                    [FakeRecord(10 * partition + place, value) for place, value in enumerate(values)],
                    (),
                    {},
                    PendingWrites(self.stores[partition]),  # type: ignore[arg-type]
                    self._models[partition],
                    FirstOffsets(10 * partition, 0),
                ),
                BatchResult(),
            )
            for partition, values in enumerate(self._values)
        ]


def compared(work: BatchResult) -> Any:
    """Everything that becomes of a batch but the times of its steps."""
    stats = work.stats
    scored = [(model, *(column.tolist() for column in sample)) for model, sample in stats.scored]
    published = work.published and (
        list(work.published.rows.ids),
        *(None if column is None else column.tolist() for column in work.published[1:]),
    )
    plain = {name: getattr(stats, name) for name in ("observations", "outcomes", "letters", "replayed", "quarantined")}
    return (
        {partition: [tuple(record) for record in records] for partition, records in work.outputs.items()},
        work.entries,
        scored,
        published,
        {name: dict(found) if isinstance(found, dict) else found for name, found in plain.items()},
        (list(stats.predicted_ms), list(stats.unscored), set(stats.steps_s) - {"validate"}),
    )


def events(partition: int) -> list[bytes]:
    return [an_event(id_, hour=partition + place) for place, id_ in enumerate(ids_of(partition, 3))]


UNLIKE: dict[str, Callable[[int], list[bytes]]] = {
    "plain": events,
    "nothing": lambda partition: [],
    "no JSON": lambda partition: [events(partition)[0], b"{", events(partition)[1]],
    "out of range": lambda partition: [an_event(ids_of(partition, 1)[0], hour=99), events(partition)[1]],
    "all broken": lambda partition: [b"", b"[]"],
    "too large": lambda partition: [events(partition)[0], b'"' + b"x" * 70_000 + b'"'],
    "an unknown field": lambda partition: [
        msgspec.json.encode(msgspec.json.decode(events(partition)[0]) | {"more": 1}),
        events(partition)[1],
    ],
    "elsewhere": lambda partition: [events(partition)[0], *events((partition + 1) % PARTITIONS)],
    "twice": lambda partition: [events(partition)[0], events(partition)[0], events(partition)[1]],
    "twice, unlike": lambda partition: [events(partition)[0], an_event(ids_of(partition, 1)[0], hour=23)],
    "a smoke test": lambda partition: [
        events(partition)[0],
        next(
            an_event(id_) for id_ in map(smoke_id, range(10_000)) if partition_of(id_.encode(), PARTITIONS) == partition
        ),
    ],
}


@pytest.mark.parametrize("place", [0, 2, 5], ids=["first", "among others", "last"])
@pytest.mark.parametrize("unlike", UNLIKE.values(), ids=UNLIKE)
async def test_a_batch_comes_to_the_same_in_a_group_as_alone(unlike: Callable[[int], list[bytes]], place: int) -> None:
    values = [unlike(partition) if partition == place else events(partition) for partition in range(PARTITIONS)]
    models = [champion_alone(Asked())] * PARTITIONS
    together, alone = Lanes(values, models), Lanes(values, models)
    grouped, each = together.works(), alone.works()
    await an_observing().run_group(grouped)
    for batch, work in each:
        await an_observing().run(batch, work)
    for (_, ours), (_, its) in zip(grouped, each, strict=True):
        assert compared(ours) == compared(its)
    assert [store.models.encode() for store in together.stores] == [store.models.encode() for store in alone.stores]


async def test_an_id_that_is_known_is_passed_over_in_a_group_too() -> None:
    lanes = Lanes([events(partition) for partition in range(PARTITIONS)], [champion_alone(Asked())] * PARTITIONS)
    first = lanes.works()
    await an_observing().run_group(first)
    lanes.stores[1].kept.update({id_: entry for id_, entry in first[1][1].entries.items() if entry is not None})
    again = lanes.works()
    await an_observing().run_group(again)
    assert [work.stats.observations["redelivered"] for _, work in again] == [0, 3, 0, 0, 0, 0]
    assert [work.stats.observations["predicted"] for _, work in again] == [3, 0, 3, 3, 3, 3]


async def test_a_model_is_asked_once_for_all_lanes_that_it_serves() -> None:
    one, other = Asked(), Asked()
    first, second = champion_alone(one), champion_alone(other)
    values = [events(partition) for partition in range(PARTITIONS)]
    works = Lanes(values, [first, first, second, first, second, second]).works()
    await an_observing().run_group(works)
    assert (one.rows, other.rows) == ([9], [9])
    assert all(work.stats.observations["predicted"] == 3 for _, work in works)


async def test_a_row_that_the_model_fails_at_is_a_dead_letter_of_its_own_lane() -> None:
    model = champion_alone(Asked(broken=lambda codes: bool((codes // 7 % 24 == 3).any())))
    values = [events(partition) for partition in range(PARTITIONS)]
    grouped, each = Lanes(values, [model] * PARTITIONS).works(), Lanes(values, [model] * PARTITIONS).works()
    await an_observing().run_group(grouped)
    for batch, work in each:
        await an_observing().run(batch, work)
    assert [compared(work) for _, work in grouped] == [compared(work) for _, work in each]
    assert sum(work.stats.observations["dead_lettered"] for _, work in grouped) > 0


class Channel:
    """What Faust's channels are to the agents."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Any] = asyncio.Queue()
        self.put = self._queue.put

    async def __aiter__(self) -> AsyncIterator[Any]:
        while True:
            yield await self._queue.get()


class App:
    """What the agents ask of Faust's app: channels, and a task for each agent."""

    def __init__(self) -> None:
        self.channel = Channel
        self.tasks: list[asyncio.Task[None]] = []

    def agent(self, channel: Channel, *, name: str) -> Callable[[Callable[[Channel], Any]], None]:
        return lambda agent: self.tasks.append(asyncio.create_task(agent(channel), name=name))


async def work(
    asked: Asked, values: Sequence[Sequence[bytes]], outcomes: Sequence[bytes] = (), *, rows_min: int = 1_000
) -> list[Any]:
    """What the agents answer lanes that ask them at the same time; outcomes are those of the first lane."""
    app = App()
    observing = ObservationStep(NAMES, LIMITS, FailureThreshold(0.5, rows_min), lambda: NOW_MS)
    agents = Agents(app, observing, OutcomeStep(NAMES, LIMITS, lambda: NOW_MS))  # type: ignore[arg-type]
    works = Lanes(values, [champion_alone(asked)] * PARTITIONS).works()
    if outcomes:
        works[0][0].outcomes = [FakeRecord(*each) for each in enumerate(outcomes)]
    try:
        return await asyncio.gather(*(agents.work(batch) for batch, _ in works), return_exceptions=True)
    finally:
        for task in app.tasks:
            task.cancel()
        await asyncio.gather(*app.tasks, return_exceptions=True)


async def test_lanes_that_ask_at_the_same_time_are_one_group() -> None:
    asked = Asked()
    found = await work(asked, [events(partition) for partition in range(PARTITIONS)], [an_outcome(ids_of(0, 1)[0])])
    assert asked.rows == [18]
    assert [work.stats.observations["predicted"] for work in found] == [3] * PARTITIONS
    assert [work.stats.outcomes["joined"] for work in found] == [1, 0, 0, 0, 0, 0]


async def test_a_group_ends_with_the_batch_that_makes_it_large() -> None:
    asked = Asked()
    large = [an_event(id_) for id_ in ids_of(1, GROUP_RECORDS_MAX)]
    assert len(large) == GROUP_RECORDS_MAX
    found = await work(asked, [events(0), large, events(2), events(3)])
    assert asked.rows == [3 + GROUP_RECORDS_MAX, 6]
    assert [work.stats.observations["predicted"] for work in found] == [3, GROUP_RECORDS_MAX, 3, 3]


async def test_a_fault_in_the_pass_fails_every_lane_of_the_group() -> None:
    asked = Asked(broken=lambda codes: True)
    found = await work(asked, [events(partition) for partition in range(PARTITIONS)], rows_min=1)
    assert [type(one) for one in found] == [ModelFailure] * PARTITIONS


async def test_failures_of_rows_in_groups_count_towards_the_threshold() -> None:
    observing = ObservationStep(NAMES, LIMITS, FailureThreshold(0.4, 20), lambda: NOW_MS)
    values = [events(partition) for partition in range(PARTITIONS)]
    await observing.run_group(Lanes(values, [champion_alone(says(0.5))] * PARTITIONS).works())
    broken = champion_alone(Asked(broken=lambda codes: True))
    with pytest.raises(ModelFailure):
        await observing.run_group(Lanes(values, [broken] * PARTITIONS).works())
