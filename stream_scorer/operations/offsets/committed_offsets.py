"""Where the group reads on in each input, shown; and set, by an operator, where Kafka has lost it or it is wrong.

Invariant: an offset is set only while nobody is a member of the group, and in one transaction with an entry in the
ledger that says who did it and why.
"""

import asyncio
import contextlib
import getpass
from typing import Final, NamedTuple

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from stream_scorer.core.records.audit_log import OffsetsEntry, encode_entry
from stream_scorer.core.records.record import rfc3339
from stream_scorer.errors import OutageError, RefusedError, SettingsError
from stream_scorer.operations.reading.topic_reader import Reader, Span
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.kafka.client import client_options
from stream_scorer.runtime.kafka.errors import to_user_error
from stream_scorer.runtime.kafka.record_batches import stop_producer
from stream_scorer.runtime.settings.settings import Settings
from stream_scorer.runtime.worker.clock import wall_clock_ms

TRANSACTION_TIMEOUT_MS: Final = 10_000
EMPTY_STATES: Final = ("Empty", "Dead")
EARLIEST: Final = "earliest"
LATEST: Final = "latest"


class InputOffsets(NamedTuple):
    """One partition of an input: where the group reads on (None: not committed), and what is retained."""

    topic: str
    partition: int
    committed: int | None
    begin: int
    end: int


async def show_offsets(settings: Settings) -> list[InputOffsets]:
    """Every partition of both inputs. Raises OutageError, TopicsError."""
    names = TopicNames(settings.topics.prefix)
    async with Reader(client_options(settings.kafka)) as reader:
        spans = await reader.spans((names.observations, names.outcomes), stable=True)
        committed = await reader.committed(settings.group_name, spans)
    return [
        InputOffsets(key.topic, key.partition, committed.get(key), span.begin, span.end)
        for key, span in sorted(spans.items())
    ]


async def set_offset(settings: Settings, topic: str, partition: int, start: str, why: str) -> OffsetsEntry:
    """Commit from where the group reads that input partition on, and say so in the ledger. `start`: `earliest`,
    `latest` or an offset.

    Raises SettingsError where that can't be an offset of it, RefusedError while the group has members."""
    if not why.strip():
        raise SettingsError("an offset that is set by hand needs a reason: --why")
    names, options = TopicNames(settings.topics.prefix), client_options(settings.kafka)
    inputs = names.observations, names.outcomes
    if topic not in inputs:
        raise SettingsError(f"{topic} is no input: say --topic {inputs[0]} or --topic {inputs[1]}")
    key = TopicPartition(topic, partition)
    async with Reader(options) as reader:
        spans = await reader.spans(inputs, stable=True)
        if key not in spans:
            raise SettingsError(f"{topic} has no partition {partition}")
        offset = _offset(key, spans[key], start)
        await _refuse_members(settings)
        was = (await reader.committed(settings.group_name, [key])).get(key)
    entry = OffsetsEntry(
        act="set_offset",
        who=settings.operator.name or _user(),
        at=rfc3339(wall_clock_ms()),
        why=why,
        group=settings.group_name,
        topic=topic,
        partition=partition,
        was=was,
        offset=offset,
    )
    await _commit(settings, names, key, entry)
    return entry


def _offset(key: TopicPartition, span: Span, start: str) -> int:
    if start in (EARLIEST, LATEST):
        return span.begin if start == EARLIEST else span.end
    if not start.isdigit() or not span.begin <= int(start) <= span.end:
        raise SettingsError(
            f"--from {start} is no offset of {key.topic}[{key.partition}]: say {EARLIEST}, {LATEST}, or a number from "
            f"{span.begin} to {span.end}"
        )
    return int(start)


async def _refuse_members(settings: Settings) -> None:
    admin = AIOKafkaAdminClient(**client_options(settings.kafka))
    try:
        await admin.start()
        (response,) = await admin.describe_consumer_groups([settings.group_name])
    except (KafkaError, OSError, TimeoutError) as error:
        raise _told(settings, error) from error
    finally:
        await admin.close()
    _, _, state, _, _, members, *_ = response.groups[0]
    if state not in EMPTY_STATES:
        hosts = ", ".join(sorted({f"{member[1]} at {member[2]}" for member in members})) or state
        raise RefusedError(
            f"The group {settings.group_name} has members ({hosts}): stop all workers first, then set the offset. "
            "Nothing was changed."
        )


async def _commit(settings: Settings, names: TopicNames, key: TopicPartition, entry: OffsetsEntry) -> None:
    producer = AIOKafkaProducer(
        **client_options(settings.kafka),
        # under the name that operators have the right to act by
        transactional_id=f"{settings.group_name}-replay-offsets",
        transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
        acks="all",
    )
    try:
        async with asyncio.timeout(2 * TRANSACTION_TIMEOUT_MS / 1000):
            await producer.start()
            async with producer.transaction():
                await producer.send_and_wait(names.ledger, encode_entry(entry), entry.key, 0)
                await producer.send_offsets_to_transaction({key: entry.offset}, settings.group_name)
    except (KafkaError, OSError, TimeoutError) as error:
        raise _told(settings, error) from error
    finally:
        await stop_producer(producer)


def _told(settings: Settings, error: BaseException) -> Exception:
    bootstrap = settings.kafka.bootstrap
    known = to_user_error(error, "setting an offset", bootstrap)
    if known is None or isinstance(known, OutageError):
        return OutageError(f"Kafka does not answer at {bootstrap} while setting an offset: nothing was changed.")
    return known


def _user() -> str:
    with contextlib.suppress(OSError, KeyError):  # in a container the user may have no name
        return getpass.getuser()
    return "unknown"
