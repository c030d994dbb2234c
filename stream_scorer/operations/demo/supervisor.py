"""The demo's supervisor: a worker that ends is started again, a few times; then it is the worker's fault, and said
so.
"""

import asyncio
import time
from collections import deque

from stream_scorer.errors import OutageError
from stream_scorer.operations.harness.worker_process import WorkerProcess

RESTARTS_MAX = 5
WITHIN_S = 60.0
LOOK_EVERY_S = 0.1
PAUSE_S = 0.5


class Supervisor:
    """Keeps one worker running until cancelled; OutageError when it ends more than five times within a minute."""

    def __init__(self, worker: WorkerProcess) -> None:
        self.worker = worker
        self.restarts = 0

    async def run(self) -> None:
        """Look after the worker, which was started already."""
        ends: deque[float] = deque(maxlen=RESTARTS_MAX)
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            status = self.worker.exit_status()
            if status is None:
                continue
            if len(ends) == RESTARTS_MAX and time.monotonic() - ends[0] < WITHIN_S:
                raise OutageError(
                    f"the worker ended {RESTARTS_MAX + 1} times within a minute, last with exit status {status}; "
                    f"{self.worker.last_words()}"
                )
            ends.append(time.monotonic())
            await asyncio.sleep(PAUSE_S)
            self.worker.start()
            self.restarts += 1
