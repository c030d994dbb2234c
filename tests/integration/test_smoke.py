"""A smoke test of a real worker: one known event in, its prediction out, and nothing of it in a figure of quality."""

import asyncio
import json
from typing import Any

import pytest
from typer import Typer
from typer.testing import CliRunner, Result

from stream_scorer.client import Predicted, Redelivered, Rejected, TimedOut
from stream_scorer.commands import quality as quality_command
from stream_scorer.commands import smoke as command
from stream_scorer.core.contract.columns import COLUMNS
from stream_scorer.core.contract.observation_code import encode_columns
from stream_scorer.core.contract.reasons import Code, Reason, Stage
from stream_scorer.core.contract.smoke_test_ids import is_smoke_id, smoke_id, smoke_test_indices
from stream_scorer.core.records.prediction import Prediction
from stream_scorer.core.records.record import Source
from stream_scorer.errors import TopicsError
from stream_scorer.operations.checks.smoke_test import CLIENT_ID, OBSERVATION, faults_of
from stream_scorer.operations.harness.worker_process import WorkerProcess
from tests.support.traffic import send, traffic
from tests.support.workers import Environment

ID = smoke_id(7)


def a_prediction(**changes: object) -> Prediction:
    said: dict[str, object] = {
        "id": ID,
        "prediction": True,
        "proba": 0.75,
        "threshold": 0.5,
        "model": "default@0123456789ab",
        "role": "champion",
        "observation_code": encode_columns(OBSERVATION),
        "source": Source(0, 3),
        "scored_at": "2026-01-01T00:00:00.000Z",
    }
    return Prediction(**(said | changes))  # type: ignore[arg-type]


def run(environment: Environment, command_: object, *arguments: str) -> Result:
    app = Typer()
    app.callback()(lambda: None)
    command_.register(app)  # type: ignore[attr-defined]
    options = ["--bootstrap", environment.bootstrap, "--prefix", environment.settings.topics.prefix, "--json"]
    return CliRunner().invoke(app, [*arguments, *options])


async def said_by(environment: Environment, command_: object, *arguments: str) -> tuple[int, dict[str, Any]]:
    result = await asyncio.to_thread(run, environment, command_, *arguments)
    assert result.stdout, result.exception
    return result.exit_code, json.loads(result.stdout)


async def test_the_known_event_is_predicted_and_moves_no_figure_of_quality(environment: Environment) -> None:
    await send(environment.topics, traffic(200))
    worker = await environment.start()
    await environment.settled()
    drawn, predicted = figures_of(worker), predicted_by(worker)
    _, before = await said_by(environment, quality_command, "quality")
    status, seen = await said_by(environment, command, "smoke", "--timeout", "60", "--model", "default")
    assert (status, seen["passed"], seen["faults"]) == (0, True, [])
    assert is_smoke_id(str(seen["id"]).encode())
    await environment.settled()
    _, after = await said_by(environment, quality_command, "quality")
    kept = {key for key in before if key not in ("seconds", "records_read")}
    assert {key: after[key] for key in kept} == {key: before[key] for key in kept}
    assert figures_of(worker) == drawn
    assert predicted_by(worker) == predicted + 1
    assert await headers_of(environment, str(seen["id"])) == [("client-id", CLIENT_ID.encode())]


# What is drawn of quality and drift: coverage stands on the predictions, drift on the others
FIGURES = ("stream_scorer_predictions_total", "stream_scorer_feature_observations", "stream_scorer_probabilities_total")


def figures_of(worker: WorkerProcess) -> list[str]:
    """The worker's figures of quality and drift, all above 0."""
    found = [line for line in worker.metrics().splitlines() if line.startswith(FIGURES) and not line.endswith(" 0.0")]
    assert found
    return found


def predicted_by(worker: WorkerProcess) -> float:
    """How many observations have ended in a prediction."""
    (line,) = [line for line in worker.metrics().splitlines() if 'observations_total{end="predicted"}' in line]
    return float(line.split()[1])


async def headers_of(environment: Environment, id_: str) -> list[tuple[str, bytes]]:
    """The headers of the observation that was sent under the id."""
    read = await environment.topics.read()
    (record,) = [record for record in read.observations if record.key == id_.encode()]
    return list(record.headers)


async def test_a_wrong_model_and_no_worker_each_end_with_status_1(environment: Environment) -> None:
    status, seen = await said_by(environment, command, "smoke", "--timeout", "1")
    assert (status, seen["passed"], seen["prediction"]) == (1, False, None)
    await environment.start()
    status, seen = await said_by(environment, command, "smoke", "--timeout", "60", "--model", "another")
    assert status == 1
    (fault,) = seen["faults"]
    assert "not another" in fault


async def test_an_environment_without_topics_is_told_so(environment: Environment) -> None:
    app = Typer()
    app.callback()(lambda: None)
    command.register(app)
    result = await asyncio.to_thread(
        CliRunner().invoke, app, ["smoke", "--bootstrap", environment.bootstrap, "--prefix", "nobody."]
    )
    assert isinstance(result.exception, TopicsError)


def test_the_known_event_keeps_the_contract() -> None:
    assert list(OBSERVATION) == [column.name for column in COLUMNS]
    assert [reason for column in COLUMNS if (reason := column.check(OBSERVATION[column.name]))] == []


@pytest.mark.parametrize("id_", ["smoke-1", "smoke-test", f"x{ID}", f"{ID}0", ID.upper()])
def test_an_id_of_a_producer_s_own_is_no_smoke_test_s(id_: str) -> None:
    assert not is_smoke_id(id_.encode())


def test_smoke_tests_are_found_among_other_ids() -> None:
    others = [b"ev-1", b"smoke-1", b"x" + ID.encode(), b"a\nsmoke-"]
    assert smoke_test_indices([]) == smoke_test_indices(others) == []
    assert smoke_test_indices([ID.encode(), *others, ID.encode(), smoke_id(8).encode()]) == [0, 5, 6]


REASON = Reason(Code.INVALID_VALUE, "hour", "wrong")


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        pytest.param(Rejected((REASON,), Stage.CONTRACT, None, None), "rejected at stage contract", id="refused"),
        pytest.param(TimedOut(None, "no answer within 5 s"), "no answer within 5 s", id="unanswered"),
        pytest.param(Redelivered(Source(0, 1), None), "redelivery", id="redelivered"),
        pytest.param(Predicted(a_prediction(id="other")), "id is other", id="another id"),
        pytest.param(Predicted(a_prediction(observation_code=1)), "of observation 1", id="another observation"),
        pytest.param(Predicted(a_prediction(proba=1.5)), "is not a probability", id="no probability"),
        pytest.param(Predicted(a_prediction(prediction=False)), "against the threshold", id="another decision"),
    ],
)
def test_every_wrong_answer_is_a_fault(answer: object, fault: str) -> None:
    (told,) = faults_of(answer, ID, None)  # type: ignore[arg-type]
    assert fault in told


@pytest.mark.parametrize("model", [None, "default", "default@0123456789ab"])
def test_a_right_answer_has_no_fault(model: str | None) -> None:
    assert faults_of(Predicted(a_prediction()), ID, model) == ()
