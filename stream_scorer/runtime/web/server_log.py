"""What the HTTP library says of requests that it can't read: that there was one, and not what stood in it.

Invariant: no byte of a request stands in the log; one line each, without a traceback.
"""

import logging

log = logging.getLogger("stream_scorer.http")


class _WithoutRequest(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        record.msg, record.args = f"a request failed: {type(error).__name__ if error is not None else 'unknown'}", ()
        record.exc_info = record.exc_text = record.stack_info = None
        return True


def server_logger() -> logging.Logger:
    """For a server's runner."""
    if not log.filters:
        log.addFilter(_WithoutRequest())
    return log
