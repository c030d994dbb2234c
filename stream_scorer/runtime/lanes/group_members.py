"""Who else is in the workers' group: consumers that are no workers, and a second worker under one's own static name.

Invariant: only looks; who is no worker is named by client id, host and topics, because only people can stop it.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from aiokafka.errors import KafkaError
from aiokafka.protocol.admin import DescribeGroupsRequest

from stream_scorer.errors import GroupError
from stream_scorer.runtime.kafka.client import CLIENT_ID
from stream_scorer.runtime.lanes.member_data import application_server

log = logging.getLogger(__name__)

STABLE: Final = "Stable"
ANSWER_WAIT_S: Final = 5.0
# A member that comes or goes makes the group rebalance: soon after that there is something to see
LOOK_SOON_EVERY_S: Final = 1.0
LOOK_SOON_FOR_S: Final = 15.0
LOOK_EVERY_S: Final = 30.0
NAMED_MAX: Final = 5
_EMPTY: Final = (b"", None)


class GroupMember(NamedTuple):
    """A member of the group. Topics and partitions are empty while the group rebalances, or where its client speaks
    another protocol than consumers do."""

    member_id: str
    client_id: str
    host: str
    topics: frozenset[str]
    partitions: frozenset[tuple[str, int]]
    # where a worker answers look-ups, `host:port`; empty: it names no address
    application_server: str = ""

    def __str__(self) -> str:
        topics = f" on {', '.join(sorted(self.topics))}" if self.topics else ""
        return f"client id {self.client_id!r} at {self.host.removeprefix('/')}{topics}"


class GroupDescription(NamedTuple):
    """The group as its coordinator sees it."""

    name: str
    state: str
    protocol: str
    members: tuple[GroupMember, ...]

    def strangers(self, topics: Iterable[str]) -> list[GroupMember]:
        """The members that are no workers on these topics."""
        ours = frozenset(topics)
        return [
            member
            for member in self.members
            if member.client_id != CLIENT_ID or (member.topics and member.topics != ours)
        ]


class GroupWatch:
    """Looks at the group of a consumer after each rebalance and now and then."""

    def __init__(
        self, consumer: AIOKafkaConsumer, *, group: str, topics: tuple[str, ...], group_instance_id: str
    ) -> None:
        self.strangers: list[GroupMember] = []
        self._consumer, self._group, self._topics = consumer, group, topics
        self._instance = group_instance_id
        self._told: set[str] = set()
        self._rebalanced_at_s = time.monotonic()
        self._wake = asyncio.Event()

    def rebalanced(self) -> None:
        """The group has just changed: look soon."""
        self._rebalanced_at_s = time.monotonic()
        self._wake.set()

    async def run(self, joined: Callable[[], bool]) -> None:
        """Look until cancelled. Raises GroupError where another worker has our static name."""
        while True:
            soon = time.monotonic() - self._rebalanced_at_s < LOOK_SOON_FOR_S
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), LOOK_SOON_EVERY_S if soon else LOOK_EVERY_S)
            if joined():
                self._judge(await self.look())

    def _judge(self, group: GroupDescription | None) -> None:
        if group is None:
            return
        if self._instance:
            self._refuse_twin(group)
        if group.state != STABLE:
            return
        self.strangers = [
            member for member in group.strangers(self._topics) if not member.topics.isdisjoint(self._topics)
        ]
        for member in group.strangers(self._topics):
            if member.member_id not in self._told:
                self._told.add(member.member_id)
                log.error(
                    "A consumer that is not a worker is in the group %s: %s. It takes records away from the "
                    "workers, and what it commits is never scored. Stop it, or give it a group of its own",
                    self._group,
                    member,
                )

    def _refuse_twin(self, group: GroupDescription) -> None:
        own = self._consumer._coordinator.member_id
        twins = [member for member in group.members if member.member_id.startswith(f"{self._instance}-")]
        if own and twins and all(member.member_id != own for member in twins):
            raise GroupError(
                f"Another worker has the same worker.group_instance_id {self._instance!r}: {named(twins)}. Each keeps "
                "removing the other from the group. Give every worker its own name, or none."
            )

    async def look(self) -> GroupDescription | None:
        """The group now; None where nobody answers."""
        coordinator = self._consumer._coordinator.coordinator_id
        if coordinator is None:
            return None
        try:
            answer = await asyncio.wait_for(
                self._consumer._client.send(coordinator, DescribeGroupsRequest([self._group])), ANSWER_WAIT_S
            )
        except (KafkaError, OSError, TimeoutError):
            return None
        return described_group(answer)

    async def named_strangers(self) -> str:
        """The consumers in the group that are no workers, in words; empty where there are none or nobody answers. A
        group that is still sharing out is waited for, a little."""
        deadline = time.monotonic() + ANSWER_WAIT_S
        while True:
            group = await self.look()
            if group is not None and group.state == STABLE and (found := group.strangers(self._topics)):
                return named(found)
            if time.monotonic() > deadline:
                return ""
            await asyncio.sleep(LOOK_SOON_EVERY_S / 4)


def described_group(answer: Any) -> GroupDescription | None:
    """The group that an answer to DescribeGroups describes; None where the coordinator can't say."""
    for error, name, state, _, protocol, members, *_ in answer.groups:
        if not error:
            return GroupDescription(name, state, protocol, tuple(map(_member, members)))
    return None


def named(members: Iterable[GroupMember]) -> str:
    """Members for a message, cut where they are many."""
    said = [str(member) for member in members]
    return "; ".join(said[:NAMED_MAX]) + ("; …" if len(said) > NAMED_MAX else "")


def _member(described: tuple[Any, ...]) -> GroupMember:
    member_id, client_id, host, metadata, assignment = described
    topics: frozenset[str] = frozenset()
    partitions: frozenset[tuple[str, int]] = frozenset()
    server = ""
    with contextlib.suppress(ValueError, TypeError, UnicodeDecodeError):  # another kind of member says other bytes
        if metadata not in _EMPTY:
            told = ConsumerProtocolMemberMetadata.decode(metadata)
            topics, server = frozenset(told.subscription), application_server(told.user_data)
        if assignment not in _EMPTY:
            given = ConsumerProtocolMemberAssignment.decode(assignment).partitions()
            partitions = frozenset((partition.topic, partition.partition) for partition in given)
    return GroupMember(member_id, client_id, host, topics, partitions, server)
