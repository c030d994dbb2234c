"""A client that asks while its worker is killed and its broker goes away: each answer is true, and none is missing."""

import asyncio
import random
from pathlib import Path

import pytest

from stream_scorer.client import Answer, Client, Predicted, Redelivered
from stream_scorer.operations.harness.worker_process import WorkerProcess
from stream_scorer.operations.local_broker import LocalBroker
from tests.support.builders import an_observation
from tests.support.workers import an_environment

EVENTS = 4_000
# Longer than Kafka takes to abort what a killed worker left open
TIMEOUT_S = 90.0


@pytest.mark.long
@pytest.mark.fault(
    "workers killed and the broker away while clients wait for results",
    promise="every result that a client got is true",
)
async def test_answers_are_true_through_kills_and_an_outage(
    own_broker: LocalBroker, prefix: str, tmp_path: Path
) -> None:
    draw = random.Random(7)
    # a fifth are repeats of what was asked before them
    numbers = [number if number % 5 else draw.randrange(max(0, number - 1_000), number + 1) for number in range(EVENTS)]
    asked = [(f"id-{number}", an_observation(SubjectAge=10 + number % 91)) for number in numbers]
    async with (
        an_environment(own_broker.bootstrap, prefix, tmp_path) as environment,
        Client(own_broker.bootstrap, prefix=prefix) as client,
    ):
        worker = await environment.start()
        faults = asyncio.create_task(kill_and_start_again(worker, own_broker))
        answers: list[Answer] = []
        async for answer in client.score_many(asked, timeout_s=TIMEOUT_S, at_once=300):
            answers.append(answer)
            if len(answers) % 200 == 0:
                await asyncio.sleep(0.3)  # so that the faults come in between
        faults.cancel()
    told: dict[str, Predicted] = {}
    for (id_, _), answer in zip(asked, answers, strict=True):
        if id_ in told:
            assert isinstance(answer, Redelivered)
            assert answer.prediction == told[id_].prediction
        else:
            assert isinstance(answer, Predicted)
            assert answer.prediction.id == id_
            told[id_] = answer


async def kill_and_start_again(worker: WorkerProcess, broker: LocalBroker) -> None:
    """Twice the worker is killed, once the broker; then the worker is started again whenever it ends."""
    await asyncio.sleep(1.0)
    worker.kill()
    worker.start()
    await asyncio.to_thread(worker.wait_ready)
    await asyncio.sleep(0.5)
    await asyncio.to_thread(broker.kill)
    await asyncio.to_thread(broker.restart)
    worker.kill()
    while True:
        if worker.exit_status() is not None:
            worker.start()
        await asyncio.sleep(0.5)
