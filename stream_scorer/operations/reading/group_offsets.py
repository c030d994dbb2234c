"""How far a consumer group has come, asked from outside: what is committed and where the topics end; nobody joins the
group for it.
"""

from types import TracebackType
from typing import Self

from aiokafka import AIOKafkaConsumer, TopicPartition, errors
from aiokafka.admin import AIOKafkaAdminClient

from stream_scorer.runtime.kafka.client import client_options
from stream_scorer.runtime.kafka.connection_check import reach
from stream_scorer.runtime.settings.settings import KafkaSettings

# a new cluster makes the topic of the groups' offsets when it is first asked for one
COORDINATOR_AWAY = (
    errors.GroupCoordinatorNotAvailableError,
    errors.GroupLoadInProgressError,
    errors.NotCoordinatorForGroupError,
)


class GroupPosition:
    """Two light connections that answer where `group` is."""

    def __init__(self, kafka: KafkaSettings, group: str) -> None:
        self._group = group
        self._options = options = client_options(kafka)
        self._admin = AIOKafkaAdminClient(**options)
        self._consumer = AIOKafkaConsumer(**options, isolation_level="read_committed")
        self._coordinator: int | None = None

    async def __aenter__(self) -> Self:
        await reach(self._options, self._consumer, self._admin)
        await self._consumer.start()
        await self._admin.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._consumer.stop()
        await self._admin.close()

    async def committed(self, lanes: list[TopicPartition]) -> dict[TopicPartition, int]:
        """The group's committed offset of each lane; lanes without one are left out, all of them while the group's
        coordinator is not there yet or moves. Offsets of open transactions don't show.
        """
        try:
            if self._coordinator is None:
                self._coordinator = await self._admin.find_coordinator(self._group)
            offsets = await self._admin.list_consumer_group_offsets(self._group, self._coordinator, lanes)
        except COORDINATOR_AWAY:
            self._coordinator = None
            return {}
        return {lane: said.offset for lane, said in offsets.items() if said.offset >= 0}

    async def ends(self, lanes: list[TopicPartition]) -> dict[TopicPartition, int]:
        """The end of each lane as a `read_committed` reader sees it. Markers of transactions have offsets too."""
        ends: dict[TopicPartition, int] = await self._consumer.end_offsets(lanes)
        return ends
