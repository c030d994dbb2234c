"""How a worker takes its lanes over: from here on nobody before it can commit anything, and nothing is undecided.

Invariant: a lane reads its state and its offsets only after, in this order, its transactional ids are initialised, none
of its offsets is pending, and no transaction is open in a partition that its state is restored from. Offsets come
first: from then on an older generation can commit none, so that whatever appears later is never committed.
"""

import asyncio
import logging
import time
from collections.abc import Collection
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition, errors
from aiokafka.protocol.transaction import AddOffsetsToTxnRequest_v0

from stream_scorer.errors import OutageError, RefusedError
from stream_scorer.runtime.kafka.protocol.client import (
    LATER_WAIT_S,
    ProtocolClient,
    by_topic,
    group_coordinator,
    tagged,
    transaction_coordinator,
)
from stream_scorer.runtime.kafka.protocol.messages import (
    OffsetFetchRequestV7,
    TxnOffsetCommitRequestV3,
    TxnOffsetCommitRequestV5,
)
from stream_scorer.runtime.publishing.hanging_transactions import find_open
from stream_scorer.runtime.publishing.producer_identity import ProducerIdentity

log = logging.getLogger(__name__)

# Transactions of a sound worker are over by then, those of a dead one are aborted as soon as its ids are initialised
TELL_AFTER_S: Final = 5.0
# What Kafka answers to a member of another generation: how it says so depends on the state of the group
REFUSALS: Final = (
    errors.IllegalGenerationError,
    errors.UnknownMemberIdError,
    errors.RebalanceInProgressError,
)


class Membership(NamedTuple):
    """A worker's place in its group, as of one moment."""

    group: str
    generation: int
    member: str
    group_instance_id: str | None

    @classmethod
    def of(cls, consumer: AIOKafkaConsumer, group: str) -> "Membership":
        """As of now. It reaches into aiokafka 0.14, which offers no other way."""
        coordinator: Any = consumer._coordinator
        return cls(group, coordinator.generation, coordinator.member_id, coordinator._group_instance_id)


async def commit_offsets(
    client: ProtocolClient,
    producer: ProducerIdentity,
    membership: Membership,
    offsets: dict[TopicPartition, int],
    *,
    implicit: bool,
) -> None:
    """Add offsets to the transaction of a producer, as a member of the group. `implicit`: Kafka adds the group to the
    transaction by itself (transactions of version 2). Raises what is in `REFUSALS`, and others that fence."""
    kind = TxnOffsetCommitRequestV5 if implicit else TxnOffsetCommitRequestV3
    fields: dict[TopicPartition, Any] = {
        partition: (partition.partition, offset, -1, "", {}) for partition, offset in offsets.items()
    }
    if not implicit:
        await client.ask(
            transaction_coordinator(producer.transactional_id),
            AddOffsetsToTxnRequest_v0(producer.transactional_id, producer.id, producer.epoch, membership.group),
            lambda answer: [answer.error_code],
        )
    await client.ask(
        group_coordinator(membership.group),
        kind(
            producer.transactional_id,
            membership.group,
            producer.id,
            producer.epoch,
            membership.generation,
            membership.member,
            membership.group_instance_id,
            tagged(by_topic(fields)),
            {},
        ),
        lambda answer: [one[1] for _, found, _ in answer.topics for one in found],
    )


async def refuses_other_generations(
    client: ProtocolClient,
    producer: ProducerIdentity,
    membership: Membership,
    input_: TopicPartition,
    *,
    implicit: bool,
) -> bool:
    """Whether the broker looks at the generation of a transaction's offsets at all: everything rests on that. The
    transaction is left open, to be aborted."""
    other = membership._replace(generation=membership.generation + 1)
    try:
        await commit_offsets(client, producer, other, {input_: 0}, implicit=implicit)
    except REFUSALS:
        return True
    return False


def generation_ignored(bootstrap: str) -> RefusedError:
    """What is said of a broker that failed that test."""
    return RefusedError(
        f"Kafka at {bootstrap} accepts offsets of another generation of the group: a worker that was declared dead "
        "could commit after its successor, so exactly-once is impossible there. Use Apache Kafka 2.5 or later, or "
        'set worker.delivery = "at-least-once".'
    )


async def wait_until_decided(
    client: ProtocolClient,
    group: str,
    inputs: Collection[TopicPartition],
    outputs: Collection[TopicPartition],
    wait_s_max: float,
) -> None:
    """Return once nothing of a former owner is undecided. Raises `OutageError` when that takes too long."""
    began_s = time.monotonic()
    try:
        async with asyncio.timeout(wait_s_max):
            # answered once none of them is pending
            await client.ask(
                group_coordinator(group),
                OffsetFetchRequestV7(group, tagged(by_topic({one: one.partition for one in inputs})), True, {}),
                lambda answer: [answer.error_code, *(one[4] for _, found, _ in answer.topics for one in found)],
            )
            await _wait_until_stable(client, outputs)
    except TimeoutError as error:
        raise OutageError(
            f"Transactions of a former worker are still undecided after {time.monotonic() - began_s:.0f} s"
            f"{await _who_holds(client, outputs)}. Start the worker again; if that does not help, see who holds them "
            "with `kafka-transactions.sh find-hanging`."
        ) from error


async def _wait_until_stable(client: ProtocolClient, outputs: Collection[TopicPartition]) -> None:
    ends = await client.end_offsets(outputs, stable=False)
    began_s, told = time.monotonic(), False
    while True:
        stable = await client.end_offsets(outputs, stable=True)
        open_ = [output for output in outputs if stable[output] < ends[output]]
        if not open_:
            return
        if not told and time.monotonic() - began_s > TELL_AFTER_S:
            told = True
            log.warning("transactions of a former owner are open%s; waiting", await _who_holds(client, open_))
        await asyncio.sleep(LATER_WAIT_S / 4)


async def _who_holds(client: ProtocolClient, outputs: Collection[TopicPartition]) -> str:
    """The open transactions in these partitions, in words; nothing where there are none or Kafka does not say."""
    try:
        async with asyncio.timeout(1.0):
            looked = await find_open(client, outputs)
    except (TimeoutError, errors.KafkaError):
        return ""
    return "".join(
        f", {one.partition.topic}[{one.partition.partition}] from offset {one.start_offset} (producer id "
        f"{one.producer_id})"
        for one in looked.open
    )
