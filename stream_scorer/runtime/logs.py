"""How a worker's log looks: one event a line, as text for people or as JSON for machines.

Law: never a payload, never an id in clear; ERROR means that somebody must act.
"""

import json
import logging
import sys
import time
from typing import Literal

# Libraries that tell on INFO what we say better, or not at all
QUIET = ("aiokafka", "faust", "mode", "aiohttp", "asyncio")


class TextLines(logging.Formatter):
    """`2026-11-22T08:00:00.000Z INFO  lanes: lane 0 open …`"""

    def format(self, record: logging.LogRecord) -> str:
        subject = record.name.rpartition(".")[2]
        line = f"{_time(record)} {record.levelname:<7} {subject}: {_one_line(record.getMessage())}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, subject, message, and the traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "subject": record.name.rpartition(".")[2],
            "message": _one_line(record.getMessage()),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def _time(record: logging.LogRecord) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"


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
    root = logging.getLogger()
    root.handlers[:] = [shown]
    root.setLevel(level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
