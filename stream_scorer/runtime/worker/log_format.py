"""How a worker's log looks: one event a line, as text for people or as JSON for machines.

Invariant: never a payload, never an id in clear, not even in what an exception says; ERROR means that somebody must
act.
"""

import json
import logging
import math
import secrets
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import Literal

from stream_scorer.core.records.timestamps import rfc3339

# Libraries that tell on INFO what we say better, or not at all
QUIET = ("aiokafka", "faust", "mode", "aiohttp", "asyncio")
# When a library may say the same again, and of how many sayings that is remembered
SAID_AGAIN_AFTER_S = 10.0
SAYINGS_MAX = 1_000

# Characters of a hash: two of a million ids are alike with a chance of 1 in 500
HASH_BYTES = 6


class IdHash:
    """Ids as a log may show them: the same id gives the same hash as long as the key is the same. Without the key
    nobody can try ids."""

    def __init__(self, key: str) -> None:
        self._key = blake2b(key.encode()).digest() if key else secrets.token_bytes(64)

    def __call__(self, id_: bytes) -> str:
        return blake2b(id_, key=self._key, digest_size=HASH_BYTES).hexdigest()


class Lines(logging.Formatter):
    """What all forms have in common."""

    def formatException(self, ei: object) -> str:  # noqa: N802  # the library's name
        """Where it happened and what kind of fault it was. What it says may quote a record, and is left out."""
        error = ei[1] if isinstance(ei, tuple) else None
        return "".join(_without_words(error)).rstrip() if isinstance(error, BaseException) else ""


class TextLines(Lines):
    """`2026-11-22T08:00:00.000Z INFO  lanes: lane 0 open …`"""

    def format(self, record: logging.LogRecord) -> str:
        subject = record.name.rpartition(".")[2]
        line = f"{_time(record)} {record.levelname:<7} {subject}: {_message(record)}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonLines(Lines):
    """One JSON object a line: time, level, subject, message, and the traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "subject": record.name.rpartition(".")[2],
            "message": _message(record),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def _without_words(error: BaseException) -> Iterator[str]:
    """The traceback of an exception and of its causes, with their class names only."""
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        yield from _without_words(cause)
        yield "and then\n"
    yield from traceback.format_tb(error.__traceback__)
    yield f"{type(error).__module__}.{type(error).__qualname__}\n"


def _message(record: logging.LogRecord) -> str:
    message = record.getMessage()
    # behind its first line asyncio prints the task with what it raised
    return message.partition("\n")[0] if record.name == "asyncio" else _one_line(message)


def demote_level(record: logging.LogRecord) -> bool:
    """What a library calls an error is one only when we can't go on, and then we say so ourselves."""
    if record.levelno == logging.ERROR and record.name.partition(".")[0] in QUIET:
        record.levelno, record.levelname = logging.WARNING, logging.getLevelName(logging.WARNING)
    return True


class RepeatFilter:
    """Lets what a library says over and over through only now and then, with how often it said it since: while a broker
    is away that is hundreds of lines a second."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._said: dict[tuple[str, str], tuple[float, int]] = {}

    def __call__(self, record: logging.LogRecord) -> bool:
        if record.name.partition(".")[0] not in QUIET:
            return True
        now_s, what = self._clock_s(), (record.name, str(record.msg))
        last_s, left_out = self._said.get(what, (-math.inf, 0))
        if now_s - last_s < SAID_AGAIN_AFTER_S:
            self._said[what] = last_s, left_out + 1
            return False
        if left_out:
            record.msg = f"{record.msg} (and {left_out} times since the last line like this)"
        if len(self._said) == SAYINGS_MAX:
            self._said.clear()
        self._said[what] = now_s, 0
        return True


def _time(record: logging.LogRecord) -> str:
    return rfc3339(int(record.created * 1000))


def _one_line(text: str) -> str:
    """Lines end in blanks; what else could end a line, or steer a terminal, is shown as its escape."""
    if text.isprintable():
        return text
    joined = " ".join(text.split("\n"))
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in joined)


def start_logging(form: Literal["text", "json"], level: str) -> None:
    """Log to standard error; the libraries below us only from WARNING on."""
    shown = logging.StreamHandler(sys.stderr)
    shown.setFormatter(JsonLines() if form == "json" else TextLines())
    shown.addFilter(RepeatFilter())
    shown.addFilter(demote_level)
    root = logging.getLogger()
    root.handlers[:] = [shown]
    root.setLevel(level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
