"""Models that break their promises in a real worker: only what they can't score goes to the dead letters."""

import json
from pathlib import Path
from typing import Any

import pytest

from stream_scorer.models.synthetic.generator import Generator
from tests.models.faulty import TRUSTED_TYPES, Fault, a_bad_observation, save_faulty
from tests.support.kafka_environment import Account
from tests.support.reference_audit import codes_of, header
from tests.support.workers import Environment, ended, until

CULPRITS = 3


def settings(folder: Path) -> dict[str, Any]:
    return {"model__folder": str(folder), "model__trusted_types": TRUSTED_TYPES}


def an_event_that_sets_it_off(number: int) -> bytes:
    return json.dumps({"id": f"bad-{number}", "observation": a_bad_observation(SubjectAge=20 + number)}).encode()


def good_events(count: int, id_prefix: str = "ev-") -> list[bytes]:
    """Each of another observation: a worker remembers what a slow model said of one."""
    seen: dict[str, bytes] = {}
    for event in Generator(3).events(2 * count, 0, id_prefix):
        seen.setdefault(json.dumps(json.loads(event.value)["observation"]), event.value)
    return list(seen.values())[:count]


def letters(account: Account) -> list[tuple[str, list[str]]]:
    return [((header(one, "scorer.stage") or b"").decode(), codes_of(one)) for one in account.read.letters]


@pytest.mark.parametrize(
    ("fault", "stage", "code"),
    [
        ("raises", "score", "scoring_failed"),
        ("nan", "output", "invalid_output"),
        ("above one", "output", "invalid_output"),
        ("wrong length", "output", "invalid_output"),
    ],
)
@pytest.mark.fault("a model that raises on some rows", promise="those become dead letters, the rest is scored")
async def test_rows_that_a_model_fails_on_are_set_aside_and_the_rest_is_scored(
    environment: Environment, tmp_path: Path, fault: Fault, stage: str, code: str
) -> None:
    save_faulty(tmp_path / "model", fault)
    good = good_events(400)
    bad = [an_event_that_sets_it_off(number) for number in range(CULPRITS)]
    # among the good ones, and each of them a second time: what could not be scored is not known
    await environment.topics.observe(*good[:200], *bad, *good[200:], *bad)
    await environment.start(**settings(tmp_path / "model"))
    account = await environment.account(prediction=400, dead_letter=2 * CULPRITS)
    assert letters(account) == [(stage, [code])] * (2 * CULPRITS)


@pytest.mark.fault("a model that fails on everything", promise="the worker stops, nothing is dead-lettered")
async def test_a_model_that_fails_on_everything_stops_the_worker_and_floods_nothing(
    environment: Environment, tmp_path: Path
) -> None:
    topics, armed = environment.topics, tmp_path / "armed"
    save_faulty(tmp_path / "model", "raises", armed)
    worker = await environment.start(**settings(tmp_path / "model"))
    events = good_events(2_300)
    await topics.observe(*events[:300])
    await environment.settled()
    armed.touch()
    await topics.observe(*events[300:])
    assert await ended(worker) == 1
    assert "The model failed, not the data" in worker.log()
    # it takes a hundred rows to tell a broken model from broken rows
    read = await topics.read()
    assert len(read.predictions) == 300
    assert len(read.letters) < 100
    # a supervisor starts it again, and again nothing is written
    worker = environment.worker(**settings(tmp_path / "model")).start()
    await until(lambda: worker.exit_status() is not None, "it ends again")
    assert worker.exit_status() == 1
    armed.unlink()
    await environment.start(**settings(tmp_path / "model"))
    account = await environment.account()
    assert account.ended["dead_letter"] == len(read.letters)
    assert account.ended["prediction"] == 2_300 - len(read.letters)
