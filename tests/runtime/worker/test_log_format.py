"""What a worker's log shows, and what it keeps to itself."""

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest

from stream_scorer.runtime.worker.log_format import (
    SAID_AGAIN_AFTER_S,
    IdHash,
    JsonLines,
    RepeatFilter,
    TextLines,
    start_logging,
)


def said(name: str, message: str, *arguments: object, level: int = logging.WARNING) -> logging.LogRecord:
    return logging.LogRecord(name, level, __file__, 1, message, arguments, None)


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_what_a_library_repeats_is_shown_now_and_then_with_its_number() -> None:
    clock = Clock()
    seldom = RepeatFilter(clock)
    assert seldom(said("aiokafka.client", "Unable to reach %s", "one"))
    assert not any(seldom(said("aiokafka.client", "Unable to reach %s", number)) for number in range(500))
    assert seldom(said("aiokafka.client", "Something else"))
    assert seldom(said("aiokafka.conn", "Unable to reach %s", "one"))
    clock.now_s += SAID_AGAIN_AFTER_S
    again = said("aiokafka.client", "Unable to reach %s", "one")
    assert seldom(again)
    assert again.getMessage() == "Unable to reach one (and 500 times since the last line like this)"


def test_what_we_say_ourselves_is_always_shown() -> None:
    seldom = RepeatFilter(Clock())
    assert all(seldom(said("stream_scorer.runtime.lanes.lane", "lane %s open", number)) for number in range(9))


def test_many_different_sayings_are_not_remembered_for_ever() -> None:
    seldom = RepeatFilter(Clock())
    assert all(seldom(said("aiokafka.client", f"about {number}")) for number in range(3_000))
    assert len(seldom._said) <= 1_000


def test_a_line_stays_one_line_whatever_it_quotes() -> None:
    record = said("stream_scorer.runtime.lanes.lane", "a\nb\x1b[31m%s", "\r")
    assert TextLines().format(record).endswith(r"lane: a b\x1b[31m\r")
    assert json.loads(JsonLines().format(record))["message"] == r"a b\x1b[31m\r"


def test_an_exception_is_shown_by_its_kind_and_place_and_not_by_its_words() -> None:
    words = "SubjectAge 20, id ev-1"
    try:
        raise ValueError(words)
    except ValueError:
        record = logging.LogRecord("a", logging.ERROR, __file__, 1, "it failed", (), sys.exc_info())
    line = TextLines().format(record)
    assert "ValueError" in line
    assert "ev-1" not in line


def test_the_same_id_has_the_same_hash_under_one_key_and_another_under_another() -> None:
    one, other = IdHash("key"), IdHash("another")
    assert one(b"ev-1") == one(b"ev-1") != one(b"ev-2")
    assert one(b"ev-1") != other(b"ev-1")
    assert IdHash("")(b"ev-1") != IdHash("")(b"ev-1")


@pytest.fixture
def untouched() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_librarys_error_is_a_warning(untouched: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stderr", shown)
    start_logging("json", "info")
    logging.getLogger("aiokafka.client").error("away")
    logging.getLogger("aiokafka.client").info("chatter")
    logging.getLogger("stream_scorer.lanes").error("ours")
    lines = [json.loads(line) for line in shown.getvalue().splitlines()]
    assert [(line["level"], line["message"]) for line in lines] == [("warning", "away"), ("error", "ours")]
