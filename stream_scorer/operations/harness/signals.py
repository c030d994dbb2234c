"""Ctrl-C as a value: the first one asks for a clean end, a second one ends at once."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from stream_scorer.runtime.worker.ending_signals import ending_signals


@contextmanager
def interrupts() -> Iterator[asyncio.Event]:
    """An event that is set by the first SIGINT, SIGTERM or SIGHUP; from then on a signal does what it does by default.
    Inside a running loop only.
    """
    loop, ending = asyncio.get_running_loop(), ending_signals()
    interrupted = asyncio.Event()

    def note() -> None:
        interrupted.set()
        for number in ending:
            loop.remove_signal_handler(number)

    for number in ending:
        loop.add_signal_handler(number, note)
    try:
        yield interrupted
    finally:
        for number in ending:
            loop.remove_signal_handler(number)
