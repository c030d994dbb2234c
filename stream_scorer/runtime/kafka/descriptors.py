"""File descriptors that ran out: told as what it is, for a client would call it a broker that is away."""

import errno
import os
from typing import Final

from stream_scorer.errors import LimitError

_NONE_LEFT: Final = (errno.EMFILE, errno.ENFILE)


def no_descriptors_left() -> LimitError:
    """What people are told."""
    return LimitError(
        "This process can open no more files and connections: its limit of file descriptors is used up. Raise it "
        "(ulimit -n, LimitNOFILE, or the container's ulimits), then start again. Kafka is not at fault."
    )


def refuse_without_descriptors() -> None:
    """Raises LimitError where not even one more descriptor is to be had."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        if error.errno in _NONE_LEFT:
            raise no_descriptors_left() from error


def out_of_descriptors(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, says that no file or connection can be opened any more."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _NONE_LEFT:
            return True
        if type(error) is Exception and "Too many open files" in str(error):  # RocksDB's
            return True
        error = error.__cause__ or error.__context__
    return False
