"""The worker's clock held against Kafka's: asked when the worker starts, and once an hour."""

import asyncio
import logging
import secrets
from typing import Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.kafka.broker_clock import ask_time
from stream_scorer.runtime.kafka.client import client_options
from stream_scorer.runtime.settings.settings import Settings
from stream_scorer.runtime.worker.clock import CheckedClock

log = logging.getLogger(__name__)

# Between two questions the worker's own steady clock tells how Kafka's goes on
ASK_EVERY_S: Final = 3_600.0
ANSWER_WAIT_S: Final = 10.0


class ClockWatch:
    """Asks under a transactional id of its own."""

    def __init__(self, settings: Settings, clock: CheckedClock) -> None:
        self._options, self._clock = client_options(settings.kafka), clock
        self._transactional_id = f"{settings.group_name}-clock-{secrets.token_hex(4)}"
        # in the topic that no state is a view of, because the answer leaves a marker there
        self._partition = TopicPartition(TopicNames(settings.topics.prefix).dead_letters, 0)

    async def ask(self) -> None:
        """Hold this machine's clock against Kafka's. Without an answer it is believed."""
        try:
            async with asyncio.timeout(ANSWER_WAIT_S):
                asked = await ask_time(self._options, self._transactional_id, self._partition)
        except (KafkaError, TimeoutError, OSError) as error:
            log.warning(
                "Kafka does not say what time it is (%s): using this machine's clock alone", type(error).__name__
            )
            return
        self._clock.learn(asked)
        if self._clock.is_contradicted:
            log.error(
                "this machine's clock is %.0f s ahead of Kafka's, more than worker.clock_skew_s_max: no id and no "
                "outcome expires, and results carry Kafka's time. Correct the clock that is wrong",
                self._clock.skew_ms / 1000,
            )

    async def run(self) -> None:
        """Ask again now and then, until cancelled."""
        while True:
            await asyncio.sleep(ASK_EVERY_S)
            await self.ask()
