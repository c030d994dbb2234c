"""What a worker tells the group of itself beside its subscription: where look-ups reach it.

It stands in the assignor's user data of the member's metadata, as Kafka Streams' `application.server` does, so whoever
may describe the group sees which worker owns a partition and where that worker answers.

Invariant: the assignment does not depend on it; a member without it, or with another kind of it, shares like any other.
"""

from collections.abc import Collection
from typing import Annotated

import msgspec
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata
from msgspec import Meta

from stream_scorer.core.records.decode import decode_or_none
from stream_scorer.runtime.settings.sections import SERVER_PATTERN


class MemberData(msgspec.Struct, frozen=True):
    """`application_server`: `host:port` where the worker answers look-ups."""

    application_server: Annotated[str, Meta(pattern=SERVER_PATTERN)]


_decode = msgspec.json.Decoder(MemberData).decode


def range_assignor(application_server: str) -> type[RangePartitionAssignor]:
    """The range assignor of a member that answers look-ups at that address; empty: at none."""
    data = msgspec.json.encode(MemberData(application_server)) if application_server else b""

    class Assignor(RangePartitionAssignor):
        @classmethod
        def metadata(cls, topics: Collection[str]) -> ConsumerProtocolMemberMetadata:
            return ConsumerProtocolMemberMetadata(cls.version, list(topics), data)

    return Assignor


def application_server(user_data: bytes | None) -> str:
    """The address that a member's user data names; empty where it names none."""
    data = decode_or_none(_decode, user_data)
    return "" if data is None else data.application_server
