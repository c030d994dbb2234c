"""Evidence records of a real worker, against a count of the test's own over predictions, shadow predictions and
outcomes."""

import json
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest

from stream_scorer.core.contract.observation_code import CODES
from stream_scorer.core.records.model_control import DeployedModels, ServedModel
from stream_scorer.core.records.model_evidence import CELLS, GROUPS, ModelEvidence, decode_evidence
from stream_scorer.core.records.shadow_prediction import decode_shadow_prediction
from stream_scorer.core.rollout.evidence import evidence_of
from stream_scorer.models.registry.model_directory import load_model
from tests.integration.test_worker_switches import LANES, events
from tests.support.builders import an_outcome
from tests.support.candidate_models import Models, uploaded
from tests.support.models import records_of
from tests.support.workers import Environment, stopped

# So many that each of four lanes has more than the outcomes after which a record is due
STOPS = 5_200
GROUP_CODES = CODES // GROUPS


async def evidence(environment: Environment, candidate: ServedModel) -> dict[int, list[ModelEvidence]]:
    """The records about a candidate, by lane."""
    found: dict[int, list[ModelEvidence]] = {}
    for record in await records_of(environment, environment.names.model_evidence):
        said = decode_evidence(record.value)
        if said is None:
            continue
        assert (record.partition, record.key) == (said.partition, said.key)
        if said.candidate == candidate:
            found.setdefault(record.partition, []).append(said)
    return found


class Stop(NamedTuple):
    """What the output topics say of a stop with an outcome; `says` as a record's cells: champion · 2 + candidate."""

    code: int
    says: int
    proba: float
    actual: bool
    lane: int
    offset: int
    outcome_offset: int


async def stops_of(environment: Environment, models: Models, candidate: ServedModel) -> list[Stop]:
    """The joined outcomes of first revision that shadows spoke of."""
    read = await environment.topics.read()
    first: dict[str, Any] = {}
    for record in read.updates:
        said = json.loads(record.value)
        if said["status"] == "joined" and said["revision"] == 1:
            first[said["id"]] = said
            verdicts = said.get("verdicts", {models.champion.label: said["prediction"]})
            assert verdicts[models.champion.label] == said["prediction"]
    codes, shadows = {}, {}
    for record in await records_of(environment, environment.names.shadow_predictions):
        pair = decode_shadow_prediction(record.value)
        codes[pair.id] = pair.observation_code
        shadows[pair.id] = pair.shadows[0].prediction
    if candidate != models.other:  # no shadow: it is asked here
        model = load_model(models.folder / "trees")
        predicted = model.score(np.array(list(codes.values()), dtype=np.int64)) >= candidate.threshold
        shadows = dict(zip(codes, predicted.tolist(), strict=True))
    found = []
    for record in read.predictions:
        said = json.loads(record.value)
        id_, source = said["id"], said["source"]
        if id_ in codes and id_ in first:
            says = said["prediction"] * 2 + shadows[id_]
            outcome = first[id_]
            assert outcome["verdicts"][candidate.label] == shadows[id_]
            found.append(
                Stop(
                    codes[id_],
                    says,
                    said["proba"],
                    outcome["true_class"],
                    source["partition"],
                    source["offset"],
                    outcome["source"]["offset"],
                )
            )
    return found


def assert_counted(record: ModelEvidence, stops: list[Stop]) -> None:
    counted = [
        stop
        for stop in stops
        if stop.lane == record.partition
        and stop.offset >= record.first.observations
        and stop.outcome_offset < record.next.outcomes
    ]
    cells = np.zeros((GROUPS, CELLS), dtype=np.int64)
    for stop in counted:
        cells[stop.code // GROUP_CODES, stop.says * 2 + stop.actual] += 1
    np.testing.assert_array_equal(evidence_of(record).outcomes.reshape(GROUPS, CELLS), cells)
    assert record.residual_sum == pytest.approx(sum(stop.actual - stop.proba for stop in counted))
    assert len(counted) > 1_000


async def send(environment: Environment, prefix: str, count: int = STOPS) -> list[str]:
    observed = events(count, prefix)
    await environment.topics.observe(*observed)
    await environment.settled()
    return [json.loads(event)["id"] for event in observed]


async def report(environment: Environment, ids: list[str], *, turned: bool = False) -> None:
    await environment.topics.report(*[an_outcome(id_, (number % 3 == 0) != turned) for number, id_ in enumerate(ids)])
    await environment.settled()


async def test_records_hold_what_topics_say_and_a_restart_goes_on_counting(
    environment: Environment, models: Models
) -> None:
    deployer = await uploaded(environment, models)
    await deployer.control(DeployedModels(champion=models.champion))
    worker = await environment.start()
    early = await send(environment, "early-", 400)
    await report(environment, early[:200])
    assert not await records_of(environment, environment.names.model_evidence)
    offset = await deployer.control(
        DeployedModels(champion=models.champion, shadows=(models.other,), previous=models.trees)
    )
    await deployer.until_served(offset, LANES, state="ready")
    ids = await send(environment, "stop-")
    await report(environment, early[200:] + ids)
    await report(environment, ids[:500], turned=True)  # corrections are no further outcomes
    before = {}
    for candidate in (models.other, models.trees):
        before[candidate.name] = records = await evidence(environment, candidate)
        stops = await stops_of(environment, models, candidate)
        for lane in LANES:
            first = records[lane][0]
            assert sum(first.outcomes) == 0
            assert_counted(records[lane][-1], stops)
    await stopped(worker)
    # what nobody of us wrote is passed over
    for lane in LANES:
        await environment.topics.producer.send_and_wait(environment.names.model_evidence, b"{", b"?", lane)
    await environment.start()
    await report(environment, await send(environment, "later-"))
    for candidate in (models.other, models.trees):
        records, stops = await evidence(environment, candidate), await stops_of(environment, models, candidate)
        for lane in LANES:
            last = before[candidate.name][lane][-1]
            now = records[lane][-1]
            assert now.first == last.first
            assert sum(now.outcomes) > sum(last.outcomes) + 1_000
            assert_counted(now, stops)
            assert now.gaps is msgspec.UNSET  # an orderly stop writes down all that was counted
            if candidate == models.other:
                assert np.all(evidence_of(now).scored.reshape(-1) >= evidence_of(now).cells.reshape(4, 2).sum(axis=1))
        # of the 500 that were corrected 167 had been true, and 333 are
        changes = np.array([records[lane][-1].corrections for lane in LANES]).reshape(-1, 2).sum(axis=0)
        assert changes.tolist() == [167 - 333, 333 - 167]
