"""A long range read by several processes, each of which has partitions of its own and sends their rows through a pipe.

Invariant: whatever ends a read, none of its processes is left. All are forked from one process, because rows name ids
by Python's hash, whose secret the processes must share.
"""

import asyncio
import multiprocessing
import signal
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Final

from stream_scorer.errors import OutageError, UserError
from stream_scorer.operations.backtest.row_batches import ReadPlan, RowBatch, no_collector, row_batches
from stream_scorer.operations.reading.topic_reader import Reader
from stream_scorer.runtime.kafka.client import client_options
from stream_scorer.runtime.settings.settings import KafkaSettings

_forking: Final = multiprocessing.get_context("forkserver")


async def read_together(kafka: KafkaSettings, shares: Sequence[ReadPlan], add: Callable[[RowBatch], None]) -> None:
    """Read each share in a process of its own; `add` is told of every batch of rows, in this process. Raises what
    `row_batches` raises, and OutageError where a process has ended before its time."""
    _forking.set_forkserver_preload([__name__])
    processes = []
    receiving = []
    try:
        for share in shares:
            ours, theirs = _forking.Pipe(duplex=False)
            receiving.append(ours)
            with theirs:
                process = _forking.Process(target=_read_share, args=(theirs, kafka, share), daemon=True)
                await asyncio.to_thread(process.start)  # the first one waits for what all are forked from
            processes.append(process)
        pumps = [asyncio.create_task(_pump(connection, add)) for connection in receiving]
        try:
            await asyncio.gather(*pumps)
        finally:
            for process in processes:  # those whose pump has ended have nothing left to say
                process.kill()
            await asyncio.gather(*pumps, return_exceptions=True)
    finally:
        for process in processes:
            process.kill()
            process.join()
        for connection in receiving:
            connection.close()


async def _pump(connection: Connection, add: Callable[[RowBatch], None]) -> None:
    """Hand on what a process sends, until it has sent everything."""
    while True:
        try:
            said: RowBatch | UserError | None = await asyncio.to_thread(connection.recv)
        except (EOFError, OSError) as error:
            raise OutageError("a process that reads the topics has ended: is there memory enough for it?") from error
        if said is None:
            return
        if isinstance(said, UserError):
            raise said
        add(said)


def _read_share(sending: Connection, kafka: KafkaSettings, share: ReadPlan) -> None:
    """A process's whole life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C reaches the whole group; the reading process ends this one

    async def read() -> None:
        async with Reader(client_options(kafka)) as reader:
            async for batch in row_batches(reader, share):
                sending.send(batch)

    with no_collector():
        try:
            asyncio.run(read())
        except UserError as error:
            sending.send(error)
        else:
            sending.send(None)
