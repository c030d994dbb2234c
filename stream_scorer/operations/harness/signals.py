"""Ctrl-C as a value: the first one asks for a clean end, a second one ends at once."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interrupts() -> Iterator[asyncio.Event]:
    """An event that is set by the first SIGINT or SIGTERM; from then on a signal does what it does by default. Inside
    a running loop only.
    """
    loop = asyncio.get_running_loop()
    interrupted = asyncio.Event()

    def note() -> None:
        interrupted.set()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, note)
    try:
        yield interrupted
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
