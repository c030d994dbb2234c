"""Dead letters of a real worker for tests: broken events sent, buried, and an office to work with them."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from stream_scorer.core.records.audit_log import AuditEntry, decode_entry
from stream_scorer.operations.dead_letters.service import DeadLetterService, open_service
from stream_scorer.runtime.settings.settings import Settings, load_settings
from tests.support.builders import an_event
from tests.support.workers import Environment

WRONG_CASE = {"StatuteReason": "Stop sign"}


def wrong(id_: str, **changes: object) -> bytes:
    """An event with a fault that a named fix mends: the case of one value."""
    return an_event(id_, **(WRONG_CASE | changes))


def settings_of(environment: Environment, folder: Path, **more: object) -> Settings:
    """The environment's settings for an operator on this machine."""
    given = {
        "kafka.bootstrap": environment.bootstrap,
        "topics.prefix": environment.settings.topics.prefix,
        "worker.state_folder": str(folder),
        "worker.join_window_s": environment.settings.worker.join_window_s,
        "worker.dead_letter_bytes_max": environment.settings.worker.dead_letter_bytes_max,
    }
    return load_settings(None, {}, given | {key.replace("__", "."): value for key, value in more.items()})


@asynccontextmanager
async def an_office(
    environment: Environment, folder: Path, *, who: str = "ann", **more: object
) -> AsyncIterator[DeadLetterService]:
    """The environment's office, its index up to date."""
    async with open_service(settings_of(environment, folder, **more), who=who) as office:
        await office.refresh()
        yield office


async def buried(environment: Environment, *values: bytes | None, **how: Any) -> None:
    """Send observations and wait until a worker has done with them."""
    await environment.topics.observe(*values, **how)
    await environment.settled()


async def ledger(environment: Environment) -> Sequence[AuditEntry]:
    """All acts that were committed, in their order."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=environment.bootstrap,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    partition = TopicPartition(environment.names.ledger, 0)
    consumer.assign([partition])
    await consumer.start()
    try:
        end = (await consumer.end_offsets([partition]))[partition]
        entries: list[AuditEntry] = []
        while await consumer.position(partition) < end:
            for records in (await consumer.getmany(timeout_ms=50)).values():
                for record in records:
                    entry = decode_entry(record.value)
                    assert entry is not None
                    assert record.key == entry.key
                    entries.append(entry)
        return entries
    finally:
        await consumer.stop()


async def delete_letters(environment: Environment, before: int) -> None:
    """What retention does: the letters of every partition before that offset are gone."""
    admin = AIOKafkaAdminClient(bootstrap_servers=environment.bootstrap)
    await admin.start()
    try:
        topic, partitions = environment.names.dead_letters, environment.topics.partitions
        wanted = {TopicPartition(topic, number): RecordsToDelete(before) for number in range(partitions)}
        await admin.delete_records(wanted)
    finally:
        await admin.close()


async def predicted_ids(environment: Environment) -> list[str]:
    """The ids of all predictions, sorted; one that was predicted twice twice."""
    read = await environment.topics.read()
    return sorted(json.loads(record.value)["id"] for record in read.predictions)
