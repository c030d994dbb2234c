"""The demo's supervisor: a process that ends is started again, a few times; then it is that process's fault, and the
demo says so.
"""

import asyncio
import time
from collections import deque

from stream_scorer.errors import OutageError
from stream_scorer.operations.harness.service_process import ServiceProcess

RESTARTS_MAX = 5
WITHIN_S = 60.0
LOOK_EVERY_S = 0.1
PAUSE_S = 0.5


class Supervisor:
    """Keeps one process running until cancelled; OutageError when it ends more than five times within a minute."""

    def __init__(self, process: ServiceProcess) -> None:
        self.process = process
        self.restarts = 0

    async def run(self) -> None:
        """Look after the process, which was started already."""
        ends: deque[float] = deque(maxlen=RESTARTS_MAX)
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            status = self.process.exit_status()
            if status is None:
                continue
            if len(ends) == RESTARTS_MAX and time.monotonic() - ends[0] < WITHIN_S:
                raise OutageError(
                    f"the {self.process.kind} ended {RESTARTS_MAX + 1} times within a minute, last with exit status "
                    f"{status}; {self.process.last_words()}"
                )
            ends.append(time.monotonic())
            await asyncio.sleep(PAUSE_S)
            self.process.start()
            self.restarts += 1
