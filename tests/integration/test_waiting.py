"""What waits in Kafka is told while nobody reads it: lanes that are being opened, on a real Kafka."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from stream_scorer.core.observations.scoring import Codes, Probabilities
from stream_scorer.core.records.clock import WindowClock
from stream_scorer.runtime.lanes.batch import Batch, BatchResult
from stream_scorer.runtime.lanes.consumer import ConsumerLoop
from stream_scorer.runtime.lanes.lane import Lane
from stream_scorer.runtime.lanes.lane_evidence import LaneEvidence
from stream_scorer.runtime.lanes.lane_models import LaneModels
from stream_scorer.runtime.lanes.moved_records import MovedRecords
from stream_scorer.runtime.lanes.start_offsets import StartOffsets
from stream_scorer.runtime.metrics import catalogue as catalogue
from stream_scorer.runtime.metrics.definitions import Definition
from stream_scorer.runtime.metrics.registry import Metrics
from stream_scorer.runtime.publishing.lane_publisher import LanePublishers
from stream_scorer.runtime.rollout.model_rollout import make_rollout
from stream_scorer.runtime.rollout.serving_models import ServingModel
from stream_scorer.runtime.state.pending_writes import PendingWrites
from stream_scorer.runtime.state.restore import open_store
from stream_scorer.runtime.state.rocksdb import shared_memory
from stream_scorer.runtime.worker.gauges import update_gauges
from tests.support.builders import an_event, an_outcome
from tests.support.models import champion_alone, says
from tests.support.workers import LOOK_EVERY_S, Environment, until


class SlowToOpen:
    """An intake whose lanes restore their state for as long as a test wants, and then commit what they are given."""

    def __init__(self, environment: Environment, folder: Path) -> None:
        self.restored = asyncio.Event()
        self._metrics, self._folder, self._environment = Metrics(), folder, environment
        self._publishers = LanePublishers(environment.settings, environment.topics.partitions)
        self._options = {"bootstrap_servers": environment.bootstrap}
        self._rollout = make_rollout(environment.settings, environment.names, lambda: champion_alone(says(0.5)))
        self.consumer_loop = ConsumerLoop(
            self._options,
            group=environment.settings.group_name,
            group_instance_id="",
            session_timeout_ms=10_000,
            names=environment.names,
            batch_records_max=100,
            open_lane=self._lane,
            rebalanced=lambda: None,
            fetched=lambda seconds: None,
        )

    def _lane(self, partition: int, consumer: AIOKafkaConsumer) -> Lane:
        return Lane(
            partition,
            names=self._environment.names,
            consumer=consumer,
            publisher=self._publishers.publisher(partition, consumer),
            open_state=self._open_state,
            work=self._work,
            before_commit=lambda: None,
            committed=lambda batch, work: None,
            batch_records_max=100,
            clock=lambda: WindowClock(time.time_ns() // 1_000_000, 3_600_000),
            start_offsets=StartOffsets(
                self._options,
                self._environment.names,
                moves=MovedRecords(self._options, partitions=4),
                reread_records=0,
            ),
            models=LaneModels(partition, self._rollout, "a test"),
            evidence=LaneEvidence(partition, self._rollout.evidence, "updates", self._ask, "a test"),
            lost=lambda partition, first, last: None,
        )

    async def _open_state(self, partition: int) -> PendingWrites:
        await self.restored.wait()
        return PendingWrites(await open_store(self._folder, partition, "cluster", shared_memory()))

    async def _ask(self, codes: Codes, model: ServingModel) -> Probabilities | str:
        return "there is no candidate"

    async def _work(self, batch: Batch) -> BatchResult:
        return BatchResult()

    def gauge(self, gauge: Definition) -> float:
        """What Prometheus would be told now."""
        update_gauges(self._metrics, self.consumer_loop, ready=False, state_path=self._folder)
        lines = self._metrics.expose().decode().splitlines()
        (line,) = [line for line in lines if line.startswith(f"{gauge.name} ")]
        return float(line.split()[1])

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        await self.consumer_loop.connect()
        await self._rollout.start()
        running = asyncio.create_task(self.consumer_loop.run())
        try:
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await self.consumer_loop.stop(5.0)
            await self._rollout.stop()


async def test_records_wait_while_lanes_restore_their_state(environment: Environment, tmp_path: Path) -> None:
    await environment.topics.observe(*[an_event(f"ev-{number}") for number in range(30)])
    await environment.topics.report(*[an_outcome(f"ev-{number}") for number in range(20)])
    first = SlowToOpen(environment, tmp_path)
    async with first.running():
        await until(lambda: first.gauge(catalogue.CONSUMER_LAG) == 50, "all records are known to wait")
        await until(lambda: first.gauge(catalogue.OLDEST_UNCOMMITTED_RECORD_AGE) > 1, "they are seen to grow old")
        assert first.gauge(catalogue.HELD_RECORDS) == first.gauge(catalogue.LANES) == 0
        first.restored.set()
        await until(lambda: first.gauge(catalogue.CONSUMER_LAG) == 0, "all records are committed")
        await until(lambda: first.gauge(catalogue.OLDEST_UNCOMMITTED_RECORD_AGE) == 0, "nothing waits any more")
    await environment.topics.observe(*[an_event(f"ew-{number}") for number in range(7)])
    second = SlowToOpen(environment, tmp_path)
    async with second.running():
        await until(lambda: second.gauge(catalogue.CONSUMER_LAG) == 7, "what was not committed is known to wait")
        await environment.topics.observe(*[an_event(f"ex-{number}") for number in range(5)])
        await until(lambda: second.gauge(catalogue.CONSUMER_LAG) == 12, "what has come since too")
        second.restored.set()
        await until(lambda: second.gauge(catalogue.CONSUMER_LAG) == 0, "all records are committed")


async def test_a_transaction_s_marker_at_the_end_is_no_record_that_waits(
    environment: Environment, tmp_path: Path
) -> None:
    reader = SlowToOpen(environment, tmp_path)
    reader.restored.set()
    async with reader.running():
        await until(lambda: reader.consumer_loop.joined, "the lanes are ours")
        # records of another lane, as a move writes them
        producer = AIOKafkaProducer(bootstrap_servers=environment.bootstrap, transactional_id=tmp_path.name)
        await producer.start()
        (partition, *_) = reader.consumer_loop.inputs
        await until(lambda: reader.gauge(catalogue.LANES) == len(reader.consumer_loop.lanes), "they are open")
        async with producer.transaction():
            await producer.send_and_wait(partition.topic, an_event(), b"k", partition.partition)
        await producer.stop()
        # Kafka says yes to a commit a moment before all can see it
        while await reader.consumer_loop.consumer.end_offsets([partition]) != {partition: 2}:
            await asyncio.sleep(LOOK_EVERY_S)
        await reader.consumer_loop.backlog.look(reader.consumer_loop.inputs)
        await until(lambda: reader.gauge(catalogue.CONSUMER_LAG) == 0, "nothing waits")
        assert reader.gauge(catalogue.OLDEST_UNCOMMITTED_RECORD_AGE) == 0
