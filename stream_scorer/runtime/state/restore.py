"""A lane's store brought up to what the output topics say, before the lane takes its first record.

Invariant: afterwards the store says what the topics say up to their ends, whatever it said before; a store that can't
be brought there by reading on is dropped and made from the topics alone.

Call it when the former owner is fenced: nothing is written to the lane's partitions then, no transaction is open.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from stream_scorer.core.records.clock import WindowClock
from stream_scorer.core.records.output_timestamps import event_timestamp_ms
from stream_scorer.core.state.model_ids import ModelIds
from stream_scorer.core.state.restore import Records, Restored, restore_predictions, restore_updates
from stream_scorer.errors import StateError
from stream_scorer.runtime.kafka.batch_fetch import read
from stream_scorer.runtime.state.rocksdb import Memory
from stream_scorer.runtime.state.scored_since import scored_since
from stream_scorer.runtime.state.state_directory import FOLDERS_MAX, claim_lane
from stream_scorer.runtime.state.store import LaneStore

log = logging.getLogger(__name__)

# Without a local store, records that were scored this much before the join window are read too: an outcome that waited
# and was not answered because everything was down is still answered.
BEYOND_WINDOW_MS: Final = 7 * 86_400_000
# A former owner on this machine writes out its memory and lets go of the folder in far less.
FORMER_OWNER_WAIT_S: Final = 2.0

FETCH_BYTES_MAX: Final = 4 * 1024 * 1024
# A fetch at the end of one topic waits for records that can't come, and the other topic's waits behind it.
FETCH_WAIT_MS_MAX: Final = 20
# Applied at once, about 10 ms: the other lanes work on meanwhile. (The last record batch is taken whole.)
CHUNK_RECORDS: Final = 2_000
# A fetch may bring nothing but a transaction's marker, which moves the position without a record to show for it.
LOOK_AGAIN_S: Final = 0.05
TELL_EVERY_S: Final = 5.0

Restore = Callable[[Records, Sequence[bytes | None], ModelIds], Restored]


class Progress(NamedTuple):
    """How far one topic has been read: the next offset, and the one to reach."""

    topic: str
    partition: int
    position: int
    end: int


class Restoration(NamedTuple):
    """What was read, and whether it was all from the topics, without anything from the local store."""

    predictions: int
    outcome_updates: int
    unreadable: int
    from_topics_alone: bool
    seconds: float


async def open_store(state_path: Path, partition: int, identity: str, memory: Memory) -> LaneStore:
    """The lane's store, after a short wait for a former owner in this or another process of this machine; where that
    one does not let go, a spare one. Raises `StateError`."""
    give_up_s = time.monotonic() + FORMER_OWNER_WAIT_S
    while (claim := claim_lane(state_path, partition, spare=time.monotonic() >= give_up_s)) is None:
        if time.monotonic() >= give_up_s:
            raise StateError(
                f"{FOLDERS_MAX} processes on this machine hold the state of lane {partition} in {state_path}: "
                "end those that are stuck, or set worker.state_folder to another folder."
            )
        await asyncio.sleep(LOOK_AGAIN_S)
    if claim.folder.name != f"lane-{partition}":
        log.warning(
            "another process still holds the state of lane %s: the lane uses %s instead", partition, claim.folder
        )
    return LaneStore(claim, identity, memory)


async def restore(
    store: LaneStore,
    options: Mapping[str, Any],
    *,
    partition: int,
    predictions: str,
    outcome_updates: str,
    clock: WindowClock,
    on_progress: Callable[[Progress], None] | None = None,
) -> Restoration:
    """Bring the store to the ends of both topics' partition. `options`: how to connect, as for any Kafka client.

    Predictions are read first: either order gives the same entries, but an outcome that finds its prediction is many
    times quicker to keep. Safe to cancel: what has been read is kept, with its positions. Raises what Kafka's client
    and the store raise; while a broker is away it waits."""
    started_s = time.perf_counter()
    topics = [TopicPartition(predictions, partition), TopicPartition(outcome_updates, partition)]
    consumer = AIOKafkaConsumer(
        **options,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=FETCH_BYTES_MAX,
        fetch_max_bytes=FETCH_BYTES_MAX,
        fetch_max_wait_ms=FETCH_WAIT_MS_MAX,
    )
    consumer.assign(topics)
    consumer.pause(*topics)
    await consumer.start()
    try:
        starts, ends = await _spans(store, consumer, topics, clock)
        from_topics_alone = not store.positions()
        # both at once, so that a restoration that is cut short is gone on with, not begun again
        store.write((), {topic.topic: start for topic, start in starts.items()})
        counts = []
        for topic, apply in zip(topics, (restore_predictions, restore_updates), strict=True):
            consumer.seek(topic, starts[topic])
            consumer.resume(topic)
            counts.append(await _read_on(store, consumer, topic, ends[topic], apply, on_progress))
            consumer.pause(topic)
    finally:
        await consumer.stop()
    (predicted, bad_predictions), (updated, bad_updates) = counts
    restoration = Restoration(
        predicted, updated, bad_predictions + bad_updates, from_topics_alone, time.perf_counter() - started_s
    )
    _tell(partition, restoration)
    return restoration


async def _spans(
    store: LaneStore, consumer: AIOKafkaConsumer, topics: Sequence[TopicPartition], clock: WindowClock
) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
    """From where to where to read each topic. Drops what the store holds where that does not fit the topics."""
    # under `read_committed` an end is the last stable offset: no open transaction is waited for
    begins, ends = await asyncio.gather(consumer.beginning_offsets(topics), consumer.end_offsets(topics))
    positions = store.positions()
    if positions:
        misfits = [_misfit(positions.get(topic.topic), begins[topic], ends[topic], topic) for topic in topics]
        why = next(filter(None, misfits), None)
        if why is None:
            return {topic: positions[topic.topic] for topic in topics}, ends
        store.start_over(why)
    elif store.ids_estimate():
        store.start_over("it does not say up to which offset it was restored")
    # by when it was scored: timestamps are the inputs', and what happened long ago may have been scored just now
    oldest_ms = max(0, clock.window_starts_ms - BEYOND_WINDOW_MS)
    # an update is written up to a join window after the scoring that it tells of
    since_ms = dict(zip(topics, (oldest_ms, oldest_ms - clock.join_window_ms), strict=True))
    starts = {
        topic: await scored_since(consumer, topic, begins[topic], ends[topic], oldest_ms)
        for topic, oldest_ms in since_ms.items()
    }
    return starts, ends


def _misfit(position: int | None, begin: int, end: int, topic: TopicPartition) -> str | None:
    name = f"{topic.topic}[{topic.partition}]"
    if position is None:
        return f"it was never restored from {name}"
    if position > end:
        return (
            f"it was brought up to offset {position} of {name}, which ends at {end}: the topic was recreated or "
            "truncated"
        )
    if position < begin:
        return f"it was brought up to offset {position} of {name}, which begins at {begin} now"
    return None


async def _read_on(
    store: LaneStore,
    consumer: AIOKafkaConsumer,
    topic: TopicPartition,
    end: int,
    apply: Restore,
    on_progress: Callable[[Progress], None] | None,
) -> tuple[int, int]:
    """Apply records up to the end; how many, and how many of them were not ours."""
    count = unreadable = 0
    told_s = time.monotonic()
    position = await consumer.position(topic)
    while position < end:
        taken = await read(consumer, (topic,), timeout_s=LOOK_AGAIN_S, records_max=CHUNK_RECORDS)
        position = await consumer.position(topic)
        if records := taken.get(topic):
            count += len(records)
            unreadable += _apply(store, records, {topic.topic: position}, apply)
        if on_progress is not None:
            on_progress(Progress(topic.topic, topic.partition, position, end))
        if time.monotonic() - told_s >= TELL_EVERY_S:
            told_s = time.monotonic()
            log.info("restoring %s[%s]: at offset %s of %s", topic.topic, topic.partition, position, end)
        await asyncio.sleep(0)  # `read` does not let others run while it has records at hand
    store.write((), {topic.topic: position})
    return count, unreadable


def _apply(store: LaneStore, records: Sequence[Any], positions: Mapping[str, int], apply: Restore) -> int:
    keys = [record.key for record in records]
    read_ = Records(keys, [record.value for record in records], [event_timestamp_ms(record) for record in records])
    found = store.get_many([key or b"" for key in keys] if None in keys else keys)
    restored = apply(read_, found, store.models)
    store.write(restored.entries.items(), positions)
    return len(restored.unreadable)


def _tell(partition: int, restoration: Restoration) -> None:
    if restoration.unreadable:
        log.warning(
            "%s records in the output topics of partition %s were not written by stream-scorer and were skipped: "
            "find out who else may write to them",
            restoration.unreadable,
            partition,
        )
    log.info(
        "lane %s restored in %.2f s from %s predictions and %s outcome updates%s",
        partition,
        restoration.seconds,
        restoration.predictions,
        restoration.outcome_updates,
        ", from the topics alone" if restoration.from_topics_alone else "",
    )
