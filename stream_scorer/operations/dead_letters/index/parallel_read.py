"""A long way to read on, shared out among processes: a first look at a million letters is work for more than one core.

Invariant: each process has partitions of its own, and writes nothing but their shelves.
"""

import asyncio
import multiprocessing
import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Final

from aiokafka import TopicPartition

from stream_scorer.operations.dead_letters.index.index import Index
from stream_scorer.operations.reading.topic_reader import OnRead, Reader, Span
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.kafka.client import client_options
from stream_scorer.runtime.settings.settings import KafkaSettings

# Below so many records another process takes longer to start than it saves
RECORDS_MIN: Final = 300_000
PROCESSES_MAX: Final = 4
LOOK_EVERY_S: Final = 0.1

Spans = Mapping[TopicPartition, Span]


async def read_on_together(
    kafka: KafkaSettings,
    index: Index,
    reader: Reader,
    spans: Spans,
    on_read: OnRead | None,
    records_min: int = RECORDS_MIN,
) -> None:
    """Bring the shelves of these partitions up to the ends of their spans, where that is worth several processes;
    whatever is left, the index reads itself."""
    behind = {key: span for key, span in spans.items() if span.end > index.shelf(key.partition).position}
    positions = {key: max(span.begin, index.shelf(key.partition).position) for key, span in behind.items()}
    records = sum(span.end - positions[key] for key, span in behind.items())
    processes = min(PROCESSES_MAX, len(behind), os.cpu_count() or 1)
    if records < records_min or processes < 2:
        return
    # the longest first, each to the process that has least to do
    shares: list[dict[TopicPartition, Span]] = [{} for _ in range(processes)]
    for key in sorted(behind, key=lambda key: positions[key] - behind[key].end):
        min(shares, key=lambda share: sum(span.end - positions[key] for key, span in share.items()))[key] = behind[key]
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(processes - 1, multiprocessing.get_context("spawn")) as pool:
        others = [loop.run_in_executor(pool, _read_on, kafka, *index.view, share) for share in shares[1:]]
        watching = asyncio.create_task(_watch(index, positions, records, on_read))
        try:
            # this process reads too: the others take a while to start
            await index.read_on(reader, shares[0])
            await asyncio.gather(*others)
        finally:
            watching.cancel()
            for one in others:
                one.cancel()
    if on_read is not None:
        on_read(records, records)


async def _watch(index: Index, positions: Mapping[TopicPartition, int], records: int, on_read: OnRead | None) -> None:
    while on_read is not None:
        on_read(sum(max(0, index.shelf(key.partition).position - begin) for key, begin in positions.items()), records)
        await asyncio.sleep(LOOK_EVERY_S)


def _read_on(
    kafka: KafkaSettings,
    folder: Path,
    names: TopicNames,
    identity: str,
    topic_ids: Mapping[str, str],
    spans: Spans,
) -> None:
    async def read() -> None:
        async with Reader(client_options(kafka)) as reader:
            await Index(folder, names, identity, topic_ids).read_on(reader, spans)

    asyncio.run(read())
