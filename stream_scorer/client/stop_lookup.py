"""What is known of an id now, asked of the worker that owns the id's lane.

The owner is found as Kafka Streams' interactive queries find it: the group's description says who has the partition and
which address that member told when it joined.

Invariant: an answer comes from the member that the group names as the owner, no longer than `OWNERS_KEPT_S` ago; what
can't be answered now raises, and is never taken for "unknown".
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec
from aiohttp import ClientError, ClientSession, ClientTimeout
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError
from yarl import URL

from stream_scorer.core.records.partitioner import partition_of
from stream_scorer.core.state.known_stop import KnownStop
from stream_scorer.errors import StateLookupError
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.kafka.client import CLIENT_ID, client_options
from stream_scorer.runtime.lanes.group_members import STABLE, described_group
from stream_scorer.runtime.settings.settings import Settings

# Of a lane that moved meanwhile the old owner says that it is not the owner, and the group is described again. Only a
# worker that slept through its own removal would answer with what it knew.
OWNERS_KEPT_S: Final = 1.0
GROUP_WAIT_S: Final = 5.0
ANSWER_WAIT_S: Final = 2.0
ANSWER_BYTES_MAX: Final = 256 * 1024

_decode: Final = msgspec.json.Decoder(KnownStop).decode


class StopLookup:
    """Asks workers. Use it inside `async with`."""

    def __init__(self, settings: Settings) -> None:
        names = TopicNames(settings.topics.prefix)
        self._topic, self._inputs = names.observations, frozenset((names.observations, names.outcomes))
        self._group = settings.group_name
        token = settings.http.view_token
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._admin = AIOKafkaAdminClient(**client_options(settings.kafka))
        self._session: ClientSession | None = None
        self._owners: Mapping[int, str] = {}
        self._asked_at_s = -OWNERS_KEPT_S
        self._asking = asyncio.Lock()

    async def __aenter__(self) -> "StopLookup":
        await self._admin.start()
        # no proxy, no cookies: only what the group names is asked
        self._session = ClientSession(timeout=ClientTimeout(total=ANSWER_WAIT_S), trust_env=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
        await self._admin.close()

    async def ask(self, id_: str, partitions: int) -> KnownStop:
        """What is known of the id. Raises StateLookupError where that can't be said now."""
        partition = partition_of(id_.encode(), partitions)
        server = await self._owner(partition)
        try:
            return await self._ask(server, id_)
        except StateLookupError:
            # the lane has moved, or its worker has gone: whoever has it now is asked, once
            moved = await self._owner(partition, asked_before_s=time.monotonic())
            return await self._ask(moved, id_)

    async def _owner(self, partition: int, asked_before_s: float | None = None) -> str:
        """The address of the lane's owner; the group is described again where that was done before the given time."""
        since_s = time.monotonic() - OWNERS_KEPT_S if asked_before_s is None else asked_before_s
        async with self._asking:
            if self._asked_at_s <= since_s:
                began_s = time.monotonic()
                self._owners = await self._describe()
                self._asked_at_s = began_s
        if partition not in self._owners:
            raise StateLookupError(f"No worker owns partition {partition} now: ask again once one does")
        if not (server := self._owners[partition]):
            raise StateLookupError(
                f"The worker of partition {partition} names no address: set worker.application_server, or start it "
                "with a version that has it"
            )
        return server

    async def _describe(self) -> dict[int, str]:
        """By partition, where its owner answers; empty: its owner does not say."""
        try:
            async with asyncio.timeout(GROUP_WAIT_S):
                answers: list[Any] = await self._admin.describe_consumer_groups([self._group])
        except GroupAuthorizationFailedError as error:
            raise StateLookupError(f"Kafka does not let us describe the group {self._group}") from error
        except (KafkaError, OSError, TimeoutError) as error:
            raise StateLookupError(f"Kafka does not describe the group {self._group} now") from error
        group = described_group(answers[0])
        if group is None or group.state != STABLE:
            raise StateLookupError(f"The group {self._group} has no members, or shares out its partitions: ask again")
        return {
            partition: member.application_server
            for member in group.members
            if member.client_id == CLIENT_ID and member.topics == self._inputs
            for topic, partition in member.partitions
            if topic == self._topic
        }

    async def _ask(self, server: str, id_: str) -> KnownStop:
        session = self._session
        assert session is not None
        url = URL(f"http://{server}/state/{quote(id_, safe='')}", encoded=True)
        try:
            async with session.get(url, headers=self._headers, allow_redirects=False) as response:
                status = response.status
                content = b""
                while len(content) <= ANSWER_BYTES_MAX and (chunk := await response.content.readany()):
                    content += chunk
        except (ClientError, OSError, TimeoutError) as error:
            raise StateLookupError(f"The worker at {server} does not answer: ask again") from error
        if status in (401, 403):
            raise StateLookupError(
                f"The worker at {server} refuses look-ups (HTTP status {status}): set the same http.view_token for it "
                "and for whoever asks"
            )
        if status not in (200, 404):
            raise StateLookupError(f"The worker at {server} can't say now (HTTP status {status}): ask again")
        try:
            known = _decode(content)
        except (msgspec.DecodeError, RecursionError) as error:
            raise StateLookupError(f"What answers at {server} is no worker of this version") from error
        if known.id != id_:
            raise StateLookupError(f"The worker at {server} answered for another id")
        return known
