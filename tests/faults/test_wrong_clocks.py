"""A machine whose clock is wrong: on a real Kafka, whose own time tells."""

import time
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition

from stream_scorer.runtime.kafka.broker_clock import ask_time
from tests.support.builders import an_event
from tests.support.workers import ROOT, Environment, stopped

DAYS = 40
# Loaded by every Python at its start, before the worker's own modules
WRONG_CLOCK = f"""
import time
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + {{sign}}{DAYS * 86_400}
time.time_ns = lambda: _time_ns() + {{sign}}{DAYS * 86_400 * 1_000_000_000}
"""


async def test_kafka_says_what_time_it_is_and_keeps_nothing_of_it(environment: Environment) -> None:
    partition = TopicPartition(environment.names.dead_letters, 0)
    before_ms = time.time() * 1000 - 1_000
    asked = await ask_time({"bootstrap_servers": environment.bootstrap}, environment.settings.group_name, partition)
    assert before_ms <= asked.kafka_ms <= time.time() * 1000 + 1_000
    assert (await environment.topics.read()).letters == []


@pytest.mark.parametrize("sign", ["+", "-"], ids=["ahead", "behind"])
@pytest.mark.fault("the worker's clock is 40 days off", promise="nothing is forgotten or expires; alert")
async def test_a_wrong_clock_forgets_nothing_and_says_so(environment: Environment, tmp_path: Path, sign: str) -> None:
    topics, events = environment.topics, [an_event(f"id-{number}") for number in range(6)]
    worker = await environment.start()
    await topics.observe(*events)
    await environment.settled()
    assert await stopped(worker) == 0
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong" / "sitecustomize.py").write_text(WRONG_CLOCK.format(sign=sign))
    wrong: Any = environment.worker()
    wrong._environ["PYTHONPATH"] = f"{tmp_path / 'wrong'}:{ROOT}"
    wrong.start()
    wrong.wait_ready()
    await topics.observe(*events, b"broken")
    account = await environment.account(prediction=6, redelivery=6, dead_letter=1)
    assert "more than worker.clock_skew_s_max" in wrong.log()
    assert f"clock_skew_seconds {sign.strip('+')}34" in wrong.metrics()
    # what it says does not outlive it
    assert await stopped(wrong) == 0
    await environment.start()
    await topics.observe(*events)
    assert (await environment.account()).ended - account.ended == {"redelivery": 6}
