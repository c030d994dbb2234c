"""The figures that Kafka knows where no worker answers: how far the group has come in each partition."""

import asyncio
import contextlib
from typing import Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from stream_scorer.errors import OutageError
from stream_scorer.operations.console.snapshots.snapshot import PartitionNow, Snapshot
from stream_scorer.operations.reading.group_offsets import GroupPosition
from stream_scorer.runtime.cluster.topic_admin import TopicNames, definitions_for
from stream_scorer.runtime.kafka.errors import to_user_error, what_happened
from stream_scorer.runtime.settings.settings import Settings

LEAVE_WAIT_S: Final = 5.0


class TopicFigures:
    """Asks Kafka; connects at the first look and again after a fault."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        names = TopicNames(settings.topics.prefix)
        partitions = next(topic.partitions for topic in definitions_for(settings) if topic.key == "observations")
        self._observations = [TopicPartition(names.observations, number) for number in range(partitions)]
        self._outcomes = [TopicPartition(names.outcomes, number) for number in range(partitions)]
        self._position: GroupPosition | None = None

    async def now(self) -> Snapshot:
        try:
            position = await self._connected()
            lanes = [*self._observations, *self._outcomes]
            ends, committed = await position.ends(lanes), await position.committed(lanes)
        except (KafkaError, OSError, TimeoutError) as error:
            await self.close()
            known = to_user_error(error, "looking at the group's offsets", self._settings.kafka.bootstrap)
            raise known or OutageError(
                f"Kafka does not return the group's committed offsets: {what_happened(error)}"
            ) from error
        partitions = []
        for observations, outcomes in zip(self._observations, self._outcomes, strict=True):
            read, joined = committed.get(observations), committed.get(outcomes)
            partitions.append(
                PartitionNow(
                    observations.partition,
                    "unknown" if read is None else "committed",
                    observations_offset=read,
                    outcomes_offset=joined,
                    observations_unread=max(0, ends[observations] - (read or 0)),
                    outcomes_unread=max(0, ends[outcomes] - (joined or 0)),
                )
            )
        ended = {
            "observations.read": sum(committed.get(lane, 0) for lane in self._observations),
            "outcomes.read": sum(committed.get(lane, 0) for lane in self._outcomes),
        }
        return Snapshot(partitions=partitions, ended=ended, counted=ended)

    async def close(self) -> None:
        """Disconnect from Kafka; the next sample connects again."""
        position, self._position = self._position, None
        if position is not None:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(LEAVE_WAIT_S):
                    await position.__aexit__(None, None, None)

    async def _connected(self) -> GroupPosition:
        if self._position is None:
            # kept before it is connected, so that a half-made connection is closed too
            self._position = GroupPosition(self._settings.kafka, self._settings.group_name)
            await self._position.__aenter__()
        return self._position
