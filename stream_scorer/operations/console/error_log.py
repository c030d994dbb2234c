"""An internal error in the log: where it was, and not what it says, because that may quote a record."""

import logging
import traceback

log = logging.getLogger("stream_scorer.operations.console")


def log_fault(doing: str, error: BaseException) -> None:
    """Tell where in the code it happened."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    log.error(
        "internal error while %s: %s (its message is left out, because it may quote a record)\n%s",
        doing,
        type(error).__name__,
        frames,
    )
