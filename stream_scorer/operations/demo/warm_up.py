"""What comes before the play: stops that make Kafka and the worker quick, and that no figure of the demo shows.

Invariant: they carry ids of smoke tests, so the worker counts them in no figure of quality, and whoever counts the demo
knows them.
"""

import asyncio
import random
import time
from collections.abc import Iterator

import msgspec
from aiokafka import TopicPartition

from stream_scorer.core.contract.smoke_test_ids import smoke_id
from stream_scorer.operations.reading.group_offsets import GroupPosition
from stream_scorer.operations.sending.event_sender import EventSender
from stream_scorer.operations.sending.event_sources import generated_events
from stream_scorer.operations.sending.schedule import ScheduledEvent
from stream_scorer.operations.sending.scheduled_send import play
from stream_scorer.runtime.cluster.topic_admin import TopicNames, definitions_for
from stream_scorer.runtime.kafka.client import client_options
from stream_scorer.runtime.settings.settings import Settings

# Most of it goes to the broker's Java, which compiles what it has run a few hundred times
SECONDS = 3.0
RATE_MIN, RATE_MAX = 300.0, 2_000.0
COMMIT_WAIT_S_MAX = 30.0
POLL_S = 0.05
ID_BITS = 128


async def warm_up(settings: Settings, *, rate: float) -> int:
    """Send stops for some seconds and wait until the worker has committed them; how many they were."""
    names = TopicNames(settings.topics.prefix)
    stops = list(_stops(names.observations, min(max(rate, RATE_MIN), RATE_MAX)))
    async with EventSender(client_options(settings.kafka)) as sender:
        await play(sender, stops, paced=True)
    partitions = next(topic.partitions for topic in definitions_for(settings) if topic.key == "observations")
    lanes = [TopicPartition(names.observations, partition) for partition in range(partitions)]
    deadline = time.monotonic() + COMMIT_WAIT_S_MAX
    async with GroupPosition(settings.kafka, settings.group_name) as position:
        ends = await position.ends(lanes)
        while time.monotonic() < deadline:
            committed = await position.committed(lanes)
            if all(committed.get(lane, 0) >= end for lane, end in ends.items()):
                break
            await asyncio.sleep(POLL_S)
    return len(stops)


def _stops(topic: str, rate: float) -> Iterator[ScheduledEvent]:
    draw = random.Random()
    for number, event in enumerate(
        generated_events(int(rate * SECONDS), seed=draw.getrandbits(32), broken_share=0.0, id_prefix="")
    ):
        id_ = smoke_id(draw.getrandbits(ID_BITS))
        value = msgspec.json.encode(msgspec.json.decode(event.value) | {"id": id_})
        yield ScheduledEvent(number / rate, topic, id_.encode(), value)
