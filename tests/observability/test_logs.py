"""What a log may hold: no payload and no id in clear, whatever goes wrong; levels that mean something."""

import asyncio
import json
import logging
import sys
from pathlib import Path
from typing import Literal

import pytest

from stream_scorer.runtime.worker.log_format import IdHash, JsonLines, TextLines, demote_level
from tests.integration.broker_sources import Broker
from tests.observability.quoting_model import BAD_HOUR, QUOTING_TYPES, save_quoting
from tests.support.builders import an_event, an_outcome
from tests.support.workers import an_environment, ended, stopped

# Stands in ids, values, keys, headers and exceptions; nowhere in our code, settings or paths
PLANTED = "Zacharias-Quill"
KEY = "a key for tests"


@pytest.mark.parametrize("form", ["text", "json"])
async def test_no_planted_value_is_in_the_log_of_a_run_of_faults(
    form: Literal["text", "json"], broker: Broker, prefix: str, tmp_path: Path
) -> None:
    armed, model = tmp_path / "armed", tmp_path / "model"
    save_quoting(model, PLANTED, armed)
    async with an_environment(
        broker.bootstrap,
        prefix,
        tmp_path,
        logging__format=form,
        logging__level="debug",
        logging__id_hash_key=KEY,
        model__folder=str(model),
        model__trusted_types=QUOTING_TYPES,
        worker__join_window_s=2.0,
        worker__brake_rows_min=50,
    ) as environment:
        worker = await environment.start()
        await environment.topics.observe(*planted_events())
        await environment.topics.observe(an_event(f"{PLANTED}-5", hour=3), key=PLANTED.encode(), partition=0)
        await environment.topics.observe(
            an_event(f"{PLANTED}-6"), headers=[("traceparent", PLANTED.encode()), (PLANTED, b"\xff")]
        )
        await environment.topics.report(*planted_outcomes())
        await environment.settled()
        told = worker.log()
        assert "could not score 1 observations" in told
        assert IdHash(KEY)(f"{PLANTED}-bad".encode()) in told
        assert await stopped(worker) == 0
        # now every row fails: the model is at fault, and the worker ends
        worker = await environment.start()
        await asyncio.to_thread(armed.touch)
        await environment.topics.observe(*(an_event(f"{PLANTED}-at-fault-{number}") for number in range(200)))
        assert await ended(worker) == 1
        assert "The model failed, not the data" in worker.log()
        assert "scoring_failed (ValueError)" in worker.log()
        logs = await asyncio.to_thread(lambda: sorted(tmp_path.glob("*.log")))
        assert logs
        for log in logs:
            lines = log.read_text(errors="replace").splitlines()
            assert [line for line in lines if PLANTED.lower() in line.lower()] == []
            if form == "json":
                assert all(json.loads(line)["level"] for line in lines)


def planted_events() -> list[bytes]:
    """Events of which each is broken in another way, and two that differ under one id."""
    return [
        an_event(f"{PLANTED}-1"),
        an_event(f"{PLANTED}-1", hour=5),
        an_event(f"{PLANTED}-bad", hour=BAD_HOUR),
        an_event(f"{PLANTED}-2", SubjectRaceCode=PLANTED),
        an_event(f"{PLANTED}-3", **{PLANTED: 1}),
        f'{{"id": "{PLANTED}-4", "observation": '.encode(),
        f'{{"id": {{"name": "{PLANTED}"}}}}'.encode(),
        f'"{PLANTED}"'.encode(),
        PLANTED.encode() + b"\xff\x00",
    ]


def planted_outcomes() -> list[bytes]:
    """Outcomes that join, contradict, break the contract, and come for nothing."""
    return [
        an_outcome(f"{PLANTED}-1", True),
        an_outcome(f"{PLANTED}-1", False),
        an_outcome(f"{PLANTED}-1", PLANTED),
        an_outcome(f"{PLANTED}-never-observed", True),
        PLANTED.encode(),
    ]


def a_record(
    name: str = "stream_scorer.runtime.lanes.lane", level: int = logging.ERROR, text: str = "text"
) -> logging.LogRecord:
    """A record of the log, of what is being raised at the moment."""
    raised = sys.exc_info()
    return logging.LogRecord(name, level, __file__, 1, text, (), raised if raised[0] else None)


@pytest.mark.parametrize("form", [TextLines(), JsonLines()], ids=["text", "json"])
def test_a_traceback_says_where_and_what_kind_but_not_what_was_said(form: logging.Formatter) -> None:
    try:
        try:
            raise KeyError(PLANTED)
        except KeyError as error:
            raise RuntimeError(f"could not do {PLANTED}") from error
    except RuntimeError:
        shown = form.format(a_record())
    assert PLANTED not in shown
    assert "builtins.KeyError" in shown
    assert "builtins.RuntimeError" in shown
    assert "test_a_traceback_says_where" in shown


async def test_what_asyncio_prints_of_a_lost_task_is_left_out() -> None:
    async def fail() -> None:
        raise ValueError(PLANTED)

    task = asyncio.ensure_future(fail())
    await asyncio.wait([task])
    shown = TextLines().format(a_record("asyncio", text=f"Task exception was never retrieved\nfuture: {task!r}"))
    assert PLANTED in repr(task)
    assert PLANTED not in shown
    assert "never retrieved" in shown
    assert task.exception()


@pytest.mark.parametrize(
    ("name", "level", "shown"),
    [
        ("aiokafka.consumer.fetcher", logging.ERROR, "WARNING"),
        ("mode.worker", logging.ERROR, "WARNING"),
        ("aiokafka.conn", logging.CRITICAL, "CRITICAL"),
        ("stream_scorer.runtime.lanes.lane", logging.ERROR, "ERROR"),
    ],
    ids=["a library's error", "the frame's error", "a library's end", "ours"],
)
def test_an_error_is_what_we_call_one(name: str, level: int, shown: str) -> None:
    record = a_record(name, level)
    assert demote_level(record)
    assert record.levelname == shown


def test_a_line_stays_one_line() -> None:
    assert "\n" not in TextLines().format(a_record(text="first\nsecond"))
    assert json.loads(JsonLines().format(a_record(text="first\nsecond")))["message"] == "first second"


def test_the_same_key_gives_the_same_hash_and_another_another() -> None:
    assert IdHash("one")(b"ev-1") == IdHash("one")(b"ev-1")
    assert len({IdHash("one")(b"ev-1"), IdHash("two")(b"ev-1"), IdHash("one")(b"ev-2"), IdHash("")(b"ev-1")}) == 4
