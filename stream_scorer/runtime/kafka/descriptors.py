"""File descriptors that ran out: reported as such, because a client reports an unavailable broker instead."""

import errno
import logging
import math
import os
import time
from typing import Final

from stream_scorer.errors import LimitError

_NONE_LEFT: Final = (errno.EMFILE, errno.ENFILE)
_A_FEW: Final = 4
_LATELY_S: Final = 5.0


def no_descriptors_left() -> LimitError:
    """The message for operators."""
    return LimitError(
        "This process can't open more files or connections: it has reached its limit of file descriptors. Raise it "
        "(ulimit -n, LimitNOFILE, or the container's ulimits), then start again. Kafka is not at fault."
    )


def refuse_without_descriptors() -> None:
    """Raises LimitError where no more descriptors are to be had."""
    if not any_left():
        raise no_descriptors_left()


class DescriptorWatch(logging.Filter):
    """Remembers when a client last logged that it could open no connection for want of descriptors: it logs the cause
    and raises an error without one, and by then others may have been given back."""

    def __init__(self) -> None:
        super().__init__()
        self._seen_at_s = -math.inf

    def filter(self, record: logging.LogRecord) -> bool:
        """Lets every record pass."""
        said = record.args if isinstance(record.args, tuple) else ()
        if any(isinstance(part, OSError) and part.errno in _NONE_LEFT for part in said):
            self._seen_at_s = time.monotonic()
        return True

    def seen_lately(self) -> bool:
        """Whether that was a moment ago."""
        return time.monotonic() - self._seen_at_s < _LATELY_S


CLIENT_WATCH: Final = DescriptorWatch()
logging.getLogger("aiokafka").addFilter(CLIENT_WATCH)


def any_left() -> bool:
    """Whether a few more files or connections can be opened, and a client could do so a moment ago."""
    if CLIENT_WATCH.seen_lately():
        return False
    opened: list[int] = []
    try:
        for _ in range(_A_FEW):
            opened.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno not in _NONE_LEFT
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return True


def out_of_descriptors(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, says that no file or connection can be opened any more."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _NONE_LEFT:
            return True
        if type(error) is Exception and "Too many open files" in str(error):  # RocksDB's
            return True
        error = error.__cause__ or error.__context__
    return False
