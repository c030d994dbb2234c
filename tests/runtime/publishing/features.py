"""The level of transactions that a cluster has finalized, set while it runs, as an upgrade does."""

from aiokafka.protocol.api import RequestStruct, Response
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int8, Int16, Int32, Schema, TaggedFields

from stream_scorer.runtime.kafka.protocol.client import ProtocolClient
from stream_scorer.runtime.publishing.committer import TRANSACTION_VERSION

UPGRADE, UNSAFE_DOWNGRADE = 1, 3


class UpdateFeaturesResponseV1(Response):
    API_KEY = 57
    API_VERSION = 1
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("error_message", CompactString("utf-8")),
        (
            "results",
            CompactArray(
                ("feature", CompactString("utf-8")),
                ("error_code", Int16),
                ("error_message", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class UpdateFeaturesRequestV1(RequestStruct):
    API_KEY = 57
    API_VERSION = 1
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = UpdateFeaturesResponseV1
    SCHEMA = Schema(
        ("timeout_ms", Int32),
        (
            "updates",
            CompactArray(
                ("feature", CompactString("utf-8")),
                ("max_version_level", Int16),
                ("upgrade_type", Int8),
                ("tags", TaggedFields),
            ),
        ),
        ("validate_only", Boolean),
        ("tags", TaggedFields),
    )


async def set_transaction_version(bootstrap: str, level: int) -> None:
    """Finalize this level, be it higher or lower than before."""
    client = ProtocolClient({"bootstrap_servers": bootstrap}, request_timeout_ms=10_000)
    await client.start()
    try:
        now = (await client.features()).get(TRANSACTION_VERSION, 0)
        if now != level:
            kind = UPGRADE if level > now else UNSAFE_DOWNGRADE
            request = UpdateFeaturesRequestV1(10_000, [(TRANSACTION_VERSION, level, kind, {})], False, {})
            answer = await client.ask(None, request, lambda answer: [answer.error_code])
            assert not answer.error_code, answer.error_message
        assert (await client.features()).get(TRANSACTION_VERSION, 0) == level
    finally:
        await client.close()
