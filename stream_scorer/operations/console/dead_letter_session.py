"""The dead letters of the console: opened at first use, updated while somebody uses the page, reopened after a
fault.

Invariant: a page never waits long for Kafka; it shows what is known and says what is not.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

from stream_scorer.errors import UserError
from stream_scorer.operations.console.error_log import log_fault
from stream_scorer.operations.console.jobs import Jobs
from stream_scorer.operations.dead_letters.service import DeadLetterService

# A page waits so long for the letters to be read on; then it shows those that are known. Where nothing is known, or
# nothing of late, it waits longer before it says only that.
PAGE_WAIT_S: Final = 0.2
FIRST_PAGE_WAIT_S: Final = 1.5
READ_ON_EVERY_S: Final = 1.0
# What is older is not shown as if it were of now: the page says how far reading is, and looks again by itself
STALE_AFTER_S: Final = 20.0
# Nobody looked for so long: nothing is read until somebody does
QUIET_AFTER_S: Final = 120.0
OPEN_AGAIN_S: Final = 2.0

# Connects to the letters of the environment
OpenOffice = Callable[[], AbstractAsyncContextManager[DeadLetterService]]


class OpeningError(UserError):
    """The dead letters are not open yet; the page says so and asks again."""


class DeadLetterSession:
    """Keeps the letters open. `open_office` connects; a fault is shown, and the session tries again."""

    def __init__(self, open_office: OpenOffice) -> None:
        self._open_office = open_office
        self.jobs = Jobs(self.changed)
        self.trouble: str | None = None
        self.read, self.to_read = 0, 0
        self._office: DeadLetterService | None = None
        self._wanted_at_s = self._fresh_at_s = float("-inf")
        # somebody looks; somebody waits; everything of a moment ago is in the index
        self._wanted, self._asked, self._fresh = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def office(self) -> DeadLetterService:
        """The letters, read on to a second ago where that takes no longer than a page may wait. Raises OpeningError
        while they are not open, or far behind."""
        self._wanted_at_s = time.monotonic()
        self._wanted.set()
        if self._age_s > READ_ON_EVERY_S * 1.5:
            self._fresh.clear()
            self._asked.set()
            with contextlib.suppress(TimeoutError):
                is_known = self._age_s < STALE_AFTER_S or self.trouble is not None
                async with asyncio.timeout(PAGE_WAIT_S if is_known else FIRST_PAGE_WAIT_S):
                    await self._fresh.wait()
        if self._office is None or self._age_s > STALE_AFTER_S:
            raise OpeningError(
                self.trouble or self.progress or "Connecting to Kafka and opening the index of dead letters."
            )
        return self._office

    @property
    def _age_s(self) -> float:
        """How long ago everything was in the index."""
        return time.monotonic() - self._fresh_at_s

    @property
    def progress(self) -> str | None:
        """How far reading is, while it is far from its end."""
        if self.read >= self.to_read:
            return None
        return f"Reading the dead letters: {self.read:,} of {self.to_read:,} records so far."

    def changed(self) -> None:
        """Something was done to letters: the next page waits for what came of it."""
        self._fresh_at_s = min(self._fresh_at_s, time.monotonic() - READ_ON_EVERY_S * 2)

    async def run(self) -> None:
        """Keep them open until cancelled."""
        while True:
            await self._wanted.wait()
            try:
                async with self._open_office() as office:
                    await self._read_on(office)
            except UserError as error:
                self.trouble = str(error)
            except Exception as error:
                self.trouble = f"Internal error: {type(error).__name__}. See the console's log."
                log_fault("reading the dead letters", error)
            finally:
                self._office = None
            self._fresh.set()  # waiting requests get the fault
            await asyncio.sleep(OPEN_AGAIN_S)

    async def _read_on(self, office: DeadLetterService) -> None:
        while True:
            self._office = office
            await office.refresh(self._note)
            self.trouble, self.read, self.to_read = None, 0, 0
            self._fresh_at_s = time.monotonic()
            self._fresh.set()
            if time.monotonic() - self._wanted_at_s > QUIET_AFTER_S:
                self._wanted.clear()
                await self._wanted.wait()
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(READ_ON_EVERY_S):
                    await self._asked.wait()
            self._asked.clear()

    def _note(self, read: int, to_read: int) -> None:
        self.read, self.to_read = read, to_read

    async def stop(self) -> None:
        """End what is under way."""
        await self.jobs.stop()
