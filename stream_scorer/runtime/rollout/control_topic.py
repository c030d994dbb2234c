"""The control topic, read by each worker on its own, from its beginning.

Invariant: a record is in force only by `core/rollout/control.py`, so that all workers agree.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from stream_scorer.core.records.model_control import UnknownFormat
from stream_scorer.core.rollout.control import InForce, follow
from stream_scorer.errors import RolloutError
from stream_scorer.runtime.kafka.batch_fetch import read
from stream_scorer.runtime.kafka.partition_span import value_of

log = logging.getLogger(__name__)

READ_WAIT_S = 1.0
RETRY_WAIT_S = 1.0
RECORDS_MAX = 1_000
COUNTED_KEPT_MAX = 100


class ControlTopic:
    """What is in force. `in_force`: None before a first record counts; `position`: behind what was read; `counted`:
    offsets of the last records that counted."""

    def __init__(self, options: Mapping[str, Any], topic: str, environment: str) -> None:
        self._environment = environment
        self._partition = TopicPartition(topic, 0)
        self._consumer = AIOKafkaConsumer(
            **options, isolation_level="read_committed", enable_auto_commit=False, auto_offset_reset="earliest"
        )
        self.in_force: InForce | None = None
        self.position = 0
        self.counted: deque[int] = deque(maxlen=COUNTED_KEPT_MAX)

    async def start(self) -> None:
        """Read all that is there. Raises `RolloutError` where it says what this version does not know."""
        await self._consumer.start()
        self._consumer.assign([self._partition])
        await self._consumer.seek_to_beginning(self._partition)
        end = await self.end()
        while self.position < end:
            await self.follow()

    async def end(self) -> int:
        """Where the topic ends now."""
        return int((await self._consumer.end_offsets([self._partition]))[self._partition])

    async def follow(self) -> bool:
        """Read on, for a second at most; whether another record is in force then. Raises `RolloutError`."""
        before = self.in_force
        try:
            taken = await read(self._consumer, (self._partition,), timeout_s=READ_WAIT_S, records_max=RECORDS_MAX)
            for record in taken.get(self._partition, ()):
                found = follow(self._environment, self.in_force, record.offset, value_of(record))
                if isinstance(found, UnknownFormat):
                    raise RolloutError(
                        f"{self._partition.topic} holds a control record of format {found.format} at offset "
                        f"{record.offset}, which this version does not know: it can't say which models should serve. "
                        "Install the version that wrote it, or a later one."
                    )
                if found is not None and found is not self.in_force:
                    self.counted.append(found.offset)
                self.in_force = found
            self.position = await self._consumer.position(self._partition)
        except KafkaError as error:
            log.warning("%s can't be read at the moment (%s); asking again", self._partition.topic, error)
            await asyncio.sleep(RETRY_WAIT_S)
        return self.in_force != before

    async def stop(self) -> None:
        await self._consumer.stop()
