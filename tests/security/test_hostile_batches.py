"""Batches that unfold to far more than they weigh: what a broker can be told about them."""

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import MessageSizeTooLargeError

from tests.security.conftest import Locked

MIB = 1024 * 1024


@pytest.mark.parametrize(("compression", "refused"), [("producer", False), ("uncompressed", True)])
async def test_a_topic_that_is_not_compressed_refuses_a_batch_that_unfolds(
    locked: Locked, compression: str, refused: bool
) -> None:
    topic = f"unfolding.{compression}"
    admin = AIOKafkaAdminClient(bootstrap_servers=locked.inner)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1, topic_configs={"compression.type": compression})])
    await admin.close()
    producer = AIOKafkaProducer(
        bootstrap_servers=locked.inner, compression_type="gzip", max_batch_size=32 * MIB, max_request_size=32 * MIB
    )
    await producer.start()
    try:
        if refused:
            with pytest.raises(MessageSizeTooLargeError):
                await producer.send_and_wait(topic, bytes(20 * MIB))
        else:
            await producer.send_and_wait(topic, bytes(20 * MIB))
    finally:
        await producer.stop()
