"""The topics that a worker started on, known by their ids, and whether they are still the same."""

import asyncio
import contextlib
from typing import Final

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.kafka.topic_ids import topic_ids
from stream_scorer.runtime.lanes.start_offsets import recreated

# How often the worker looks whether its topics are still those that it started on: one small request
LOOK_EVERY_S: Final = 5.0
# A broker that does not answer a look for so long is away: the next look tells
ANSWER_WAIT_S: Final = 10.0
# A broker hears of a topic a moment after it was created
HEARD_WAIT_S: Final = 0.2


class TopicWatch:
    """Asks through the worker's own consumer. Call `start` before anything else."""

    def __init__(self, consumer: AIOKafkaConsumer, names: TopicNames) -> None:
        self._consumer, self._names = consumer, names
        self._topics = names.observations, names.outcomes, names.predictions, names.outcome_updates, names.dead_letters
        self._ids: dict[str, str] = {}

    async def start(self) -> None:
        """Note the ids as they are now. Waits for a broker that has not heard of all the topics yet: a topic whose id
        is not known from the start could be recreated unnoticed. Raises `KafkaError`, `TimeoutError`."""
        async with asyncio.timeout(ANSWER_WAIT_S):
            # none at all: the broker is older than topic ids
            while (ids := await self._ask()) and len(ids) < len(self._topics):
                await asyncio.sleep(HEARD_WAIT_S)
        self._ids = ids

    def identity(self, cluster: str) -> str:
        """What a lane's state is a view of: with another cluster, other topics or recreated topics it is invalid."""
        viewed = self._names.predictions, self._names.outcome_updates
        return "/".join((cluster, *(f"{topic}@{self._ids.get(topic, '')}" for topic in viewed)))

    async def run(self) -> None:
        """Look for recreated topics, until cancelled. Raises `OffsetsError`."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            with contextlib.suppress(KafkaError, TimeoutError, OSError):  # away: the next look tells
                for topic, id_ in (await self._ask()).items():
                    # one that is not there just now may come back, from a broker that has not heard of it yet
                    if id_ != self._ids.setdefault(topic, id_):
                        raise recreated(topic)

    async def _ask(self) -> dict[str, str]:
        async with asyncio.timeout(ANSWER_WAIT_S):
            return await topic_ids(self._consumer._client, self._topics)
