"""Answers to many events in the order in which these were asked."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from stream_scorer.client.asking_together import Tell
from stream_scorer.client.results import Answer

Ask = Callable[[Sequence[bytes], Tell], Awaitable[None]]


class Asked:
    """Events that were asked together, and what was answered by now."""

    def __init__(self, events: int) -> None:
        self.answers: list[Answer | BaseException | None] = [None] * events
        self.given = 0


class OrderedAnswers:
    """`waiting`: how many events were begun whose answers were not taken."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._asked: deque[Asked] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._told = asyncio.Event()
        self.waiting = 0

    def begin(self, values: Sequence[bytes]) -> None:
        """Ask these behind the others."""
        if not values:
            return
        asked = Asked(len(values))

        def tell(number: int, answer: Answer | BaseException) -> None:
            asked.answers[number] = answer
            self._told.set()

        async def ask() -> None:
            try:
                await self._ask(values, tell)
            except Exception as error:  # for whoever takes the answers
                for number in [number for number, answer in enumerate(asked.answers) if answer is None]:
                    tell(number, error)

        self._asked.append(asked)
        self.waiting += len(values)
        task = asyncio.create_task(ask())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def next(self) -> Answer:
        """The next answer; only while any is waiting. Raises what its event was told instead of one."""
        asked = self._asked[0]
        while (answer := asked.answers[asked.given]) is None:
            self._told.clear()
            await self._told.wait()
        asked.answers[asked.given] = None
        asked.given += 1
        self.waiting -= 1
        if asked.given == len(asked.answers):
            self._asked.popleft()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def stop(self) -> None:
        """Nobody takes answers any more."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
