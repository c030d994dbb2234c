"""How far a consumer group has come, asked from outside: what is committed and where the topics end; nobody joins the group for it."""

from types import TracebackType
from typing import Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from stream_scorer.runtime.kafka import client_options
from stream_scorer.runtime.settings import KafkaSettings


class GroupPosition:
    """Two light connections that answer where `group` is."""

    def __init__(self, kafka: KafkaSettings, group: str) -> None:
        self._group = group
        options = client_options(kafka)
        self._admin = AIOKafkaAdminClient(**options)
        self._consumer = AIOKafkaConsumer(**options, isolation_level="read_committed")
        self._coordinator: int | None = None

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        await self._admin.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._consumer.stop()
        await self._admin.close()

    async def committed(self, lanes: list[TopicPartition]) -> dict[TopicPartition, int]:
        """The group's committed offset of each lane; 0 where there is none. Offsets of open transactions don't show."""
        if self._coordinator is None:
            self._coordinator = await self._admin.find_coordinator(self._group)
        offsets = await self._admin.list_consumer_group_offsets(self._group, self._coordinator, lanes)
        return {lane: max(offsets[lane].offset, 0) if lane in offsets else 0 for lane in lanes}

    async def ends(self, lanes: list[TopicPartition]) -> dict[TopicPartition, int]:
        """The end of each lane as a `read_committed` reader sees it. Markers of transactions have offsets too."""
        ends: dict[TopicPartition, int] = await self._consumer.end_offsets(lanes)
        return ends
